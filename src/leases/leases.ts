/** Port: which bots and inbox partitions this instance may work for, and until when. */
import type { BotId } from "../ids.ts";

/**
 * A right that can be lost. Its holder asks `valid()` before each poll, append, mark and settle; the store compares `token` again,
 * so that a holder that was paused past the end of its right writes nothing.
 */
export interface Claim {
  /** Compared whole by the store; `""` where a claim is eternal. */
  readonly token: string;
  /** False from the moment the right has run out by the monotonic clock. */
  valid(): boolean;
}

export interface BotClaim extends Claim {
  readonly bot: BotId;
}

export interface PartitionClaim extends Claim {
  readonly partition: number;
}

export interface Leases {
  /** Resolves with the right to poll `bot` once this instance has it. */
  claimBot(bot: BotId): Promise<BotClaim>;
  /** Resolves with the right to work off a partition once this instance has it. */
  claimPartition(partition: number): Promise<PartitionClaim>;
  /** Gives everything back. Nothing is claimed afterwards. */
  stop(): Promise<void>;
}
