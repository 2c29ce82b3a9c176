/**
 * The second tier's server: Redis 6 or newer, over ioredis. A call that is not answered within its deadline rejects with `unavailable`, and so does
 * every call while there is no connection; nothing is queued for later and nothing is sent twice. No message names what was sent, or a password.
 */
import { createHash } from "node:crypto";
import type { Redis } from "ioredis";
import type { Clock } from "../clock.ts";
import { Fault } from "../faults.ts";
import { type RedisAddress, readAddress } from "../redis/address.ts";
import { connect, type ConnectionLimits } from "../redis/connection.ts";
import { Connections } from "./connections.ts";
import { beatScript, fillScript, leaseScript, leaveScript, writeScript } from "./redis-scripts.ts";
import type { Beat, CacheListener, CacheServer, Change, Fill, Key, Lease, Value } from "./server.ts";

export interface RedisCacheOptions {
  /** As `readAddress` reads it. */
  readonly url: string;
  /** Letters, digits, _ and -: whose users these are. Two storages that share a Redis must differ in it. */
  readonly space: string;
  readonly clock: Clock;
  /** Life time of a document, ms. */
  readonly ttlMs: number;
  /** Connections, the listening one included. */
  readonly connectionsMax: number;
  readonly connectionsMin: number;
  readonly limits: RedisCacheLimits;
  /** A question for documents was answered, or failed, in `ms`. */
  readonly onAsked?: (ms: number) => void;
}

export interface RedisCacheLimits extends ConnectionLimits {
  /** Calls in flight on each connection before one more is opened. */
  readonly callsMaxPerConnection: number;
  readonly openEveryMs: number;
  /** Time that a reader has to fill what it was granted, ms. */
  readonly leaseMs: number;
  /** How long it is remembered that there is no such document, ms. */
  readonly absentMs: number;
  /** Silence after which an instance counts as dead, ms. */
  readonly lostMs: number;
}

/** How the first try to connect ended: `refused` the credentials are wrong, and a later try goes no better. */
export type FirstAnswer = "ready" | "refused" | "unreachable";

export interface RedisCache extends CacheServer {
  /** Resolves at the latest after `maxMs`, with `unreachable` then. */
  firstAnswer(maxMs: number): Promise<FirstAnswer>;
  /** Why the last try to connect failed. Holds no secret. */
  readonly lastError: string;
  /** Of the whole server and of its whole database. Rejects as every call does. */
  measure(): Promise<RedisMeasure>;
  stats(): RedisStats;
}

export interface RedisMeasure {
  readonly keys: number;
  readonly bytes: number;
  readonly evictions: number;
}

export interface RedisStats {
  /** Connections that can be used, the listening one included. */
  readonly connections: number;
  readonly callsInFlight: number;
}

export function createRedisCache(options: RedisCacheOptions): RedisCache {
  return new RedisServer(options);
}

interface Script {
  readonly lua: string;
  readonly sha: string;
}

const script = (lua: string): Script => ({ lua, sha: createHash("sha1").update(lua).digest("hex") });
const scripts = {
  lease: script(leaseScript),
  fill: script(fillScript),
  write: script(writeScript),
  beat: script(beatScript),
  leave: script(leaveScript),
};

/**
 * A value of another format has another key, and a message another channel: instances of two formats know nothing of each other's changes and
 * must not run side by side.
 */
const format = 1;
const refusal = /\b(?:WRONGPASS|NOAUTH|NOPERM|invalid password|without any password)\b/i;

class RedisServer implements RedisCache {
  readonly #options: RedisCacheOptions;
  readonly #address: RedisAddress;
  readonly #prefix: string;
  readonly #channel: string;
  readonly #connections: Connections<Redis>;
  readonly #answered: PromiseWithResolvers<FirstAnswer> = Promise.withResolvers();
  #listening: Redis | undefined;
  lastError = "no connection yet";
  /** As the last beat found it. */
  #isCrowded = false;

  constructor(options: RedisCacheOptions) {
    const { space, connectionsMax, connectionsMin, limits, clock, url } = options;
    this.#options = options;
    this.#address = readAddress(url);
    this.#prefix = `botfleet:u${format}:${space}:`;
    // Databases of one server share their channels.
    this.#channel = `${this.#prefix}${this.#address.database}:changed`;
    this.#connections = new Connections({
      open: () => this.#open("cache"),
      isReady: ({ status }) => status === "ready",
      close: (connection) => connection.disconnect(),
      clock,
      max: Math.max(1, connectionsMax - 1),
      min: connectionsMin - 1,
      callsMax: limits.callsMaxPerConnection,
      openEveryMs: limits.openEveryMs,
    });
  }

  firstAnswer(maxMs: number): Promise<FirstAnswer> {
    const timer = this.#options.clock.setTimer(() => this.#answered.resolve("unreachable"), maxMs);
    return this.#answered.promise.finally(() => timer.cancel());
  }

  async get(keys: readonly Key[]): Promise<readonly Value[]> {
    const { clock, onAsked } = this.#options;
    const askedAt = clock.monotonic();
    try {
      const values = await this.#call("any", (redis) => redis.mget(this.#namesOf(keys)));
      return values.map((value) => value ?? undefined);
    } finally {
      onAsked?.(clock.monotonic() - askedAt);
    }
  }

  async lease(keys: readonly Key[], token: string, isFresh: boolean): Promise<readonly Lease[]> {
    // Without a lease nothing is filled in. What stands there goes on to be replaced.
    if (this.#isCrowded && !isFresh) return keys.map(() => ({ kind: "refused" }));
    const names = [this.#registry, ...this.#namesOf(keys)];
    const args = [token, this.#options.limits.leaseMs, isFresh ? 1 : 0];
    const answer = (await this.#run("any", scripts.lease, names, args)) as readonly string[];
    const [generation, ...values] = answer;
    return keys.map((_, at): Lease => {
      const value = values[at];
      if (generation === undefined || value === undefined || value === "l") return { kind: "refused" };
      return value === "" ? { kind: "granted", token, generation } : { kind: "held", value, generation };
    });
  }

  async fillIn(fills: readonly Fill[]): Promise<void> {
    const { ttlMs, limits } = this.#options;
    const names = this.#namesOf(fills.map(({ key }) => key));
    const each = fills.flatMap(({ token, generation, version, row }) => [token, generation, version, row]);
    await this.#run("any", scripts.fill, names, [ttlMs, Math.min(ttlMs, limits.absentMs), ...each]);
  }

  async write(changes: readonly Change[], message: string): Promise<void> {
    const names = this.#namesOf(changes.map(({ key }) => key));
    const each = changes.flatMap(({ version, row }) => [version, row]);
    await this.#run("kept", scripts.write, names, [this.#options.ttlMs, this.#channel, message, ...each]);
  }

  async beat({ sender, message, candidate, replaces = "", dead }: Beat): Promise<string> {
    const args = [sender, this.#channel, message, candidate, replaces, this.#options.limits.lostMs, ...dead];
    const [generation, isCrowded] = (await this.#run("kept", scripts.beat, [this.#registry], args)) as [string, number];
    this.#isCrowded = isCrowded === 1;
    return generation;
  }

  async leave(sender: string, message: string): Promise<void> {
    await this.#run("kept", scripts.leave, [this.#registry], [sender, this.#channel, message]);
  }

  listen(listener: CacheListener): void {
    const redis = this.#open("cache-listening");
    this.#listening = redis;
    // The others may be closed for being idle.
    this.#connections.all[0]?.on("close", () => listener.onInterrupted());
    redis.on("message", (_channel, text) => listener.onMessage(text));
    // After each connect: what was said before is lost.
    redis.on("ready", () => {
      // Where that fails nothing is heard, which is noticed within seconds, and tried anew.
      redis.subscribe(this.#channel).then(listener.onListening, () => {});
    });
  }

  relisten(): void {
    this.#listening?.disconnect(true);
  }

  async measure(): Promise<RedisMeasure> {
    const [keys, info] = await this.#call("any", (redis) => Promise.all([redis.dbsize(), redis.info()]));
    const number = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, "m").exec(info)?.[1] ?? 0);
    return { keys, bytes: number("used_memory"), evictions: number("evicted_keys") };
  }

  stats(): RedisStats {
    const all = [...this.#connections.all, ...(this.#listening === undefined ? [] : [this.#listening])];
    const connections = all.filter(({ status }) => status === "ready").length;
    return { connections, callsInFlight: this.#connections.calls };
  }

  stop(): Promise<void> {
    this.#listening?.disconnect();
    this.#connections.stop();
    return Promise.resolve();
  }

  get #registry(): string {
    return `${this.#prefix}fleet`;
  }

  #namesOf(keys: readonly Key[]): string[] {
    return keys.map((key) => `${this.#prefix}${key}`);
  }

  #open(name: string): Redis {
    const redis = connect(this.#address, name, this.#options.limits);
    redis.on("ready", () => this.#answered.resolve("ready"));
    redis.on("error", (error: Error) => {
      this.lastError = error.message;
      this.#answered.resolve(refusal.test(error.message) ? "refused" : "unreachable");
    });
    return redis;
  }

  /** By its hash where the server knows the script, else by its text: after a restart, or `SCRIPT FLUSH`. */
  #run(
    order: "kept" | "any",
    { lua, sha }: Script,
    names: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    return this.#call(order, async (redis) => {
      try {
        return await redis.evalsha(sha, names.length, ...names, ...args);
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
        return redis.eval(lua, names.length, ...names, ...args);
      }
    });
  }

  async #call<T>(order: "kept" | "any", run: (redis: Redis) => Promise<T>): Promise<T> {
    let isReady = false;
    try {
      return await this.#connections.call(order, (redis) => {
        isReady = redis.status === "ready";
        return run(redis);
      });
    } catch (error) {
      // Not passed on: it holds what was sent.
      const why = isReady && error instanceof Error ? error.message : this.lastError;
      throw new Fault("unavailable", `Redis does not serve the cache: ${why}`);
    }
  }
}
