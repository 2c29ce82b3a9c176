/** How long the oldest unsettled entry of a bot has waited, in bounded memory: not each entry's time is kept, only that of blocks. */
import type { Seq } from "./ids.ts";

/** Blocks of a bot; beyond it neighbours are joined until `roomyBlocks` are left at most. */
const blocksMax = 256;
const roomyBlocks = 192;
/** Entries received within this belong to one block where there is room for many, ms. */
const spanFirstMs = 1_000;

/**
 * Entries that came one after another within a second share a block, which counts the unsettled among them. As the backlog spans a longer
 * time, blocks are joined: the answer is too early by a second at most, or by a fiftieth of what it has spanned since it was last empty.
 */
export class LaneAges {
  /** In rising order: a block holds the entries from its own `seq` up to that of the next one. */
  private seqs: Seq[] = [];
  /** When the oldest of them was received, wall-clock ms. */
  private times: number[] = [];
  /** When the newest of them was received. */
  private latests: number[] = [];
  /** Unsettled. */
  private counts: number[] = [];
  private spanMs = spanFirstMs;
  private unsettled = 0;

  /** `seq` rises from call to call; times need not: a dead letter that is retried keeps its own. */
  add(seq: Seq, receivedAt: number): void {
    this.unsettled++;
    this.put(seq, receivedAt, receivedAt, 1);
    if (this.times.length > blocksMax) this.join();
  }

  /** The entry is settled. Once for each that was added. */
  settle(seq: Seq): void {
    const at = this.blockOf(seq);
    this.counts[at] = (this.counts[at] as number) - 1;
    if (--this.unsettled > 0) return;
    this.seqs = [];
    this.times = [];
    this.latests = [];
    this.counts = [];
    this.spanMs = spanFirstMs;
  }

  /** When the oldest unsettled entry was received, wall-clock ms; undefined where there is none. */
  oldest(): number | undefined {
    let oldest: number | undefined;
    for (let at = 0; at < this.times.length; at++) {
      const time = this.times[at] as number;
      if ((this.counts[at] as number) > 0 && (oldest === undefined || time < oldest)) oldest = time;
    }
    return oldest;
  }

  private blockOf(seq: Seq): number {
    const { seqs } = this;
    let low = 0;
    let high = seqs.length - 1;
    // Most entries settle soon after they came.
    if (seq >= (seqs[high] as Seq)) return high;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((seqs[middle] as Seq) <= seq) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Drops blocks of which everything is settled, and joins neighbours that are near each other, until there is room again. */
  private join(): void {
    for (let spanMs = this.spanMs; this.times.length > roomyBlocks; spanMs *= 2) {
      this.spanMs = spanMs;
      const { seqs, times, latests, counts } = this;
      this.seqs = [];
      this.times = [];
      this.latests = [];
      this.counts = [];
      for (let at = 0; at < seqs.length; at++) {
        if ((counts[at] as number) === 0) continue;
        this.put(seqs[at] as Seq, times[at] as number, latests[at] as number, counts[at] as number);
      }
    }
  }

  private put(seq: Seq, time: number, latest: number, count: number): void {
    const last = this.times.length - 1;
    // Times may fall as well as rise: blocks that join in one direction alone would never be few enough.
    const from = Math.min(time, this.times[last] ?? Number.NaN);
    const to = Math.max(latest, this.latests[last] ?? Number.NaN);
    if (to - from <= this.spanMs) {
      this.times[last] = from;
      this.latests[last] = to;
      this.counts[last] = (this.counts[last] as number) + count;
      return;
    }
    this.seqs.push(seq);
    this.times.push(time);
    this.latests.push(latest);
    this.counts.push(count);
  }
}
