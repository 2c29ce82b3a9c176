/** Looks at the free space of the disk (or of what holds the inbox instead), so that polling stops while there is still room to settle what is in work. */
import type { Clock, Timer } from "../clock.ts";
import type { Log } from "../log.ts";

export interface DiskLimits {
  readonly diskReserveBytes: number;
  readonly diskCheckMs: number;
}

export interface DiskWatchOptions {
  readonly freeBytes: () => Promise<number>;
  /** What it is the space of, for an operator. */
  readonly place: string;
  readonly clock: Clock;
  readonly limits: DiskLimits;
  /** `isFull()` answers differently from now on. */
  readonly onChange: () => void;
  readonly log?: Pick<Log, "info" | "warn" | "error">;
}

/** Looks at once and then every `diskCheckMs`. A disk that cannot be asked counts as it did before: a commit will tell. */
export class DiskWatch {
  readonly #options: DiskWatchOptions;
  #isFull = false;
  #isUnknown = false;
  #isStopped = false;
  #timer: Timer | undefined;

  constructor(options: DiskWatchOptions) {
    this.#options = options;
    void this.#watch(); // Never rejects.
  }

  isFull(): boolean {
    return this.#isFull;
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** Looks now. Never rejects. */
  async check(): Promise<void> {
    const { freeBytes, place, limits, log, onChange } = this.#options;
    try {
      const free = await freeBytes();
      this.#isUnknown = false;
      const isFull = free < limits.diskReserveBytes;
      if (isFull === this.#isFull || this.#isStopped) return;
      this.#isFull = isFull;
      const fields = { freeBytes: free, reserveBytes: limits.diskReserveBytes };
      if (isFull) log?.error(`${place} is full up to the reserve: polling stops until there is room`, fields);
      else log?.info(`${place} has room again`, fields);
      onChange();
    } catch (error) {
      if (!this.#isUnknown) log?.warn(`how much room ${place} has cannot be read`, { error });
      this.#isUnknown = true;
    }
  }

  async #watch(): Promise<void> {
    await this.check();
    if (this.#isStopped) return;
    const { clock, limits } = this.#options;
    this.#timer = clock.setTimer(() => void this.#watch(), limits.diskCheckMs);
  }
}
