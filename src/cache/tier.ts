/**
 * Port: a tier of users. Each holds the one below and looks like it, down to storage itself; a tier that cannot answer is passed by.
 * Versions rise with each write of a user, and no tier ever puts an older document over a newer one.
 */
import type { UserId } from "../ids.ts";
import type { User } from "../users/user.ts";

export interface Tier {
  /** What this tier holds itself, without asking anybody. */
  held(id: UserId): User | undefined;
  /** Reads through. Users that do not exist are absent. Rejects with `unavailable` where storage would have to be asked and is lost. */
  read(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>>;
  /** Past every tier: what storage has now. Fills the tiers. */
  readFresh(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>>;
  /** These are stored now. */
  stored(users: readonly User[]): void;
  /** These have changed in storage, or may have: what the tiers know of them is forgotten, fills on their way included. */
  forget(ids: readonly UserId[]): void;
}

/** Whose referral code it is. */
export interface CodeTier {
  /** Undefined where nobody has it. Rejects with `unavailable` where storage has to be asked and is lost. */
  read(code: string): Promise<UserId | undefined>;
}
