/** Counts the calls to the server that fail: after some in a row nobody asks it any more, until the beat gets through and nothing is owed. */

/** `open`: nobody asks the server but the beat. */
export type BreakerState = "closed" | "open";

export interface BreakerOptions {
  /** Failures in a row that open it. */
  readonly failuresMax: number;
  readonly onState: (state: BreakerState, error: unknown) => void;
}

export class Breaker {
  readonly #options: BreakerOptions;
  #state: BreakerState = "closed";
  #inRow = 0;
  #failures = 0;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Since the start. */
  get failures(): number {
    return this.#failures;
  }

  /** Rejects as the call does. */
  async counted<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call();
      if (this.#state === "closed") this.#inRow = 0;
      return answer;
    } catch (error) {
      this.#failures++;
      this.#inRow++;
      if (this.#inRow >= this.#options.failuresMax) this.#switch("open", error);
      throw error;
    }
  }

  close(): void {
    this.#inRow = 0;
    this.#switch("closed", undefined);
  }

  #switch(to: BreakerState, error: unknown): void {
    if (this.#state === to) return;
    this.#state = to;
    this.#options.onState(to, error);
  }
}
