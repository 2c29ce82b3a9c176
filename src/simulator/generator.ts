/** Load made inside the simulator: people who send numbered messages to bots, and an oracle that counts the answers. */
import type { Random, Timer } from "../clock.ts";
import type { BotApi } from "./bot-api.ts";
import type { OracleReport } from "./oracle.ts";
import { numbered, Oracle } from "./oracle.ts";

export interface LoadSpec {
  /** Bot ids; default: all bots there are. */
  readonly bots?: readonly number[];
  /** Chats of each bot; default 100. */
  readonly chats?: number;
  /** Number of the first chat; the others follow, `chatStep` apart. Default 1 and 1. */
  readonly firstChat?: number;
  readonly chatStep?: number;
  /** Messages a second over all bots. Either this or `inFlight`. */
  readonly perSecond?: number;
  /** Keep this many messages unanswered over all bots. */
  readonly inFlight?: number;
  /** Stop after this many messages; default: endless. */
  readonly total?: number;
  /** `round` takes bots and chats in turn, `random` draws them; default `round`. */
  readonly pick?: "round" | "random";
  /** Characters added to each text, for bigger updates; default 0. */
  readonly padding?: number;
}

export interface Load {
  readonly oracle: Oracle;
  /** False once `total` is reached or it was stopped. */
  running(): boolean;
  /** No further messages; answers are still counted. Idempotent. */
  stop(): void;
  /**
   * Resolves with the report as soon as it no longer runs and every message is answered, or after `maxMs` by the simulator's clock.
   */
  settled(maxMs: number): Promise<OracleReport>;
  /** `stop`, and stop counting. */
  close(): void;
}

const tickMs = 10;
/** After a pause of the process the rate is not made up for at once, ms. */
const catchUpMaxMs = 1_000;

/**
 * Starts at once. Messages that a full queue drops are not counted as sent (see the journal). `random` of the draw is the given one.
 * A bot, chat pair belongs to one load only: numbers start at 0 for each.
 */
export function startLoad(api: BotApi, spec: LoadSpec, random: Random): Load {
  return new RunningLoad(api, spec, random);
}

class RunningLoad implements Load {
  readonly oracle = new Oracle();
  readonly #api: BotApi;
  readonly #spec: LoadSpec;
  readonly #random: Random;
  readonly #bots: readonly number[];
  readonly #padding: string;
  /** The next number of each bot and chat. */
  readonly #next: Uint32Array;
  readonly #unlisten: readonly (() => void)[];
  #turn = 0;
  #made = 0;
  #running = true;
  #timer: Timer | undefined;
  #lastTick: number;
  /** Messages that the rate still owes. */
  #due = 0;
  readonly #settled = new Set<() => void>();

  constructor(api: BotApi, spec: LoadSpec, random: Random) {
    this.#api = api;
    this.#spec = spec;
    this.#random = random;
    this.#bots = spec.bots ?? [...api.bots.keys()];
    this.#padding = spec.padding === undefined ? "" : ` ${"x".repeat(spec.padding)}`;
    this.#next = new Uint32Array(this.#bots.length * (spec.chats ?? 100));
    this.#lastTick = api.clock.monotonic();
    const send = (): void => {
      this.#fill();
      this.#settle();
    };
    this.#unlisten = [this.oracle.follow(api.journal), api.journal.listen({ send })];
    this.#tick();
  }

  running(): boolean {
    return this.#running;
  }

  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
    this.#settle();
  }

  settled(maxMs: number): Promise<OracleReport> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.#settled.delete(end);
        resolve(this.oracle.report());
      };
      const timer = this.#api.clock.setTimer(end, maxMs);
      this.#settled.add(end);
      this.#settle();
    });
  }

  close(): void {
    this.stop();
    for (const unlisten of this.#unlisten) unlisten();
  }

  #tick(): void {
    const now = this.#api.clock.monotonic();
    const elapsedMs = Math.min(now - this.#lastTick, catchUpMaxMs);
    this.#due += (elapsedMs * (this.#spec.perSecond ?? 0)) / 1_000;
    this.#lastTick = now;
    for (; this.#due >= 1 && this.#running; this.#due--) this.#say();
    this.#fill();
    if (this.#running) this.#timer = this.#api.clock.setTimer(() => this.#tick(), tickMs);
  }

  #fill(): void {
    const wanted = this.#spec.inFlight ?? 0;
    // A full queue drops what is said: then the next tick tries again.
    while (this.#running && this.oracle.open < wanted && this.#say());
  }

  /** False where Telegram dropped it: it was never sent, its number is used again. */
  #say(): boolean {
    const slots = this.#next.length;
    const slot = this.#spec.pick === "random" ? Math.floor(this.#random() * slots) : this.#turn++ % slots;
    const bot = this.#bots[slot % this.#bots.length]!;
    const chat = (this.#spec.firstChat ?? 1) + Math.floor(slot / this.#bots.length) * (this.#spec.chatStep ?? 1);
    const n = this.#next[slot]!;
    const { state } = this.#api.people.person(chat).say(bot, numbered(chat, n) + this.#padding);
    if (state !== "queued") return false;
    this.#next[slot] = n + 1;
    if (++this.#made >= (this.#spec.total ?? Infinity)) this.stop();
    return true;
  }

  #settle(): void {
    if (this.#running || this.oracle.open > 0) return;
    for (const end of this.#settled) end();
  }
}
