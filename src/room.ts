/** The gate between backlog and polling: whoever brings updates asks here before bringing more. */
import type { Clock, Timer } from "./clock.ts";

export interface Room {
  ready(): boolean;
  /** Resolves when there is room, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void>;
}

/** Looking at every gate after each settled update would cost more than the update itself. */
const checkMs = 100;

export class Rooms {
  private readonly clock: Clock;
  private readonly waiters = new Set<{ readonly hasRoom: () => boolean; readonly go: () => void }>();
  private timer: Timer | undefined;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  room(hasRoom: () => boolean): Room {
    return { ready: hasRoom, wait: (signal) => this.wait(hasRoom, signal) };
  }

  /** Something that rooms depend on has changed. */
  changed(): void {
    if (this.waiters.size === 0 || this.timer !== undefined) return;
    this.timer = this.clock.setTimer(() => {
      this.timer = undefined;
      for (const waiter of this.waiters) if (waiter.hasRoom()) waiter.go();
    }, checkMs);
  }

  private wait(hasRoom: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || hasRoom()) {
        resolve();
        return;
      }
      const go = (): void => {
        this.waiters.delete(waiter);
        signal.removeEventListener("abort", go);
        resolve();
      };
      const waiter = { hasRoom, go };
      this.waiters.add(waiter);
      signal.addEventListener("abort", go, { once: true });
    });
  }
}
