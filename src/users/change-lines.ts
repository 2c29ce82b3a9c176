/** What waits for one user, and how much may wait. */
import type { UserId } from "../ids.ts";
import type { Folded } from "./folding.ts";
import type { Outcome } from "./outcome.ts";

export interface ChangeLimits {
  /** Longest time an operation waits for others to be written with it, ms. */
  readonly groupMaxMs: number;
  /** Documents in one write. */
  readonly groupMaxUsers: number;
  /** Writes on their way at a time. */
  readonly writesMax: number;
  /** Operations that wait or are being written; the next one is `unavailable`. */
  readonly pendingMax: number;
  /** Applied operations of a user after which it is asked which of them are settled. */
  readonly appliedCheckAt: number;
  /** Applied operations of a user that may come again; beyond it further ones wait. */
  readonly appliedMax: number;
  /** Time after which an operation of another inbox's update counts as settled, ms. */
  readonly othersMaxMs: number;
  /** First and longest wait after a conflict, ms. */
  readonly conflictFirstMs: number;
  readonly conflictCapMs: number;
}

export interface Pending extends Folded {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: unknown) => void;
}

/** Everything that waits for one user. */
export interface Line {
  readonly id: UserId;
  pending: Pending[];
  /** In a group on its way, or waiting after a conflict. */
  isBusy: boolean;
  conflicts: number;
  /** The document in the tiers is known to be old. */
  isStale: boolean;
  /** Operations still to be folded one at a time. */
  single: number;
}
