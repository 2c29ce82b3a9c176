/** What one user may have in a window of time: so many updates, or one hint. */
import type { UserId } from "../../ids.ts";

/** `pass` it is within the limit · `first_over` the first one beyond it in this window · `over` a further one. */
export type Verdict = "pass" | "first_over" | "over";

export interface PerUserOptions {
  readonly windowMs: number;
  /** In a window. */
  readonly max: number;
  /** Users remembered, an even number: at least the half of it that wrote last. Who is forgotten begins anew. */
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
  /**
   * Two generations, of which the older one is dropped as a whole: who writes moves to the younger. Taking the oldest out of one Map would cost
   * 25 µs each, since it walks over all that was taken out before.
   */
  #young = new Map<UserId, Window>();
  #old = new Map<UserId, Window>();
  #turnedAt = -Infinity;

  constructor(options: PerUserOptions) {
    this.#options = options;
  }

  /** Entries kept just now; who moved to the younger generation counts twice. */
  get users(): number {
    return this.#young.size + this.#old.size;
  }

  /** Counts an update of a user. A window begins with its first one. */
  take(user: UserId, update: number): Verdict {
    const now = this.#options.now();
    const window = this.#windowOf(user, now);
    if (!this.#isWithin(window.startedAt, now)) {
      window.startedAt = now;
      window.count = 0;
    }
    if (window.count > 0 && window.update === update) return window.verdict;
    const beyond = ++window.count - this.#options.max;
    window.update = update;
    window.verdict = beyond <= 0 ? "pass" : beyond === 1 ? "first_over" : "over";
    return window.verdict;
  }

  #windowOf(user: UserId, now: number): Window {
    const young = this.#young.get(user);
    if (young !== undefined) return young;
    const window = this.#old.get(user) ?? { startedAt: now, count: 0, update: 0, verdict: "pass" };
    // After a whole window the older generation holds only windows that are over.
    if (this.#young.size >= this.#options.usersMax / 2 || !this.#isWithin(this.#turnedAt, now)) this.#turn(now);
    this.#young.set(user, window);
    return window;
  }

  #turn(now: number): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#turnedAt = now;
  }

  /** A clock that was set back must not keep a window open for long. */
  #isWithin(startedAt: number, now: number): boolean {
    return now >= startedAt && now - startedAt < this.#options.windowMs;
  }
}
