/**
 * Port: a tier of documents, users if nothing else is said. Each holds the one below and looks like it, down to storage itself; a tier that cannot
 * answer is passed by. Versions rise with each write of a document, and no tier ever puts an older one over a newer one.
 */
import type { UserId } from "../ids.ts";
import type { User } from "../users/user.ts";

export interface Tier<Id = UserId, Document = User> {
  /** What this tier holds itself, without asking anybody. */
  held(id: Id): Document | undefined;
  /** Reads through. Those that do not exist are absent. Rejects with `unavailable` where storage would have to be asked and is lost. */
  read(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>>;
  /** Past every tier: what storage has now. Fills the tiers. */
  readFresh(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>>;
  /** These are stored now. */
  stored(documents: readonly Document[]): void;
  /** These have changed in storage, or may have: what the tiers know of them is forgotten, fills on their way included. */
  forget(ids: readonly Id[]): void;
}

/** Whose referral code it is. */
export interface CodeTier {
  /** Undefined where nobody has it. Rejects with `unavailable` where storage has to be asked and is lost. */
  read(code: string): Promise<UserId | undefined>;
}
