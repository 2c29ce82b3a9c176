/** Takes deleted sessions away once the updates that wrote them are settled: until then a replay may ask what was there before. */
import type { Tier } from "../cache/tier.ts";
import type { Clock, Timer } from "../clock.ts";
import type { Log } from "../log.ts";
import type { PastValue, Session, SessionStore } from "../storage/session-store.ts";

export interface EmptiedLimits {
  /** How often deleted sessions are looked for, ms. */
  readonly sweepMs: number;
  /** Deleted sessions looked at in one call. */
  readonly sweepMaxSessions: number;
}

export interface EmptiedOptions {
  readonly store: Pick<SessionStore, "emptied" | "removeSessions">;
  readonly tier: Pick<Tier<string, Session>, "forget">;
  readonly mayComeAgain: (one: PastValue) => boolean;
  readonly clock: Clock;
  readonly limits: EmptiedLimits;
  readonly log: Pick<Log, "debug">;
}

export class Emptied {
  readonly #options: EmptiedOptions;
  #timer: Timer | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #isStopping = false;

  constructor(options: EmptiedOptions) {
    this.#options = options;
  }

  /** Looks at once, and again every `sweepMs`. */
  start(): void {
    this.#sweeping = this.#sweep();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#timer?.cancel();
    await this.#sweeping;
  }

  /** Never rejects. */
  async #sweep(): Promise<void> {
    const { clock, limits, log } = this.#options;
    try {
      await this.#drop();
    } catch (error) {
      log.debug("deleted sessions could not be taken away; it is tried again", { error });
    }
    if (!this.#isStopping) this.#timer = clock.setTimer(() => this.start(), limits.sweepMs);
  }

  async #drop(): Promise<void> {
    const { store, tier, mayComeAgain, limits } = this.#options;
    let found: readonly Session[] = [];
    do {
      found = await store.emptied(found.at(-1)?.key, limits.sweepMaxSessions);
      const done = found.filter(({ past }) => !past.some(mayComeAgain));
      await store.removeSessions(done);
      tier.forget(done.map(({ key }) => key));
    } while (found.length === limits.sweepMaxSessions && !this.#isStopping);
  }
}
