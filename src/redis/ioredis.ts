/**
 * A Redis over ioredis: one connection for the calls, one that listens. No message names what was sent, or a password.
 * Longer than 150 lines: what is known of one connection, from its opening to its end.
 */
import type { Redis } from "ioredis";
import type { Clock, Timer } from "../clock.ts";
import { Fault, faultOf } from "../faults.ts";
import type { RedisAddress } from "./address.ts";
import { connect, type ConnectionLimits } from "./connection.ts";
import type { Argument, RedisServer, RunScript, ServerEvents } from "./server.ts";
import { configCommands, configOf, deafWarning, freeBytesOf, judgeSettings, type RedisJudgement } from "./settings.ts";

export interface RedisServerLimits extends ConnectionLimits {
  /** Longest wait for the server's disk, ms, below `hungMaxMs`; what is sent meanwhile has as much more time. */
  readonly diskMaxMs: number;
}

const refusedLogin = /\b(?:WRONGPASS|NOAUTH|NOPERM|invalid password|without any password)\b/i;

export interface IoredisOptions {
  /** What is kept there, as errors and the server's list of clients say it. */
  readonly name: string;
  readonly address: RedisAddress;
  readonly limits: RedisServerLimits;
  readonly clock: Clock;
  /** Ends the opening; afterwards nobody hears it. */
  readonly onFailed: (fault: Fault) => void;
  readonly onUsable: () => void;
}

export class IoredisServer implements RedisServer {
  readonly #options: IoredisOptions;
  #calls: Redis | undefined;
  #listening: Redis | undefined;
  #events: ServerEvents | undefined;
  #isPrepared = false;
  /** Of the connection that is prepared. */
  #generation = 0;
  #timer: Timer | undefined;
  /** Calls that wait for the server's disk. */
  #waits = 0;
  lastError = "no connection yet";

  constructor(options: IoredisOptions) {
    this.#options = options;
  }

  start(events: ServerEvents): void {
    this.#events = events;
    const calls = this.#open(this.#options.name);
    this.#calls = calls;
    calls.on("ready", () => void this.#prepare(calls)); // Never rejects.
    calls.on("close", () => {
      if (this.#isPrepared) this.lastError = "the connection was lost";
      this.#isPrepared = false;
      this.#generation++;
      this.#timer?.cancel();
    });
    const listening = this.#open(`${this.#options.name}-listening`);
    this.#listening = listening;
    listening.on("message", (_channel, text) => events.onMessage(text));
    listening.on("ready", () => {
      // Where that fails nothing is heard: what arrives is then found by looking, until the next connection.
      listening.subscribe(events.channel).then(events.onListening, () => {});
    });
  }

  run: RunScript = (script, keys, args) => this.#guarded((redis) => runOn(redis)(script, keys, args));

  send(commands: readonly (readonly [string, ...Argument[]])[]): Promise<readonly unknown[]> {
    return this.#guarded((redis) => sendOn(redis, commands));
  }

  async waitForDisk(): Promise<void> {
    const { diskMaxMs } = this.#options.limits;
    const generation = this.#generation;
    const synced = await this.#guarded((redis) => this.#patiently(redis, () => redis.call("WAITAOF", 1, 0, diskMaxMs)));
    // A new connection has written nothing and waits for nothing.
    if (Number((synced as readonly unknown[])[0]) < 1 || generation !== this.#generation) {
      throw new Fault("unavailable", "Redis did not write to its disk in time", { effect: "unknown" });
    }
  }

  async freeBytes(): Promise<number> {
    const [info] = await this.send([["INFO", "memory"]]);
    return freeBytesOf(String(info));
  }

  /** Asked on the connection that is being prepared. */
  async judge(): Promise<RedisJudgement> {
    const redis = this.#calls;
    if (redis === undefined) throw new Fault("unavailable", "Redis is not asked any more");
    const [known] = await sendOn(redis, [["COMMAND", "INFO", "WAITAOF"]]).catch(() => [[]]);
    const hasWaitAof = Array.isArray(known) && known[0] !== undefined && known[0] !== null;
    const config = await sendOn(redis, configCommands).then(configOf, (error: unknown) => {
      if (isForbidden(error)) return undefined;
      throw error;
    });
    const judgement = judgeSettings(config, hasWaitAof);
    return (await this.#mayTell(redis)) ? judgement : { ...judgement, warnings: [...judgement.warnings, deafWarning] };
  }

  async #mayTell(redis: Redis): Promise<boolean> {
    if (this.#events === undefined) return true;
    // Nobody makes anything of it.
    const telling = sendOn(redis, [["PUBLISH", this.#events.channel, ""]]);
    return telling.then(
      () => true,
      (error: unknown) => !isForbidden(error),
    );
  }

  stop(): void {
    this.#timer?.cancel();
    this.#events = undefined;
    this.#calls?.disconnect();
    this.#listening?.disconnect();
  }

  async #prepare(redis: Redis): Promise<void> {
    if (this.#events === undefined) return;
    const generation = this.#generation;
    try {
      await this.#events.prepare(runOn(redis));
      // Else that connection is gone; the one that came after it is prepared on its own.
      if (generation !== this.#generation) return;
      this.#isPrepared = true;
      this.#options.onUsable();
    } catch (error) {
      const fault = faultOf(error);
      this.lastError = messageOf(error);
      if (fault !== undefined && fault.code !== "unavailable") this.#options.onFailed(fault);
      const { clock, limits } = this.#options;
      this.#timer?.cancel();
      if (generation !== this.#generation) return;
      this.#timer = clock.setTimer(() => void this.#prepare(redis), limits.retryCapMs);
    }
  }

  #open(name: string): Redis {
    const { address, limits, onFailed } = this.#options;
    const redis = connect(address, name, limits);
    redis.on("error", (error: Error) => {
      this.lastError = error.message;
      if (refusedLogin.test(error.message)) {
        onFailed(new Fault("settings_invalid", `Redis refuses the credentials of REDIS_URL: ${error.message}`));
      }
    });
    return redis;
  }

  /** Redis answers in order: what is sent while `call` waits for the disk waits with it. */
  async #patiently<T>(redis: Redis, call: () => Promise<T>): Promise<T> {
    const { callMaxMs, diskMaxMs } = this.#options.limits;
    this.#waits++;
    redis.options.commandTimeout = callMaxMs + diskMaxMs;
    try {
      return await call();
    } finally {
      if (--this.#waits === 0) redis.options.commandTimeout = callMaxMs;
    }
  }

  async #guarded<T>(call: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = this.#calls;
    const isUsable = redis !== undefined && this.#isPrepared;
    try {
      if (!isUsable) throw new Error(this.lastError);
      return await call(redis);
    } catch (error) {
      // The error of ioredis is not passed on: it holds what was sent.
      throw new Fault("unavailable", `Redis does not serve the ${this.#options.name}: ${messageOf(error)}`, {
        effect: isUsable ? "unknown" : "not_done",
      });
    }
  }
}

function isForbidden(error: unknown): boolean {
  return /NOPERM|unknown command|not allowed/i.test(messageOf(error));
}

/** By its hash where the server knows the script, else by its text: after a restart, or `SCRIPT FLUSH`. */
function runOn(redis: Redis): RunScript {
  return async ({ lua, sha }, keys, args) => {
    try {
      return await redis.evalsha(sha, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
      return redis.eval(lua, keys.length, ...keys, ...args);
    }
  };
}

async function sendOn(
  redis: Redis,
  commands: readonly (readonly [string, ...Argument[]])[],
): Promise<readonly unknown[]> {
  return Promise.all(commands.map(([name, ...args]) => redis.call(name, ...args)));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
