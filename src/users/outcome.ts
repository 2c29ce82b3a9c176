/** What operations on users end with. */
import type { UserId } from "../ids.ts";

export type Outcome =
  | { readonly kind: "registered"; readonly referredBy?: UserId }
  /** `returned`: had blocked or stopped the bot before, or is new in it. */
  | { readonly kind: "known"; readonly returned: boolean }
  /** `points`: the balance after it. `owes`: the referrer has earned the reward by it. */
  | { readonly kind: "granted"; readonly points: number; readonly owes: boolean }
  | { readonly kind: "already" }
  | { readonly kind: "wallet_set"; readonly replaced: boolean }
  | { readonly kind: "wallet_same" }
  /** Another user has it. */
  | { readonly kind: "wallet_taken" }
  | { readonly kind: "state_set" }
  | { readonly kind: "state_same" }
  /** There is no such user; only `register` makes one. */
  | { readonly kind: "unregistered" };
