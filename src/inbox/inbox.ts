/**
 * Port: the durable queue between Telegram and the handlers.
 *
 *     append ──► stored ──► handed to a lane ──► settled done   (forgotten)
 *                  ▲              │   └────────► settled dead   (a dead letter, kept until an operator decides)
 *                  └── retry ─────┘ mark: attempts, suspicion and finished sends survive a crash
 *
 * An entry is *unsettled* from the moment its append resolved until its settle is durable. Whatever is unsettled when the process
 * ends, however it ends, is handed out again by the next `open`.
 */
import type { BotClaim, PartitionClaim } from "../leases/leases.ts";
import type { BotId, LaneKey, Seq, Update } from "../ids.ts";

/**
 * How careful an entry must be run after an unclean end of the process:
 * `none` never recovered from one · `suspect` recovered: `mark` it `started` before its handler starts ·
 * `alone` it was marked when the process died: run it while nothing else runs, again marked before.
 */
export type Suspicion = "none" | "suspect" | "alone";

/** One unsettled update, without its body: what a lane keeps in memory. */
export interface Entry {
  readonly seq: Seq;
  readonly bot: BotId;
  readonly lane: LaneKey;
  /** Handler faults so far. */
  readonly attempts: number;
  readonly suspicion: Suspicion;
  /** When its batch was received, wall-clock ms; a dead letter that is retried keeps its own. */
  readonly receivedAt: number;
  /** The body where it is at hand (new entries); else it is fetched by `bodies`. Never mutated by the inbox. */
  readonly body: Body | undefined;
}

export interface Body {
  readonly updateId: number;
  readonly update: Update;
  /** When the batch was received, wall-clock ms. */
  readonly receivedAt: number;
  /** Length of the stored JSON text: what keeping this body costs, roughly, in bytes. */
  readonly size: number;
  /** Sends of earlier attempts that finished; empty for most. */
  readonly sends: readonly Send[];
}

/** A call to Telegram that finished within an attempt, so that a retry gets the old result instead of a second message. */
export interface Send {
  /** Number of the call within its attempt, from 0. */
  readonly call: number;
  readonly method: string;
  /** Hash of method and payload, as decimal text. */
  readonly hash: string;
  /** What Telegram answered as `result`. */
  readonly result: unknown;
}

/** What is worth surviving a crash while an entry stays unsettled. Absent fields keep their stored value. */
export interface Mark {
  readonly seq: Seq;
  readonly attempts?: number;
  /** True before a suspect's handler starts, false when that run ended without ending the process. */
  readonly started?: boolean;
  readonly sends?: readonly Send[];
}

/** The end of an entry. `expired`: an inline, shipping or pre-checkout query too old to be answered. */
export type Outcome = { readonly kind: "done"; readonly how: "handled" | "expired" } | Death;

export interface Death {
  readonly kind: "dead";
  /** Why, for an operator; holds no secret. */
  readonly error: string;
  readonly attempts: number;
  readonly sends: readonly Send[];
  /** Its last attempt ended in a crash: what it did is not known. */
  readonly effectsUnknown: boolean;
}

export interface Appended {
  /** Updates that are now in the inbox and were not before. */
  readonly stored: number;
  /** Updates that had been appended before (settled or not) and were ignored. */
  readonly known: number;
  /** Elements that became dead letters at once; one that is a dead letter already is not counted again. */
  readonly malformed: number;
}

export interface DeadLetter {
  readonly id: number;
  readonly bot: BotId;
  readonly updateId: number | undefined;
  readonly lane: LaneKey;
  /** JSON text as received. */
  readonly body: string;
  readonly receivedAt: number;
  readonly diedAt: number;
  readonly error: string;
  readonly attempts: number;
  readonly sends: readonly Send[];
  readonly effectsUnknown: boolean;
}

/**
 * `effects_unknown`: retrying may repeat what the crashed attempt already did; ask again with `again: true`.
 * `malformed`: it never was an update and cannot become one.
 */
export type LetterRetry = "retried" | "absent" | "effects_unknown" | "malformed";

export interface DeadLetters {
  /** In order of death, after the letter `after`, at most `max`. */
  list(filter: { readonly bot?: BotId; readonly after?: number; readonly max: number }): Promise<readonly DeadLetter[]>;
  /** Appends the letter at the end of its lane, with its finished sends remembered and no attempts counted. */
  retry(id: number, options: { readonly again: boolean }): Promise<LetterRetry>;
  drop(id: number): Promise<"dropped" | "absent">;
  /** Letters per bot. */
  count(): Promise<ReadonlyMap<BotId, number>>;
}

/**
 * `ok` · `failing` settles and marks cannot be written just now: start no handler, they are retried and lost only with the process
 * (their entries are then handled again) · `full` the disk reserve is touched: stop polling, settling goes on.
 */
export type InboxState = "ok" | "failing" | "full";

/** Unsettled entries of everybody who writes to the store. */
export interface Backlog {
  /** By partition. */
  readonly partitions: readonly number[];
  readonly bots: ReadonlyMap<BotId, number>;
}

export interface Inbox {
  /**
   * Stores a batch of one bot's updates. Resolves when every one of them is durable; updates already known are ignored.
   * Elements without a usable `update_id` become dead letters at once, with that reason.
   * Rejects with `inbox_refused` (nothing of the batch is stored, nothing may be confirmed to Telegram) or `inbox_fenced`.
   * Does not promise that a handler has seen them.
   */
  append(claim: BotClaim, updates: readonly Update[]): Promise<Appended>;
  /**
   * Begins to hand out a partition: first what is unsettled, in order, then what arrives. Once per partition and claim: opened under
   * a new claim, the partition opened before ends (its `next` resolves with nothing, its writes are fenced).
   */
  open(claim: PartitionClaim): Promise<Partition>;
  readonly partitions: number;
  /** Every entry of the partition below is durably settled, whoever settled it: at once where it is open here, else as last looked up; 0 before that. */
  settledBelow(partition: number): Seq;
  /** Those of `seqs` that are not settled, of whatever partition. Rejects with `unavailable` where the store cannot be read. */
  unsettled(seqs: readonly Seq[]): Promise<ReadonlySet<Seq>>;
  readonly deadLetters: DeadLetters;
  /** Unsettled entries per bot, as stored. */
  backlog(): Promise<ReadonlyMap<BotId, number>>;
  state(): InboxState;
  /** As last looked up, a moment ago, where other processes write to the store as well; else undefined: what is unsettled is handled here. */
  lastBacklog(): Backlog | undefined;
  /** Calls `changed` whenever `state()` or `lastBacklog()` may answer differently. Returns how to stop listening. */
  onState(changed: (state: InboxState) => void): () => void;
  /**
   * Writes what is pending, records a clean end and closes. `next` of every partition then resolves with nothing. What cannot be
   * written just now is not waited for: it rejects with `unavailable`, and its entries are handed out again after the next start.
   */
  stop(): Promise<void>;
}

export interface Partition {
  /** Which one, from 0. */
  readonly number: number;
  /**
   * Waits until there is something, then resolves with 1 to `max` entries in rising `seq`, each handed out once; with none when the
   * inbox has stopped. An entry is never handed out while an older one of its partition is not. Rejects with `inbox_fenced` where the store
   * says, before the first entry, that another claim has the partition.
   */
  next(max: number): Promise<readonly Entry[]>;
  /**
   * Bodies of unsettled entries; an entry settled meanwhile is absent, as is one whose stored text has become unreadable (it becomes
   * a dead letter). Waits out a store that fails; rejects with `unavailable` once the inbox has stopped.
   */
  bodies(seqs: readonly Seq[]): Promise<ReadonlyMap<Seq, Body>>;
  /** Resolves when the marks are durable (waits out a store that fails). A mark of a settled entry has no effect. Rejects with `inbox_fenced`. */
  mark(marks: readonly Mark[]): Promise<void>;
  /** Resolves when the outcome is durable (waits out a store that fails). Settling twice changes nothing. Rejects with `inbox_fenced`. */
  settle(seq: Seq, outcome: Outcome): Promise<void>;
  /** Every entry below is durably settled. */
  settledBelow(): Seq;
  /** What was stored before it was opened may not have been read yet. */
  isBehind(): boolean;
  /**
   * Ends the partition: `next` resolves with nothing, and what is written later is fenced. While its claim is held that is recorded as a clean end:
   * whoever opens it next need suspect nothing. To be called when every outcome is durable. Rejects with `unavailable` where the clean end could not be recorded.
   */
  close(): Promise<void>;
}
