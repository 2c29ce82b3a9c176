/**
 * A world on virtual time in which nothing is left to chance: calls and commits take fixed times, and things fail only as a test says. What
 * it shows of botfleet is what can be counted from outside: who was answered when, timers and calls open, what the store holds.
 */
import type { BotModule } from "../../src/bots/bot.ts";
import * as echo from "../../src/bots/echo.ts";
import { limits } from "../../config/limits.ts";
import type { Clock, Timer } from "../../src/clock.ts";
import { type BotId, botIdOf, type Token, toToken } from "../../src/ids.ts";
import { createInbox } from "../../src/inbox/front.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import type { Group, InboxStore } from "../../src/inbox/store.ts";
import type { AttemptResult } from "../../src/pipeline-options.ts";
import { type BotApi, createBotApi } from "../../src/simulator/bot-api.ts";
import type { Transport } from "../../src/telegram/exchange.ts";
import { type Instance, type InstanceOptions, startInstance } from "./instance.ts";
import { Scheduler } from "./scheduler.ts";
import { createSimulatedTransport } from "./telegram.ts";

type FromInstance = "pipelineLimits" | "pollerLimits" | "pollingEvents" | "callEvents" | "flood";

export interface SteadyOptions extends Pick<InstanceOptions, FromInstance> {
  /** Default 1. */
  readonly bots?: number;
  /** Every answer of Telegram's is this late, ms; default 50. */
  readonly apiDelayMs?: number;
  /** A commit takes this long, ms; default 2. */
  readonly commitMs?: number;
  /** What bot `number` (from 0) does; default: it echoes. */
  readonly module?: (number: number) => BotModule;
  /** Between the client and Telegram. */
  readonly transport?: (transport: Transport, world: SteadyWorld) => Transport;
  /** Default true. */
  readonly deduplicate?: boolean;
  /** What became durable. */
  readonly onCommitted?: (group: Group) => void;
}

export interface Answered {
  readonly bot: number;
  readonly chat: number;
  readonly text: string;
  /** From what the person wrote to this answer, ms. */
  readonly afterMs: number;
  /** When the person wrote, virtual ms. */
  readonly writtenMs: number;
}

export const echoModule: BotModule = { updates: echo.updates, create: echo.default };

export class SteadyWorld {
  readonly scheduler = new Scheduler(1);
  readonly api: BotApi;
  readonly tokens: readonly Token[];
  readonly timers: CountedClock;
  readonly durable = emptyDurable();
  /** Commits fail while it is true. */
  isDiskFailing = false;
  readonly answers: Answered[] = [];
  /** Ends of attempts. */
  readonly ends: Record<AttemptResult, number> = {
    done: 0,
    undeliverable: 0,
    retry: 0,
    dead: 0,
    outage: 0,
    kept: 0,
    expired: 0,
  };
  /** Calls to Telegram that are open. */
  readonly connections = new Set<AbortController>();
  private readonly options: SteadyOptions;
  private readonly written = new Map<string, number>();
  private instance: Instance | undefined;

  constructor(options: SteadyOptions = {}) {
    const { scheduler } = this;
    this.options = options;
    this.timers = new CountedClock(scheduler.clock());
    this.api = createBotApi({
      clock: scheduler.clock(),
      random: scheduler.random,
      delayMs: options.apiDelayMs ?? 50,
      historyPerChat: 0,
    });
    this.tokens = Array.from({ length: options.bots ?? 1 }, (_, number) => {
      const token = toToken(this.api.addBot({ id: 100_001 + number }).token);
      if (token === undefined) throw new Error("the simulator made a token of another form");
      return token;
    });
    this.api.journal.listen({
      send: ({ bot, chat, text, effect }) => {
        const writtenMs = this.written.get(`${bot}/${chat}/${text}`);
        if (!effect || writtenMs === undefined) return;
        this.answers.push({ bot, chat, text, writtenMs, afterMs: scheduler.nowMs - writtenMs });
      },
    });
  }

  get running(): Instance {
    if (this.instance === undefined) throw new Error("the world has not been started");
    return this.instance;
  }

  /** The id of bot `number`. */
  botId(number: number): BotId {
    return botIdOf(this.tokens[number] as Token);
  }

  /** Somebody writes; texts of one chat must differ. */
  say(number: number, chat: number, text: string): void {
    const bot = this.botId(number);
    this.written.set(`${bot}/${chat}/${text}`, this.scheduler.nowMs);
    this.api.people.person(chat).say(bot, text);
  }

  async start(): Promise<void> {
    const { options, scheduler, timers, tokens } = this;
    const io = async <T>(effect: () => T | Promise<T>): Promise<T> => effect();
    const caller = { clock: scheduler.clock(), connections: this.connections, io };
    const direct = createSimulatedTransport(caller, this.api, { unknown() {} });
    this.instance = await startInstance({
      ...options,
      clock: timers,
      random: scheduler.random,
      inbox: this.openInbox(),
      tokens,
      module: (token) => options.module?.(tokens.indexOf(token)) ?? echoModule,
      transport: options.transport?.(direct, this) ?? direct,
      pipelineEvents: { onAttempt: (_, result) => void this.ends[result]++ },
    });
  }

  /** Moves on by `ms`. */
  async pass(ms: number): Promise<void> {
    await this.until(() => false, ms);
  }

  /** Moves on until `isDone`, by at most `maxMs`; answers whether it was done. */
  async until(isDone: () => boolean, maxMs: number): Promise<boolean> {
    const { scheduler } = this;
    const endMs = scheduler.nowMs + maxMs;
    const done = await scheduler.run(isDone, endMs, Infinity);
    if (!done) scheduler.nowMs = endMs;
    return done;
  }

  /** Nothing is unsettled and nothing waits at Telegram. */
  get isQuiet(): boolean {
    if (this.durable.entries.size > 0) return false;
    for (const bot of this.api.bots.values()) if (bot.queue.size > 0) return false;
    return true;
  }

  async stop(): Promise<void> {
    let stopped = false;
    void this.running.stop().then(() => (stopped = true));
    if (!(await this.until(() => stopped, 60_000))) throw new Error("botfleet does not stop");
  }

  private openInbox(): Inbox {
    const { options, scheduler, timers, durable } = this;
    const { deduplicate = true, commitMs = 2 } = options;
    const store = createMemoryStore({ durable, limits: limits.inbox, deduplicate, now: timers.now() });
    const commit: InboxStore["commit"] = async (group) => {
      const committed = await store.commit(group);
      options.onCommitted?.(group);
      return committed;
    };
    const slow: InboxStore = {
      ...store,
      commit: (group) =>
        new Promise((resolve, reject) => {
          scheduler.at(commitMs, () => {
            if (this.isDiskFailing) reject(new Error("the disk does not answer"));
            else resolve(commit(group));
          });
        }),
    };
    return createInbox({ store: slow, clock: timers, limits: limits.inbox });
  }
}

/** Knows how many timers run, and how many ran at once. */
export class CountedClock implements Clock {
  pending = 0;
  mostPending = 0;
  private readonly clock: Clock;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  now(): number {
    return this.clock.now();
  }

  monotonic(): number {
    return this.clock.monotonic();
  }

  setTimer(run: () => void, ms: number): Timer {
    let isOver = false;
    const end = (): void => {
      if (!isOver) this.pending--;
      isOver = true;
    };
    this.pending++;
    this.mostPending = Math.max(this.mostPending, this.pending);
    const timer = this.clock.setTimer(() => {
      end();
      run();
    }, ms);
    return {
      cancel: () => {
        end();
        timer.cancel();
      },
    };
  }
}
