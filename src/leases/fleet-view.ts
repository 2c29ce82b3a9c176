/** The whole fleet, as one instance saw it last. */
import type { BotId } from "../ids.ts";

export interface FleetMember {
  /** Of the process: another one after each start. */
  readonly id: string;
  readonly host: string;
  readonly version: string;
  /** Wall-clock time, ms since 1970, by its own clock. */
  readonly startedAt: number;
  /** It is about to leave and takes nothing any more. */
  readonly draining: boolean;
  readonly alive: boolean;
  /** Short text, the same for members that are configured with the same bots: only those share them evenly. */
  readonly botSet: string;
  /** Its last renewal, ms since 1970 by this instance's clock; undefined where that was before this instance began. */
  readonly heartbeatAt: number | undefined;
  /** What it says of itself beside that. */
  readonly info: Readonly<Record<string, unknown>>;
}

export interface ClaimView {
  /** Id of a member, which may be dead. */
  readonly owner: string;
  readonly epoch: number;
}

export interface FleetView {
  /** The member that this instance is. */
  readonly self: string;
  readonly members: readonly FleetMember[];
  /** Of bots that no instance has there is nothing. */
  readonly bots: ReadonlyMap<BotId, ClaimView>;
  readonly partitions: ReadonlyMap<number, ClaimView>;
}
