/**
 * What other processes append to the partitions that this one has open: they say so, and where that is not heard it is found by looking. The looking
 * also tells whether Redis can be reached while nobody writes.
 */
import type { Clock, Timer } from "../clock.ts";
import { type Seq, toSeq } from "../ids.ts";
import type { StoreEvents } from "./store.ts";

export interface RedisArrivalsOptions {
  readonly writer: string;
  readonly clock: Clock;
  /** Between two looks, ms. */
  readonly lookMs: number;
  /** The last seq that was given out, by partition. */
  readonly lastSeqs: () => Promise<ReadonlyMap<number, Seq>>;
}

export class RedisArrivals {
  readonly #options: RedisArrivalsOptions;
  readonly #opened = new Set<number>();
  #events: StoreEvents | undefined;
  #timer: Timer | undefined;

  constructor(options: RedisArrivalsOptions) {
    this.#options = options;
  }

  /** From now on it is told what arrives in this partition. */
  open(partition: number): void {
    this.#opened.add(partition);
  }

  close(partition: number): void {
    this.#opened.delete(partition);
  }

  watch(events: StoreEvents): void {
    this.#events = events;
    this.#plan();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#events = undefined;
  }

  /** `<writer> <partition>:<last seq> ...`. */
  heard(text: string): void {
    const [writer, ...arrived] = text.split(" ");
    // Its own entries are handed over as their group is answered.
    if (writer === this.#options.writer) return;
    for (const each of arrived) {
      const [partition, seq] = each.split(":");
      this.#events?.onArrived(Number(partition), toSeq(Number(seq)));
    }
  }

  /** Something may have been missed. */
  doubt(): void {
    for (const partition of this.#opened) this.#events?.onArrived(partition, undefined);
  }

  #plan(): void {
    this.#timer = this.#options.clock.setTimer(() => {
      void this.#look().finally(() => {
        if (this.#events !== undefined) this.#plan();
      });
    }, this.#options.lookMs);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    try {
      const lasts = await this.#options.lastSeqs();
      for (const partition of this.#opened) this.#events?.onArrived(partition, lasts.get(partition) ?? toSeq(0));
      this.#events?.onLooked(undefined);
    } catch (error) {
      this.#events?.onLooked(error);
    }
  }
}
