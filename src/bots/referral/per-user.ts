/** What one user may have in a window of time: so many updates, or one hint. */
import type { UserId } from "../../ids.ts";

/** `pass` it is within the limit · `first_over` the first one beyond it in this window · `over` a further one. */
export type Verdict = "pass" | "first_over" | "over";

export interface PerUserOptions {
  readonly windowMs: number;
  /** In a window. */
  readonly max: number;
  /** Users remembered; beyond it the one whose window began first is forgotten, and begins anew. */
  readonly usersMax: number;
  /** Wall-clock ms. */
  readonly now: () => number;
}

interface Window {
  startedAt: number;
  count: number;
  /** The update that was judged last, and how: a retry of it is no further one, and must go the same way. */
  update: number;
  verdict: Verdict;
}

export class PerUser {
  readonly #options: PerUserOptions;
  /** In the order in which their windows began. */
  readonly #windows = new Map<UserId, Window>();

  constructor(options: PerUserOptions) {
    this.#options = options;
  }

  /** Remembered just now. */
  get users(): number {
    return this.#windows.size;
  }

  /** Counts an update of a user. A window begins with its first one. */
  take(user: UserId, update: number): Verdict {
    const now = this.#options.now();
    const known = this.#windows.get(user);
    const window = known !== undefined && this.#isOpen(known, now) ? known : this.#begin(user, now);
    if (window.count > 0 && window.update === update) return window.verdict;
    const beyond = ++window.count - this.#options.max;
    window.update = update;
    window.verdict = beyond <= 0 ? "pass" : beyond === 1 ? "first_over" : "over";
    return window.verdict;
  }

  /** A clock that was set back must not keep a window open for long. */
  #isOpen({ startedAt }: Window, now: number): boolean {
    return now >= startedAt && now - startedAt < this.#options.windowMs;
  }

  #begin(user: UserId, now: number): Window {
    const windows = this.#windows;
    windows.delete(user);
    // Two for one that comes, so that what is over goes away sooner than it comes.
    for (let dropped = 0; dropped < 2; dropped++) {
      const oldest = windows.entries().next().value;
      if (oldest === undefined) break;
      if (this.#isOpen(oldest[1], now) && windows.size < this.#options.usersMax) break;
      windows.delete(oldest[0]);
    }
    const window: Window = { startedAt: now, count: 0, update: 0, verdict: "pass" };
    windows.set(user, window);
    return window;
  }
}
