/**
 * Operations on their way. The driver may never hear that a connection has ended (a server killed at the very moment of a question, on Bun), and its
 * own time-out of the socket does not fire then: such an operation would never end, nor give its connection back.
 *
 *     began before a connection broke or the server was found dead, and has not ended some time after ──► stuck
 *     takes longer than all its time-outs together                                                    ──► stuck
 *     one is stuck ──► `onStuck`: the client is given up, and whoever waits is told that the end is not known
 */
import type { Clock } from "../clock.ts";
import { Fault } from "../faults.ts";

export interface FlightsOptions {
  readonly clock: Clock;
  /** All time-outs of one question together, ms. */
  readonly longestMs: number;
  /** What a question may take after that, to find another server and ask it, ms. */
  readonly graceMs: number;
  readonly onStuck: () => void;
}

interface Flight {
  readonly startedAt: number;
  /** Time that it may take by its nature, ms. */
  readonly ownMs: number;
  readonly reject: (error: Fault) => void;
}

const checkEveryMs = 1_000;

export class Flights {
  readonly #options: FlightsOptions;
  readonly #flying = new Set<Flight>();
  #brokeAt = -Infinity;
  #isChecking = false;

  constructor(options: FlightsOptions) {
    this.#options = options;
  }

  /** Rejects with what `run` rejects with, or with `unavailable` where it is stuck. */
  watch<T>(run: () => Promise<T>, ownMs = 0): Promise<T> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      const flight: Flight = { startedAt: clock.monotonic(), ownMs, reject };
      this.#flying.add(flight);
      this.#checkSoon();
      run()
        .then(resolve, reject)
        .finally(() => this.#flying.delete(flight));
    });
  }

  /** A connection broke, or a server was found dead. */
  broke(): void {
    this.#brokeAt = this.#options.clock.monotonic();
  }

  #checkSoon(): void {
    if (this.#isChecking) return;
    this.#isChecking = true;
    this.#options.clock.setTimer(() => this.#check(), checkEveryMs);
  }

  #check(): void {
    this.#isChecking = false;
    if (this.#flying.size > 0) this.#checkSoon();
    const stuck = [...this.#flying].filter((flight) => this.#isStuck(flight));
    if (stuck.length === 0) return;
    for (const flight of stuck) {
      this.#flying.delete(flight);
      flight.reject(new Fault("unavailable", "MongoDB has not answered", { effect: "unknown" }));
    }
    this.#options.onStuck();
  }

  #isStuck({ startedAt, ownMs }: Flight): boolean {
    const { clock, longestMs, graceMs } = this.#options;
    const now = clock.monotonic();
    const isOrphan = startedAt <= this.#brokeAt && now - this.#brokeAt > graceMs + ownMs;
    return isOrphan || now - startedAt > longestMs + ownMs;
  }
}
