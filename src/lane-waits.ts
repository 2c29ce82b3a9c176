/** Lanes that wait for a retry or an outage to pass. */
import type { Clock, Timer } from "./clock.ts";
import type { Lane } from "./lanes.ts";

export class LaneWaits {
  private readonly clock: Clock;
  private readonly timers = new Map<Lane, Timer>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  add(lane: Lane, ms: number, over: () => void): void {
    const end = (): void => {
      this.timers.delete(lane);
      over();
    };
    this.timers.set(lane, this.clock.setTimer(end, ms));
  }

  /** Ends the wait of a lane, where it waits; what was waited for does not happen. */
  end(lane: Lane): void {
    this.timers.get(lane)?.cancel();
    this.timers.delete(lane);
  }
}
