/** A user as stored: one document in the whole fleet, whatever bots the user writes to. */
import type { BotId, Seq, UserId } from "../ids.ts";
import type { Outcome } from "./outcome.ts";

/** `active` may be written to · `blocked` the user blocked the bot or asked it to stop. */
export type BotState = "active" | "blocked";

export interface BotMembership {
  readonly state: BotState;
  /** Wall-clock ms. */
  readonly since: number;
}

/**
 * What the referrer of this user has got for it: `none` nothing yet (or there is no referrer) · `owed` earned and not credited ·
 * `paid` credited, for ever.
 */
export type ReferralState = "none" | "owed" | "paid";

/** Immutable; absent fields are left out, never null. Times are wall-clock ms. */
export interface User {
  readonly telegramId: UserId;
  readonly username?: string;
  readonly firstName: string;
  /** As Telegram sends it, such as `ru` or `pt-br`. */
  readonly languageCode?: string;
  /** In canonical spelling; unique. */
  readonly walletAddress?: string;
  /** Random, of `A-Za-z0-9`; unique, never changes. */
  readonly referralCode: string;
  /** Set on registration or never. */
  readonly referredBy?: UserId;
  readonly points: number;
  /** Users whose referral is `paid`. */
  readonly referralCount: number;
  /** Active in any bot. */
  readonly isActive: boolean;
  readonly isVerified: boolean;
  readonly miniappVerified: boolean;
  readonly deviceFingerprint?: string;
  readonly ipAddress?: string;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** 1 when registered, and one more with each write. */
  readonly version: number;
  /** Keyed by bot id. */
  readonly bots: Readonly<Record<string, BotMembership>>;
  readonly referral: Referral;
  /** Days on which `/daily` was granted; absent before the first. */
  readonly daily?: DailyDays;
  /** Operations whose updates may come again. */
  readonly applied: readonly Applied[];
}

export interface Referral {
  readonly state: ReferralState;
  /** When it came into this state; absent for `none`. */
  readonly since?: number;
}

export interface DailyDays {
  /** The latest one, in UTC days since 1970. */
  readonly last: number;
  /** Bit n: also the day n + 1 before. Days further back count as granted. */
  readonly before: number;
}

/** An operation that took effect, with what it answered, so that it does neither twice. */
export interface Applied {
  /** `<bot>:<update>:<number of the call within its attempt>:<kind>`. */
  readonly op: string;
  readonly partition: number;
  readonly seq: Seq;
  /** When it took effect, wall-clock ms; absent: long ago. */
  readonly at?: number;
  readonly outcome: Outcome;
}

/** Which user of which bot is active: `isActive` and the broadcasts are made of it. */
export function isActiveIn(user: User, bot: BotId): boolean {
  return user.bots[bot]?.state === "active";
}
