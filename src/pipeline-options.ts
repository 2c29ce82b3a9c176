/** What the pipeline is given, what it tells, and what may be asked of it. */
import type { AttemptScope } from "./attempts.ts";
import type { BodiesLimits } from "./bodies.ts";
import type { Clock, Random } from "./clock.ts";
import type { ExpiryLimits } from "./expiry.ts";
import type { Fault } from "./faults.ts";
import type { Inbox } from "./inbox/inbox.ts";
import type { PartitionClaim } from "./leases/leases.ts";
import type { LaneLimits } from "./lanes.ts";
import type { BotId, Update } from "./ids.ts";
import type { Verdict, VerdictLimits } from "./verdict.ts";
import type { WorkLimits } from "./work.ts";

export interface PipelineLimits extends LaneLimits, VerdictLimits, BodiesLimits, ExpiryLimits, WorkLimits {
  readonly backlogMaxUpdates: number;
  readonly backlogTotalMaxUpdates: number;
  readonly settlingMax: number;
  readonly outageFirstMs: number;
  readonly outageCapMs: number;
  readonly unknownsMax: number;
  readonly drainMaxMs: number;
}

/** How an attempt ended, as counted: one word per state in code, log and metric. */
export type AttemptResult = Verdict["kind"] | "expired";

export interface PipelineEvents {
  /** `handlerMs`: time at work; `sinceReceiptMs`: from the receipt of the update by the wall clock. */
  onAttempt(bot: BotId, result: AttemptResult, handlerMs: number, sinceReceiptMs: number, update: Update): void;
  /** Something an operator should read. */
  onTrouble(bot: BotId, trouble: Trouble): void;
  /** A finished send of an earlier attempt was not repeated. */
  onRemembered(): void;
  /** Updates of a bot that is not configured are in a partition that was opened. Once for each of both. */
  onUnconfigured(bot: BotId): void;
  /** A write was refused because its claim is lost: another instance has the partition. */
  onFenced(): void;
}

export interface Trouble {
  readonly kind: "retry" | "dead" | "undeliverable" | "outage" | "inbox";
  readonly updateId: number | undefined;
  readonly error: string;
  readonly fault: Fault | undefined;
}

export interface Handler {
  handle(update: Update): Promise<void>;
}

export interface PipelineStatus {
  /** Unsettled updates in memory. */
  readonly backlog: number;
  /** Handlers at work, those in flood control included. */
  readonly working: number;
  readonly floodWaiting: number;
  /** Outcomes not durable yet. */
  readonly settling: number;
  /** Updates from before its partitions were opened may wait in the inbox of which nothing is known here yet. */
  readonly isBehind: boolean;
  /** Entries of bots that are not configured; they stay in the inbox. */
  readonly unconfigured: ReadonlyMap<BotId, number>;
}

export interface OpenOptions {
  readonly claim: PartitionClaim;
  /** What attempts call the partition, where several inboxes have one of the same number. Default: its number. */
  readonly name?: number;
}

/** What the pipeline does for one partition. */
export interface PartitionWork {
  /** The claim's `valid` or `lost` answers differently. */
  changed(): void;
  /** Starts nothing more of it; what is in work may end, for `drainMaxMs`. Resolves when its outcomes are durable, as `over`. */
  giveBack(): Promise<void>;
  /** Resolves when nothing of it is in work or being settled, after the claim was lost or it was given back. */
  readonly over: Promise<void>;
}

export interface PipelineOptions {
  readonly inbox: Pick<Inbox, "lastBacklog" | "state" | "onState">;
  /** Every bot that is configured. */
  readonly bots: ReadonlySet<BotId>;
  readonly scope: AttemptScope;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: PipelineLimits;
  /** Takes secrets out of what a handler threw, before it is told or kept. */
  readonly redact: (text: string) => string;
  readonly events: PipelineEvents;
}
