/** Ends of the waits that Telegram asked for. Few at most times: as long as there are none they cost nothing. */
import type { ChatKey } from "./flood-call.ts";

export class Blocks {
  private readonly untils = new Map<ChatKey, number>();
  /** Blocks remembered; beyond it the one added or renewed longest ago is forgotten. */
  private readonly max: number;
  /** How long a block is remembered beyond its end, ms. */
  private readonly keepMs: number;
  private lastEnd = 0;
  private sweepSize = 64;

  constructor(max: number, keepMs: number) {
    this.max = max;
    this.keepMs = keepMs;
  }

  get size(): number {
    return this.untils.size;
  }

  /** Monotonic ms, in the past where the block is over; 0 where none is known. */
  until(key: ChatKey, now: number): number {
    if (this.untils.size === 0) return 0;
    if (this.lastEnd + this.keepMs <= now) {
      this.untils.clear();
      return 0;
    }
    return this.untils.get(key) ?? 0;
  }

  add(key: ChatKey, until: number, now: number): void {
    if (this.untils.size >= this.sweepSize) this.sweep(now);
    const known = this.untils.get(key) ?? 0;
    this.untils.delete(key);
    if (this.untils.size >= this.max) this.forgetOne();
    this.untils.set(key, Math.max(known, until));
    this.lastEnd = Math.max(this.lastEnd, until);
  }

  /** After as many blocks again as were left by the sweep before: a share of each `add` that does not grow. */
  private sweep(now: number): void {
    for (const [key, until] of this.untils) if (until + this.keepMs <= now) this.untils.delete(key);
    this.sweepSize = Math.max(64, 2 * this.untils.size);
  }

  private forgetOne(): void {
    for (const [key] of this.untils) {
      this.untils.delete(key);
      return;
    }
  }
}
