/**
 * Credits referrers. What is owed stands in the referee's own document, so that nothing here has to be remembered:
 *
 *     owed ──► asked for at once, with others ──► paid
 *       └────► the process dies, or storage is lost ──► swept after a minute ──► paid
 *
 * Storage rewards each referee once, however often it is asked. Where its answer is lost, whose points went up shows in the referee: it is looked at
 * again with the next two sweeps, so that no tier goes on showing the referrer as it was.
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
  readonly tier: Pick<Tier, "forget" | "held" | "readFresh">;
  readonly clock: Clock;
  readonly limits: RewardLimits;
  readonly log: Pick<Log, "debug" | "error">;
}

/** Of each whose answer was lost: what is under way at the first sweep is over at the second. */
const looksMax = 2;
/** Referees whose answers were lost; beyond it their referrers are shown as they were until a tier forgets them. About 60 B each. */
const unseenMax = 100_000;

export class Rewards {
  readonly #options: RewardsOptions;
  readonly #waiting = new Map<UserId, (() => void)[]>();
  /** Whose reward may have taken effect unseen, and with how many sweeps they are looked at yet. */
  readonly #unseen = new Map<UserId, number>();
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
      // It may have taken effect, or do so yet.
      tier.forget([...new Set(referees.flatMap((referee) => [referee, tier.held(referee)?.referredBy ?? referee]))]);
      for (const referee of referees) if (this.#unseen.size < unseenMax) this.#unseen.set(referee, looksMax);
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
    await this.#look();
    await this.#payOwed();
    if (!this.#isStopping) this.#sweepTimer = clock.setTimer(() => this.start(), limits.sweepMs);
  }

  /** Never rejects. */
  async #look(): Promise<void> {
    const { tier, limits, log } = this.#options;
    const looked = [...this.#unseen];
    try {
      for (let from = 0; from < looked.length; from += limits.groupMaxUsers) {
        const some = looked.slice(from, from + limits.groupMaxUsers);
        const referees = await tier.readFresh(some.map(([referee]) => referee));
        tier.forget([...new Set([...referees.values()].flatMap(({ referredBy }) => referredBy ?? []))]);
        for (const [referee, looks] of some) {
          if (looks > 1) this.#unseen.set(referee, looks - 1);
          else this.#unseen.delete(referee);
        }
      }
    } catch (error) {
      log[levelOf(error)]("rewards whose answers were lost could not be looked at; it is tried again", { error });
    }
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
