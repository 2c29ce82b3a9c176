/** Notices that a thread answers nothing any more: a disk that stands still fails no call, it ends none. */
import type { Clock, Timer } from "../clock.ts";

export interface StallWatchOptions {
  readonly clock: Clock;
  /** A call that takes longer is a stall, ms. Noticed within twice that time. */
  readonly answerMaxMs: number;
  readonly onStall: () => void;
}

export class StallWatch {
  readonly #options: StallWatchOptions;
  #asked = 0;
  #answered = 0;
  #timer: Timer | undefined;

  constructor(options: StallWatchOptions) {
    this.#options = options;
  }

  /** A call is on its way. Calls are answered in the order in which they were asked. */
  asked(): void {
    this.#asked++;
    if (this.#timer === undefined) this.#watch();
  }

  /** A call has ended, however. */
  answered(): void {
    this.#answered++;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #watch(): void {
    const asked = this.#asked;
    const { clock, answerMaxMs, onStall } = this.#options;
    this.#timer = clock.setTimer(() => {
      this.#timer = undefined;
      if (this.#answered < asked) onStall();
      if (this.#answered < this.#asked) this.#watch();
    }, answerMaxMs);
  }
}
