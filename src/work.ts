/** The attempts at work: their deadlines, and the slots they give back while they wait in flood control. */
import type { AttemptRun } from "./attempt-run.ts";
import type { Clock, Timer } from "./clock.ts";
import type { LaneHome, Lanes } from "./lanes.ts";

export interface WorkLimits {
  /** Attempts in flood control that may have given their slot back. */
  readonly floodWaitingMax: number;
  readonly handlerMaxMs: number;
  /** How often deadlines are looked at, ms. */
  readonly deadlineCheckMs: number;
}

export class Work {
  private readonly clock: Clock;
  private readonly limits: WorkLimits;
  private readonly lanes: Pick<Lanes, "giveSlot" | "takeSlot">;
  private readonly running = new Set<AttemptRun>();
  private readonly waiting = new Set<AttemptRun>();
  private timer: Timer | undefined;

  constructor(clock: Clock, limits: WorkLimits, lanes: Pick<Lanes, "giveSlot" | "takeSlot">) {
    this.clock = clock;
    this.limits = limits;
    this.lanes = lanes;
  }

  /** Attempts begun and not over. */
  get size(): number {
    return this.running.size;
  }

  /** Of these, waiting in flood control without a slot. */
  get floodWaiting(): number {
    return this.waiting.size;
  }

  add(run: AttemptRun): void {
    this.running.add(run);
    this.watch();
  }

  /** The attempt is over and has its slot, whether or not it had given it back. */
  remove(run: AttemptRun): void {
    this.running.delete(run);
    this.resume(run);
  }

  /** True where a slot was given back. */
  pause(run: AttemptRun): boolean {
    if (this.waiting.size >= this.limits.floodWaitingMax || run.holder === undefined) return false;
    this.waiting.add(run);
    this.lanes.giveSlot(run.holder);
    return true;
  }

  resume(run: AttemptRun): void {
    // It takes its slot back even where none is free: making it wait again would hold its chat for as long as others are busy.
    if (this.waiting.delete(run) && run.holder !== undefined) this.lanes.takeSlot(run.holder);
  }

  /** Of the lanes of one home. */
  revoke(home: LaneHome): void {
    for (const run of this.running) if (run.holder?.home === home) run.revoke("shutdown");
  }

  stop(): void {
    this.timer?.cancel();
  }

  private watch(): void {
    this.timer ??= this.clock.setTimer(() => {
      this.timer = undefined;
      const now = this.clock.monotonic();
      for (const run of this.running) if (run.isDue(now, this.limits.handlerMaxMs)) run.revoke("deadline");
      if (this.running.size > 0) this.watch();
    }, this.limits.deadlineCheckMs);
  }
}
