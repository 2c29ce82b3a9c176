/** What a bot is given to work with users. A bot knows no cache and no storage. */
import type { UserId } from "../ids.ts";
import type { Operation, OutcomeOf } from "./operations.ts";
import type { User } from "./user.ts";

/** Every method rejects with `unavailable` while storage is lost, and with `attempt_revoked` once its attempt was given up: let both pass. */
export interface Users {
  /** As this instance knows the user; to be shown, not to be decided by. Undefined where not registered. */
  get(id: UserId): Promise<User | undefined>;
  /** Undefined where no user has this code. */
  idOfCode(code: string): Promise<UserId | undefined>;
  /**
   * Resolves when the operation is durable. Within a handler it takes effect once, however often its update is run, and answers each time
   * what it answered first: operations of one update must come in the same order in every run. `unregistered` alone is not
   * remembered, for there is no user that it could stand with: it is answered again unless the user has been registered by another bot since.
   * Rejects with a TypeError, and changes nothing, where the operation is none.
   */
  change<Kind extends Operation["kind"]>(
    id: UserId,
    operation: Extract<Operation, { readonly kind: Kind }>,
  ): Promise<OutcomeOf<Kind>>;
  /** Up to half a minute old. */
  leaderboard(): Promise<Leaderboard>;
}

export interface Leaderboard {
  /** The first ten, by points. */
  readonly top: readonly { readonly id: UserId; readonly firstName: string; readonly points: number }[];
  /** The place of somebody with so many points; 1 is the best. Undefined for who is not active. */
  rankOf(user: User): Rank | undefined;
}

/** `isExact`: among the first 1,000; else a place estimated from how the points are spread. */
export interface Rank {
  readonly place: number;
  readonly isExact: boolean;
}
