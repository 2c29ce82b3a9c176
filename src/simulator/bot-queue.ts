/** The updates of one bot that wait at Telegram, with the rules of getUpdates for offsets, batches and retention. */
import type { Clock } from "../clock.ts";
import type { UpdateEntry } from "./journal-entries.ts";
import { retentionMs } from "./retention.ts";

export interface QueueLimits {
  /** Updates kept; further ones are dropped. */
  readonly queueMaxUpdates: number;
  /** JSON text kept, bytes; further updates are dropped. */
  readonly queueMaxBytes: number;
}

/** How an update left the queue. `deleted`: by a negative offset, `drop_pending_updates` or the operator. */
export type Leaving = "confirmed" | "expired" | "deleted";

export interface QueuedUpdate {
  /** Its place in the numbering; differs from the `update_id` in `json` only where a test injected one that is not usable. */
  readonly id: number;
  readonly json: string;
  readonly bytes: number;
  /** Monotonic ms: Telegram's time does not jump when ours does. */
  readonly expiresAt: number;
  readonly entry: UpdateEntry;
  gone: boolean;
}

/** A batch holds about this much JSON text, bytes. */
const batchMaxBytes = 4 * 1024 * 1024;
/** An offset this far above the next id is "in the future": the queue is read from its head. */
const futureIds = 10;

export class BotQueue {
  /** The id that the next update gets. */
  nextId: number;
  #items: QueuedUpdate[] = [];
  #head = 0;
  #live = 0;
  #bytes = 0;
  /** No update expires before this time. */
  #sweepAt = Infinity;
  /** `update_id` as sent → the injected updates whose own number cannot be their place. */
  readonly #aliases = new Map<number, QueuedUpdate[]>();
  readonly #clock: Clock;
  readonly #limits: QueueLimits;
  readonly #left: (update: QueuedUpdate, how: Leaving) => void;

  constructor(
    firstId: number,
    options: {
      readonly clock: Clock;
      readonly limits: QueueLimits;
      readonly left: (update: QueuedUpdate, how: Leaving) => void;
    },
  ) {
    this.nextId = firstId;
    this.#clock = options.clock;
    this.#limits = options.limits;
    this.#left = options.left;
  }

  /** Waiting updates, expired ones not counted. */
  get size(): number {
    this.#sweep();
    return this.#live;
  }

  /**
   * Appends under `entry.updateId`. `sentId` is the number in the JSON text where a test chose it. False where the queue is full: the
   * update is dropped and uses up no id.
   */
  push(entry: UpdateEntry, json: string, sentId?: number): boolean {
    const bytes = Buffer.byteLength(json);
    if (!this.#fits(bytes)) {
      this.#sweep();
      if (!this.#fits(bytes)) return false;
    }
    const id = entry.updateId;
    this.nextId = id + 1;
    const expiresAt = this.#clock.monotonic() + retentionMs(entry.kind);
    const update = { id, json, bytes, expiresAt, entry, gone: false };
    this.#items.push(update);
    if (sentId !== undefined && sentId !== id) {
      const alike = this.#aliases.get(sentId);
      if (alike === undefined) this.#aliases.set(sentId, [update]);
      else alike.push(update);
    }
    this.#live++;
    this.#bytes += bytes;
    if (expiresAt < this.#sweepAt) this.#sweepAt = expiresAt;
    return true;
  }

  /**
   * What getUpdates does: forgets everything below a positive offset, all but the last N for a negative one and nothing for 0, then answers
   * up to `limit` updates from there. An offset far above the numbering reads from the head and forgets nothing.
   */
  read(offset: number, limit: number): readonly QueuedUpdate[] {
    const head = this.#items[this.#head]?.id ?? this.nextId;
    let from = this.#placeOf(offset);
    if (from < 0) from = Math.max(head, from + this.nextId);
    if (from > this.nextId + futureIds) from = head;
    this.#forgetBelow(from, offset < 0 ? "deleted" : "confirmed");
    const now = this.#clock.monotonic();
    const batch: QueuedUpdate[] = [];
    let bytes = 0;
    for (let at = this.#head; at < this.#items.length && batch.length < limit; at++) {
      const update = this.#items[at]!;
      if (update.gone) continue;
      if (update.expiresAt < now) {
        this.#end(update, "expired");
        continue;
      }
      bytes += update.bytes + 50;
      if (bytes > batchMaxBytes && batch.length > 0) break;
      batch.push(update);
    }
    return batch;
  }

  /** Forgets everything. */
  clear(): void {
    this.#forgetBelow(Infinity, "deleted");
  }

  #placeOf(offset: number): number {
    // The same number may have been injected several times: whoever confirms it means what they were given.
    const given = this.#aliases.get(offset - 1)?.findLast(({ entry }) => entry.delivered > 0);
    return given === undefined ? offset : given.id + 1;
  }

  #fits(bytes: number): boolean {
    return this.#live < this.#limits.queueMaxUpdates && this.#bytes + bytes <= this.#limits.queueMaxBytes;
  }

  #forgetBelow(id: number, how: Leaving): void {
    while (this.#head < this.#items.length) {
      const update = this.#items[this.#head]!;
      if (update.id >= id) break;
      this.#head++;
      if (!update.gone) this.#end(update, update.expiresAt < this.#clock.monotonic() ? "expired" : how);
    }
    if (this.#head === this.#items.length) {
      this.#items = [];
      this.#head = 0;
      this.#aliases.clear();
    } else if (this.#head > 1_000 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  #sweep(): void {
    const now = this.#clock.monotonic();
    // A full queue is swept for each update that knocks: only look when something can have expired.
    if (now <= this.#sweepAt) return;
    this.#sweepAt = Infinity;
    const kept: QueuedUpdate[] = [];
    for (let at = this.#head; at < this.#items.length; at++) {
      const update = this.#items[at]!;
      if (update.gone) continue;
      if (update.expiresAt < now) {
        this.#end(update, "expired");
        continue;
      }
      kept.push(update);
      if (update.expiresAt < this.#sweepAt) this.#sweepAt = update.expiresAt;
    }
    this.#items = kept;
    this.#head = 0;
  }

  #end(update: QueuedUpdate, how: Leaving): void {
    update.gone = true;
    this.#live--;
    this.#bytes -= update.bytes;
    this.#left(update, how);
  }
}
