/** Time and chance, injected everywhere so that tests run on a fake clock and replay by seed. */

/** A running timer. `cancel` is idempotent and safe after the timer fired. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall-clock time, ms since 1970. May jump; never used to measure a duration. */
  now(): number;
  /** Monotonic time in ms since an arbitrary start. */
  monotonic(): number;
  /** Calls `run` once after at least `ms` milliseconds (24 days where it is more). */
  setTimer(run: () => void, ms: number): Timer;
}

/** A number in [0, 1). */
export type Random = () => number;

const timerMaxMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(run, ms) {
    // A longer one would fire at once: a `retry_after` out of all reason must not become a hot loop.
    const handle = setTimeout(run, Math.min(ms, timerMaxMs));
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * Waits `ms` milliseconds, or until `signal` aborts. Resolves in both cases with which of them ended the wait: a wait
 * that was cut short is an ordinary end (a shutdown), not an error.
 */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<"elapsed" | "aborted"> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve("aborted");
      return;
    }
    const onAbort = (): void => {
      timer.cancel();
      resolve("aborted");
    };
    const timer = clock.setTimer(() => {
      signal?.removeEventListener("abort", onAbort);
      resolve("elapsed");
    }, ms);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/**
 * Capped exponential back-off with jitter, in ms: `firstMs` doubled for each earlier failure up to `capMs`, then 75–125 % of it
 * so that many pollers that failed together do not come back together.
 */
export function backoffMs(failures: number, firstMs: number, capMs: number, random: Random): number {
  const full = Math.min(capMs, firstMs * 2 ** Math.min(failures, 30));
  return full * (0.75 + random() * 0.5);
}
