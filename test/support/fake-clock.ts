/** A clock that stands still until a test moves it. */
import type { Clock, Timer } from "../../src/clock.ts";

interface Waiting {
  readonly dueMs: number;
  readonly order: number;
  readonly run: () => void;
}

/** Resolves after every microtask queued so far, and every microtask those queue, has run. Uses no wall-clock time. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export class FakeClock implements Clock {
  #wallMs: number;
  #monotonicMs = 0;
  #order = 0;
  readonly #timers = new Set<Waiting>();

  /** `wallMs`: what `now()` answers first. */
  constructor(wallMs = 1_800_000_000_000) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
  }

  monotonic(): number {
    return this.#monotonicMs;
  }

  setTimer(run: () => void, ms: number): Timer {
    const waiting = { dueMs: this.#monotonicMs + Math.max(0, ms), order: this.#order++, run };
    this.#timers.add(waiting);
    return { cancel: () => void this.#timers.delete(waiting) };
  }

  /** Timers that have neither fired nor been cancelled. */
  pending(): number {
    return this.#timers.size;
  }

  /** When the next timer is due, in ms from now; undefined where none waits. */
  nextDueMs(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : next.dueMs - this.#monotonicMs;
  }

  /** Moves only the wall clock, as an operator or NTP would: `monotonic` and the timers do not notice. */
  jumpWall(ms: number): void {
    this.#wallMs += ms;
  }

  /**
   * Moves time forward and fires every timer that comes due on the way, in the order they are due (equal ones in the order they were
   * set), also those set meanwhile. Before the first, between two and after the last all microtasks run. A timer that throws rejects it.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    await settled();
    for (let next = this.#next(); next !== undefined && next.dueMs <= endMs; next = this.#next()) {
      this.#moveTo(next.dueMs);
      this.#timers.delete(next);
      next.run();
      await settled();
    }
    this.#moveTo(endMs);
  }

  #moveTo(monotonicMs: number): void {
    const stepMs = Math.max(0, monotonicMs - this.#monotonicMs);
    this.#monotonicMs += stepMs;
    this.#wallMs += stepMs;
  }

  #next(): Waiting | undefined {
    let next: Waiting | undefined;
    for (const timer of this.#timers) {
      if (next === undefined || timer.dueMs < next.dueMs || (timer.dueMs === next.dueMs && timer.order < next.order)) {
        next = timer;
      }
    }
    return next;
  }
}
