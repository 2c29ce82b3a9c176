/**
 * Credits referrers. What is owed stands in the referee's own document, so that nothing here has to be remembered:
 *
 *     owed ──► asked for at once, with others ──► paid
 *       └────► the process dies, or storage is lost ──► swept after a minute ──► paid
 *
 * Storage rewards each referee once, however often it is asked.
 */
import type { Tier } from "../cache/tier.ts";
import type { Clock, Timer } from "../clock.ts";
import { faultOf, isOutage } from "../faults.ts";
import type { UserId } from "../ids.ts";
import type { Log } from "../log.ts";
import type { UserStore } from "../storage/store.ts";
import { referralPoints } from "./operations.ts";

export interface RewardLimits {
  /** Longest wait of a reward for others, ms. */
  readonly groupMaxMs: number;
  /** Rewards in one transaction. */
  readonly groupMaxUsers: number;
  /** How often what is owed is looked for, ms. */
  readonly sweepMs: number;
  /** What is owed for longer is swept, ms. */
  readonly owedMaxMs: number;
}

export interface RewardsOptions {
  readonly store: Pick<UserStore, "reward" | "owedSince">;
  readonly tier: Pick<Tier, "forget" | "held">;
  readonly clock: Clock;
  readonly limits: RewardLimits;
  readonly log: Pick<Log, "debug" | "error">;
}

export class Rewards {
  readonly #options: RewardsOptions;
  readonly #waiting = new Map<UserId, (() => void)[]>();
  #timer: Timer | undefined;
  #sweeping: Promise<void> | undefined;
  #sweepTimer: Timer | undefined;
  #isStopping = false;

  constructor(options: RewardsOptions) {
    this.#options = options;
  }

  /** Begins to sweep, at once. */
  start(): void {
    this.#sweeping = this.#sweep();
  }

  /** Resolves when the referee's referrer has been credited, or when that has failed and is left to the sweep. Never rejects. */
  pay(referee: UserId): Promise<void> {
    return new Promise((resolve) => {
      const others = this.#waiting.get(referee);
      if (others === undefined) this.#waiting.set(referee, [resolve]);
      else others.push(resolve);
      const { clock, limits } = this.#options;
      if (this.#waiting.size >= limits.groupMaxUsers || this.#isStopping) void this.#flush();
      else this.#timer ??= clock.setTimer(() => void this.#flush(), limits.groupMaxMs);
    });
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#sweepTimer?.cancel();
    await Promise.all([this.#flush(), this.#sweeping]);
  }

  async #flush(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    if (waiting.length === 0) return;
    await this.#reward(waiting.map(([referee]) => referee));
    for (const [, resolves] of waiting) for (const resolve of resolves) resolve();
  }

  /** Answers how many were paid now. Never rejects. */
  async #reward(referees: readonly UserId[]): Promise<number> {
    const { store, tier, clock, log } = this.#options;
    try {
      const rewarded = await store.reward(referees, referralPoints, clock.now());
      tier.forget([
        ...new Set(
          rewarded.flatMap(({ referee, referrer }) => (referrer === undefined ? [referee] : [referee, referrer])),
        ),
      ]);
      return rewarded.filter(({ end }) => end === "paid").length;
    } catch (error) {
      // It may have taken effect. Of a referee that is not held it is not known whose points went up: they are shown late, and change by version.
      tier.forget([...new Set(referees.flatMap((referee) => [referee, tier.held(referee)?.referredBy ?? referee]))]);
      if (levelOf(error) === "error" && referees.length > 1) return this.#rewardEach(referees);
      log[levelOf(error)]("referrers could not be credited; it is tried again", { error });
      return 0;
    }
  }

  /** One of them cannot be paid: it must not keep the others from being, for ever. */
  async #rewardEach(referees: readonly UserId[]): Promise<number> {
    let paid = 0;
    for (const referee of referees) paid += await this.#reward([referee]);
    return paid;
  }

  async #sweep(): Promise<void> {
    const { clock, limits } = this.#options;
    await this.#payOwed();
    if (!this.#isStopping) this.#sweepTimer = clock.setTimer(() => this.start(), limits.sweepMs);
  }

  /** Never rejects. */
  async #payOwed(): Promise<void> {
    const { store, clock, limits, log } = this.#options;
    try {
      for (let paid = 1; paid > 0 && !this.#isStopping;) {
        const owed = await store.owedSince(clock.now() - limits.owedMaxMs, limits.groupMaxUsers);
        paid = owed.length === 0 ? 0 : await this.#reward(owed);
      }
    } catch (error) {
      log[levelOf(error)]("what is owed could not be looked for; it is tried again", { error });
    }
  }
}

/** The store tells of an outage itself. Anything else does not pass by waiting, and nobody else would tell. */
function levelOf(error: unknown): "debug" | "error" {
  const fault = faultOf(error);
  return fault !== undefined && isOutage(fault) ? "debug" : "error";
}
