/**
 * Port: which bots and inbox partitions this instance may work for, and until when.
 *
 *     free ──► held ──► lapsed (not confirmed in time) ──► held again     where nobody had it meanwhile
 *                │         └──────────────────────────────► lost          somebody else has it
 *                └── asked back (balance, stop) ──► released ──► free
 */
import type { BotId } from "../ids.ts";

/**
 * A right that can be lost. Nothing is begun under it unless `valid()`; the store compares `token` again with every append, mark and
 * settle, so that a holder that was paused past the end of its right writes nothing.
 */
export interface Claim {
  /** Compared whole by the store; `""` where a claim is eternal. */
  readonly token: string;
  /** False while the right may have run out by the monotonic clock, or is lost; true again where the store confirms that nobody else had it. */
  valid(): boolean;
  /** True once it is gone for good: somebody else has it, or it was given back. */
  lost(): boolean;
}

export interface BotClaim extends Claim {
  readonly bot: BotId;
}

export interface PartitionClaim extends Claim {
  readonly partition: number;
}

/** What is done under one claim. */
export interface Tenure {
  /** `valid()` or `lost()` of the claim answers differently than before. After a loss nothing else is called. */
  changed(): void;
  /**
   * Asked once to let go in order, while others may not have the right yet. Resolves when nothing is done under the claim any more and nothing is in
   * flight. Never rejects. The claim may be lost meanwhile.
   */
  release(): Promise<void>;
}

/** Who works under claims: is handed each one as this instance gets it. Never throws. */
export interface Holder {
  bot(claim: BotClaim): Tenure;
  partition(claim: PartitionClaim): Tenure;
}

export interface Leases {
  /** Begins to claim for `holder`, once. Returns at once. */
  start(holder: Holder): void;
  /** Something (a 409, a fenced write) says that somebody else may have a right of ours: looks at once. */
  doubt(): void;
  /** Claims nothing more, asks everything back at once and gives each back as soon as it is released. Resolves then. */
  stop(): Promise<void>;
}
