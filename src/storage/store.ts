/**
 * Port: where users are kept. Every method rejects with `unavailable` while the store cannot be reached or written (nothing is retried
 * within), and with nothing else that an outage can cause. A stored document that is no user ends with `user_invalid` who reads it by itself (`read`
 * with others as well); from lists of documents it is left out, and told in the log once.
 */
import type { BotId, UserId } from "../ids.ts";
import type { User } from "../users/user.ts";

/** One document to be written, if the stored one still has the version of the one it was made from. */
export interface Write {
  /** With its new version, one more than that of `before` (1 for a new user). */
  readonly user: User;
  /**
   * The document it was made from, so that what did not change need not be written. Its `applied` may be shorter than the stored one's. Undefined:
   * there must be no such user yet.
   */
  readonly before: User | undefined;
}

/**
 * `stored` · `conflict` the stored version is another (or it exists already, or is gone) · `taken` its wallet or referral code belongs
 * to another user. Neither of the last two changes anything.
 */
export type Written = "stored" | "conflict" | "taken";

/** `paid` now · `not_owed` was paid before, or nothing is owed, or there is no such user. */
export type Rewarded = {
  readonly referee: UserId;
  readonly end: "paid" | "not_owed";
  /** Whose points went up; absent where nothing was paid. */
  readonly referrer?: UserId;
};

export interface Standing {
  readonly telegramId: UserId;
  readonly firstName: string;
  readonly points: number;
}

/** Active users with `from` points or more, up to the next bucket. */
export interface PointsBucket {
  readonly from: number;
  readonly users: number;
}

export interface Page {
  /** Behind this one; absent: from the beginning. */
  readonly after?: UserId;
  readonly max: number;
}

export interface ReferralPage {
  /** Behind this one; absent: from the beginning. By id as well, because all who came in one batch were created at the same time. */
  readonly after?: Pick<User, "createdAt" | "telegramId">;
  readonly max: number;
}

export interface UserStore {
  /** Users that do not exist are absent. */
  read(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>>;
  /**
   * Compares and sets each on its own, the answers in the same order. At most one write of a user in one call. `writer` is unique to this
   * call: by it a store finds out which of its writes took effect when it was not told. Resolves when what is `stored` is durable. Rejects with
   * `user_invalid` where the store cannot hold one of the documents; nothing of the call is written then.
   */
  write(writes: readonly Write[], writer: string): Promise<readonly Written[]>;
  /**
   * For each referee that is `owed`, in one transaction: `paid`, and its referrer gets the points, one more in `referralCount` and a new version.
   * However often it is called, each referee is rewarded once. Resolves when that is durable; the answers in the same order.
   */
  reward(referees: readonly UserId[], points: number, at: number): Promise<readonly Rewarded[]>;
  /** Whose referral code it is; the document is not looked at. */
  idOfCode(code: string): Promise<UserId | undefined>;
  byWallet(address: string): Promise<User | undefined>;
  /** By device and address; at most `max`. */
  byDevice(deviceFingerprint: string, ipAddress: string, max: number): Promise<readonly User[]>;
  /** Users that `referrer` brought, the newest first, with equal times the higher id first. */
  referralsOf(referrer: UserId, page: ReferralPage): Promise<readonly User[]>;
  /** Active users with the most points, at most `max`; with equal points the lower id first. */
  leaderboard(max: number): Promise<readonly Standing[]>;
  /** Active users by points, in rising `from`; empty buckets may be absent. */
  histogram(): Promise<readonly PointsBucket[]>;
  /** Ids of the users that are active in `bot`, rising. */
  activeIn(bot: BotId, page: Page): Promise<readonly UserId[]>;
  /** Referees whose reward is owed since before `before` (wall-clock ms), at most `max`. */
  owedSince(before: number, max: number): Promise<readonly UserId[]>;
  /** Calls `changed` when the store is lost or found again, and at once where it is lost. Returns how to stop listening. */
  onState(changed: (state: StoreState) => void): () => void;
  /** Ends what is under way and closes. Nothing is called afterwards. */
  stop(): Promise<void>;
}

export type StoreState = "ok" | "lost";
