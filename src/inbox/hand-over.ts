/**
 * Hands the entries of a partition to its reader, in rising seq and each once. Two ways lead there:
 *
 *     memory   an append just became durable ──► ready ──► next
 *     store    next ──► read a chunk above `upTo` ──► ready ──► next
 *
 * The store is read at the start, after more entries than `handoverMaxEntries` waited (the further ones are dropped from memory), and
 * after a commit that failed (it may have stored entries that nobody told us of), and where seqs are missing between what is known and what
 * comes (other processes append to the same partition). While entries above `upTo` may be in the store
 * only, whatever arrives is dropped as well: it must not overtake them. Back to memory once the store has been read to its end.
 */
import { type Clock, sleep } from "../clock.ts";
import type { Fault } from "../faults.ts";
import { type Seq, toSeq } from "../ids.ts";
import { entryOf } from "./encoding.ts";
import type { Entry } from "./inbox.ts";
import type { Chunk } from "./store.ts";

export interface HandOverLimits {
  readonly handoverMaxEntries: number;
  readonly handoverMaxBytes: number;
  readonly readMaxEntries: number;
  readonly writeRetryMs: number;
}

export interface HandOverOptions {
  readonly read: (after: Seq, max: number) => Promise<Chunk>;
  /** What the next seq of the partition is higher by. */
  readonly step: number;
  readonly clock: Clock;
  readonly limits: HandOverLimits;
  /** The store could not be read; it is tried again. */
  readonly onReadFailed: (error: unknown) => void;
}

export class HandOver {
  readonly #options: HandOverOptions;
  readonly #ended = new AbortController();
  #fault: Fault | undefined;
  #ready: Entry[] = [];
  #readyBytes = 0;
  /** Every entry up to here has been put into `ready`. */
  #upTo = toSeq(0);
  /** Entries up to here may be in the store only. */
  #droppedUpTo = toSeq(0);
  /** The store may hold entries that we were never told of. */
  #isUnsure = true;
  #doubts = 0;
  #hasReadAll = false;
  #wake: (() => void) | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: HandOverOptions) {
    this.#options = options;
  }

  /** Entries that are stored may not be in `ready`. */
  get isBehind(): boolean {
    return this.#isUnsure || this.#droppedUpTo > this.#upTo;
  }

  /** What was stored at the beginning has been read. Later it may be behind again and again, where others append all the time. */
  get hasReadAll(): boolean {
    return this.#hasReadAll;
  }

  /** Entries that became durable, in rising seq over all calls. */
  offer(entries: readonly Entry[]): void {
    if (this.#ended.signal.aborted) return;
    const { handoverMaxEntries, handoverMaxBytes } = this.#options.limits;
    for (const entry of entries) {
      // Read back already: its commit was answered later than a read that saw it.
      if (entry.seq <= this.#upTo) continue;
      const isNext = entry.seq <= this.#upTo + this.#options.step;
      if (!isNext || this.isBehind || this.#ready.length >= handoverMaxEntries) {
        this.#droppedUpTo = entry.seq;
        continue;
      }
      const size = entry.body?.size ?? 0;
      const isHeavy = this.#readyBytes + size > handoverMaxBytes;
      if (!isHeavy) this.#readyBytes += size;
      this.#ready.push(isHeavy ? { ...entry, body: undefined } : entry);
      this.#upTo = entry.seq;
    }
    this.#wakeUp();
  }

  /** The store has entries up to `seq` that were not offered. */
  arrived(seq: Seq): void {
    if (seq <= this.#upTo || seq <= this.#droppedUpTo) return;
    this.#droppedUpTo = seq;
    this.#wakeUp();
  }

  /** A commit failed: whether it stored entries is not known. */
  doubt(): void {
    this.#doubts++;
    this.#isUnsure = true;
    this.#wakeUp();
  }

  /** As `Partition.next`. */
  next(max: number): Promise<readonly Entry[]> {
    const turn = this.#turn.then(() => this.#take(max));
    this.#turn = turn;
    return turn;
  }

  /** From now on `next` resolves with nothing, or rejects with `fault`. */
  end(fault?: Fault): void {
    this.#fault ??= fault;
    this.#ended.abort();
    this.#ready = [];
    this.#wakeUp();
  }

  async #take(max: number): Promise<readonly Entry[]> {
    while (!this.#ended.signal.aborted) {
      if (this.#ready.length > 0) {
        const taken = this.#ready.splice(0, max);
        for (const { body } of taken) this.#readyBytes -= body?.size ?? 0;
        return taken;
      }
      if (this.isBehind) await this.#readBack();
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    if (this.#fault !== undefined) throw this.#fault;
    return [];
  }

  async #readBack(): Promise<void> {
    const { read, clock, limits, onReadFailed } = this.#options;
    const { readMaxEntries: max, writeRetryMs } = limits;
    const doubts = this.#doubts;
    try {
      const { entries, upTo } = await read(this.#upTo, max);
      for (const stored of entries) {
        const entry = entryOf(stored);
        this.#readyBytes += entry.body?.size ?? 0;
        this.#ready.push(entry);
      }
      if (upTo > this.#upTo) this.#upTo = upTo;
      if (entries.length >= max) return;
      this.#hasReadAll = true;
      if (doubts === this.#doubts) this.#isUnsure = false;
    } catch (error) {
      onReadFailed(error);
      await sleep(clock, writeRetryMs, this.#ended.signal);
    }
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}
