/**
 * What other processes do: what they append to the partitions that this one has open they say, and where that is not heard it is found by looking. What
 * they settle, in any partition, is found by looking. The looking also tells whether Redis can be reached while nobody writes.
 */
import type { Clock, Timer } from "../clock.ts";
import { toSeq } from "../ids.ts";
import type { Look } from "./redis-reads.ts";
import type { StoreEvents } from "./store.ts";

export interface RedisArrivalsOptions {
  readonly writer: string;
  readonly clock: Clock;
  /** Between two looks, ms. */
  readonly lookMs: number;
  readonly look: () => Promise<Look>;
  /** Time after which Redis loses nothing any more of what it held, ms: it is on its disk and on its replicas. */
  readonly lossMaxMs: number;
}

export class RedisArrivals {
  readonly #options: RedisArrivalsOptions;
  readonly #opened = new Set<number>();
  #events: StoreEvents | undefined;
  #timer: Timer | undefined;
  /** What was found lately, oldest first. */
  #looks: { readonly atMs: number; readonly look: Look }[] = [];

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

  /** Redis may have lost what came last, of which something was found settled perhaps. */
  distrust(): void {
    this.#looks = [];
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
    const atMs = this.#options.clock.monotonic();
    try {
      const look = await this.#options.look();
      for (const partition of this.#opened) {
        this.#events?.onArrived(partition, look.partitions[partition]?.last ?? toSeq(0));
      }
      this.#believe({ atMs, look });
      this.#events?.onBacklog({ partitions: look.partitions.map(({ backlog }) => backlog), bots: look.bots });
      this.#events?.onLooked(undefined);
    } catch (error) {
      this.#events?.onLooked(error);
    }
  }

  /** Only now that Redis was asked again: it is the one that was asked then. */
  #believe(latest: { readonly atMs: number; readonly look: Look }): void {
    const { lossMaxMs } = this.#options;
    const isNew = this.#looks.findIndex(({ atMs }) => latest.atMs - atMs < lossMaxMs);
    const old = this.#looks.splice(0, isNew < 0 ? this.#looks.length : isNew).at(-1);
    old?.look.partitions.forEach(({ settledBelow }, partition) => {
      this.#events?.onSettledBelow(partition, settledBelow);
    });
    this.#looks.push(latest);
  }
}
