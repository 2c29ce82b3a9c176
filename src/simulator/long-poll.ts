/** getUpdates of one bot: who waits, who is told of a conflict, and the rules for the same offset again. */
import type { Clock, Timer } from "../clock.ts";
import type { BotQueue, QueuedUpdate } from "./bot-queue.ts";
import type { PollEntry } from "./journal-entries.ts";
import type { Answer } from "./wire.ts";
import { ok, refusal, words } from "./wire.ts";

export interface PollParams {
  readonly offset: number;
  /** As sent; clamped to 1–100 here. */
  readonly limit: number;
  /** Seconds, as sent; clamped to 0–50 here. */
  readonly timeoutS: number;
  /** See `PollEntry`. */
  readonly from: string;
}

export interface PollEvents {
  readonly delivered: (update: QueuedUpdate) => void;
  readonly ended: (poll: Omit<PollEntry, "bot">) => void;
}

interface Waiting {
  readonly offset: number;
  readonly limit: number;
  readonly from: string;
  /** Wall-clock ms at which it came. */
  readonly at: number;
  /** Monotonic ms at which it is answered whatever happens. */
  readonly endsAt: number;
  /** When the first and the last update came since it waits. */
  firstAt: number | undefined;
  lastAt: number;
  timer: Timer;
  readonly respond: (answer: Answer) => void;
}

const timeoutMaxS = 50;
const limitMax = 100;
/** The same offset again within this time gets one update only. */
const repeatSoonMs = 500;
/** The same offset again within this time waits at least this long. */
const repeatMs = 3_000;
/** A second conflict within this time is answered this much later. */
const conflictMs = 3_000;
/** A waiting poll is answered this long after the last update that came, */
const wakeMs = 1;
/** but no later than this after the first. */
const wakeMaxMs = 2;

export class LongPoll {
  readonly #queue: BotQueue;
  readonly #clock: Clock;
  readonly #events: PollEvents;
  #waiting: Waiting | undefined;
  #lastOffset = -1;
  #lastAt = -Infinity;
  #nextConflictAt = -Infinity;
  /** Polls that were told of a conflict. */
  conflicts = 0;

  constructor(queue: BotQueue, clock: Clock, events: PollEvents) {
    this.#queue = queue;
    this.#clock = clock;
    this.#events = events;
  }

  get waiting(): boolean {
    return this.#waiting !== undefined;
  }

  /** Answers now or later, once. Returns how the caller gives up: a poll that nobody waits for leaves. */
  get(params: PollParams, respond: (answer: Answer) => void): () => void {
    let limit = clamp(params.limit, 1, limitMax);
    let timeoutMs = clamp(params.timeoutS, 0, timeoutMaxS) * 1_000;
    const now = this.#clock.monotonic();
    if (params.offset === this.#lastOffset) {
      if (timeoutMs < repeatMs && now < this.#lastAt + repeatMs) timeoutMs = repeatMs;
      if (now < this.#lastAt + repeatSoonMs) limit = 1;
    }
    this.#lastOffset = params.offset;
    this.#lastAt = now;
    const { from } = params;
    const at = this.#clock.now();
    const batch = this.#queue.read(params.offset, limit);
    if (batch.length > 0 || timeoutMs === 0) {
      this.#events.ended({ from, at, endedAt: at, end: "answered" });
      respond(this.#answer(batch));
      return () => undefined;
    }
    this.abort(words.otherPoll);
    const endsAt = now + timeoutMs;
    const timer = this.#clock.setTimer(() => this.#wake(), timeoutMs);
    const { offset } = params;
    const waiting: Waiting = { offset, limit, from, at, endsAt, firstAt: undefined, lastAt: now, timer, respond };
    this.#waiting = waiting;
    return () => {
      if (this.#waiting === waiting) this.#take("left");
    };
  }

  /** An update entered the queue. */
  updated(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    waiting.lastAt = this.#clock.monotonic();
    if (waiting.firstAt !== undefined) return;
    waiting.firstAt = waiting.lastAt;
    waiting.timer.cancel();
    waiting.timer = this.#clock.setTimer(() => this.#wake(), Math.min(wakeMs, waiting.endsAt - waiting.firstAt));
  }

  /** Tells the waiting poll, if there is one, of a conflict. */
  abort(description: string): void {
    const waiting = this.#take("conflict");
    if (waiting !== undefined) this.conflict(description, waiting.respond);
  }

  /** The first conflict is answered at once, others within 3 s of it 3 s later. */
  conflict(description: string, respond: (answer: Answer) => void): void {
    this.conflicts++;
    const now = this.#clock.monotonic();
    const answer = refusal(409, description);
    if (now >= this.#nextConflictAt) {
      this.#nextConflictAt = now + conflictMs;
      respond(answer);
    } else {
      this.#clock.setTimer(() => respond(answer), conflictMs);
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    const now = this.#clock.monotonic();
    if (waiting.firstAt !== undefined) {
      const at = Math.min(waiting.lastAt + wakeMs, waiting.firstAt + wakeMaxMs, waiting.endsAt);
      if (now < at) {
        waiting.timer = this.#clock.setTimer(() => this.#wake(), at - now);
        return;
      }
    }
    this.#take("answered");
    waiting.respond(this.#answer(this.#queue.read(waiting.offset, waiting.limit)));
  }

  #take(end: PollEntry["end"]): Waiting | undefined {
    const waiting = this.#waiting;
    if (waiting === undefined) return undefined;
    this.#waiting = undefined;
    waiting.timer.cancel();
    this.#events.ended({ from: waiting.from, at: waiting.at, endedAt: this.#clock.now(), end });
    return waiting;
  }

  #answer(batch: readonly QueuedUpdate[]): Answer {
    for (const update of batch) this.#events.delivered(update);
    return ok(`[${batch.map((update) => update.json).join(",")}]`);
  }
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(max, Math.max(min, value));
}
