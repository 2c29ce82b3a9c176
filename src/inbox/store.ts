/**
 * What an inbox needs of the place where it keeps things, apart from grouping, handing over and waiting (those are the front's, written
 * once). A store has one partition, or several that other processes may write to as well; `partitions.ts` says which seq is whose. How each step can end, and what makes that harmless:
 *
 *     step                 can end by                           then
 *     append               process dies before the commit       Telegram was told nothing, it sends the batch again
 *     commit               error (disk full, I/O), rolled back   appends reject; settles, marks, letters stay and are committed again
 *     commit               applied, but answered by an error     as above: appends come again and are known, the rest is idempotent;
 *                                                                the front reads what it does not know of back from the store
 *     commit               answer never comes (worker dead)      everything pending rejects, the process ends itself, recovery
 *     after the commit     process dies before the hand-over     recovery hands it out
 *     handler              process dies                          recovery hands it out as `suspect`
 *     mark started         process dies before the handler       counted as a crash: errs on the careful side
 *     settle               process dies before the commit        handled again (promise 3 allows it)
 *     recovery             process dies within it                one transaction, so it counts once or not at all
 *     seq                  rows gone, process restarted          numbers come from blocks reserved in the store
 *     wall clock jumps     forward                               runs are forgotten: a duplicate may be handled twice
 *     wall clock jumps     backward                              runs are remembered longer; order never depends on the clock
 */
import type { BotId, LaneKey, Seq } from "../ids.ts";
import type { Backlog, Suspicion } from "./inbox.ts";

/** Everything that one transaction writes. Applied in the order of the fields; structured-cloneable. */
export interface Group {
  /** Wall-clock ms. */
  readonly now: number;
  /** By partition: the token under which its marks, settles and deaths are made; `""` where the claim is eternal. */
  readonly tokens: readonly (string | undefined)[];
  readonly marks: readonly MarkWrite[];
  /** Entries settled `done`. One that is absent was settled before: no fault. */
  readonly done: readonly Seq[];
  readonly deaths: readonly DeathWrite[];
  readonly letters: readonly LetterWrite[];
  readonly appends: readonly AppendWrite[];
}

/** A batch as columns: `ids[i]`, `lanes[i]` and `bodies[i]` (JSON text) belong together. */
export interface AppendWrite {
  readonly bot: BotId;
  /** Of the claim on the bot; `""` where it is eternal. */
  readonly token: string;
  readonly receivedAt: number;
  readonly ids: readonly number[];
  readonly lanes: readonly LaneKey[];
  readonly bodies: readonly string[];
  /** Elements that cannot be entries and become dead letters at once; one that is a letter of this bot already is left out. */
  readonly malformed: readonly MalformedWrite[];
}

/** Becomes a letter without an update id, by which it is told from others: it cannot be retried. */
export interface MalformedWrite {
  readonly lane: LaneKey;
  readonly body: string;
  readonly error: string;
}

/** Absent fields keep their stored value. `sends` is JSON text. Without effect where the entry is settled. */
export interface MarkWrite {
  readonly seq: Seq;
  readonly attempts: number | undefined;
  readonly started: boolean | undefined;
  readonly sends: string | undefined;
}

/** Moves an entry to the dead letters; without effect where it is settled. `sends` is JSON text. */
export interface DeathWrite {
  readonly seq: Seq;
  readonly error: string;
  readonly attempts: number;
  readonly sends: string;
  readonly effectsUnknown: boolean;
}

export type LetterWrite =
  | { readonly kind: "retry"; readonly id: number; readonly again: boolean }
  | { readonly kind: "drop"; readonly id: number };

export interface Committed {
  /** One for each of `appends`. */
  readonly appends: readonly AppendResult[];
  /** One for each of `letters`. */
  readonly letters: readonly LetterResult[];
  /** By partition: every entry below is settled. Undefined where that was not looked for. */
  readonly settledBelow: readonly (Seq | undefined)[];
  /** Partitions whose token was not the present one: nothing was written to them. Absent: none. */
  readonly fenced?: readonly number[];
}

export interface AppendResult {
  /** By partition: its stored updates of the batch have this seq and the following ones of the partition, in order. */
  readonly firsts: readonly (Seq | undefined)[];
  /** Nothing of the batch was written: its token was not the present one, or there was no room for it. Absent: it was. */
  readonly refusal?: "fenced" | "full";
  /** Places in the batch, rising, of updates that were known and are not stored. */
  readonly known: readonly number[];
  /** Malformed elements that became letters now. */
  readonly buried: number;
}

export type LetterResult =
  | {
      readonly kind: "retried";
      readonly seq: Seq;
      readonly bot: BotId;
      readonly lane: LaneKey;
      readonly receivedAt: number;
    }
  | { readonly kind: "dropped" | "absent" | "effects_unknown" | "malformed" };

export interface StoredEntry {
  readonly seq: Seq;
  readonly bot: BotId;
  readonly lane: LaneKey;
  readonly attempts: number;
  readonly suspicion: Suspicion;
  readonly receivedAt: number;
  /** Where reading it along cost nothing. */
  readonly body?: StoredBody;
}

export interface Chunk {
  /** In rising seq. */
  readonly entries: readonly StoredEntry[];
  /** No unsettled entry is left out up to here: the last one's seq, or the highest seq given out so far where that was all. */
  readonly upTo: Seq;
  readonly settledBelow: Seq;
}

export interface StoredBody {
  readonly seq: Seq;
  readonly updateId: number;
  readonly receivedAt: number;
  readonly body: string;
  /** JSON text; undefined where no send was remembered. */
  readonly sends: string | undefined;
}

export interface StoredLetter {
  readonly id: number;
  readonly bot: BotId;
  readonly updateId: number | undefined;
  readonly lane: LaneKey;
  readonly body: string;
  readonly receivedAt: number;
  readonly diedAt: number;
  readonly error: string;
  readonly attempts: number;
  readonly sends: string;
  readonly effectsUnknown: boolean;
}

export interface LetterFilter {
  readonly bot?: BotId;
  readonly after?: number;
  readonly max: number;
}

/** A synchronous store, opened and recovered. Each call is one transaction: it happens whole, or it throws and nothing of it stays. */
export interface SyncStore {
  /** Durable when it returns. An empty group writes too, so that it tells whether the store can be written. */
  commit(group: Group): Committed;
  /** Unsettled entries of a partition with a seq above `after`, at most `max`. */
  unsettled(after: Seq, max: number, partition: number): Chunk;
  /** Settled ones are left out. */
  bodies(seqs: readonly Seq[]): readonly StoredBody[];
  /** Those that are not settled. */
  stillUnsettled(seqs: readonly Seq[]): readonly Seq[];
  letters(filter: LetterFilter): readonly StoredLetter[];
  letterCounts(): ReadonlyMap<BotId, number>;
  backlog(): ReadonlyMap<BotId, number>;
  /** Closes, recording a clean end where `clean`. Nothing is called afterwards. */
  close(clean: boolean): void;
}

/**
 * The same behind promises. A rejected `commit` may have been applied (its answer was lost) or not, but it is never applied
 * later than it rejects. Calls take effect in any order; the front has one commit in flight at a time.
 */
export type InboxStore = {
  readonly [Call in keyof SyncStore]: (...given: Parameters<SyncStore[Call]>) => Promise<ReturnType<SyncStore[Call]>>;
} & {
  /** Resolves, with the reason, once no call can succeed any more before the process has been started again. */
  readonly broken?: Promise<unknown>;
  /**
   * Takes a partition over for the claim with this token: what an earlier owner left without a clean end becomes suspect. Before anything
   * else of the partition is asked. Rejects with `inbox_fenced` where the claim is not the present one. Absent: opening the store did it.
   */
  readonly takeOver?: (partition: number, token: string) => Promise<void>;
  /** Gives a partition that was taken over back, as after a clean end. Without effect where the claim is not the present one. Absent: closing does it. */
  readonly release?: (partition: number, token: string) => Promise<void>;
  /** Called once. Absent: nobody else writes to the store. */
  readonly watch?: (events: StoreEvents) => void;
};

export interface StoreEvents {
  /** Entries up to `seq` were stored by somebody else; undefined: there may be some. */
  readonly onArrived: (partition: number, seq: Seq | undefined) => void;
  /** Every entry of the partition below is settled, whoever settled it, and stays so. */
  readonly onSettledBelow: (partition: number, seq: Seq) => void;
  /** What is unsettled, whoever has it. */
  readonly onBacklog: (backlog: Backlog) => void;
  /** The store was looked at: with an error, or without. */
  readonly onLooked: (error: unknown) => void;
}

/** Two crashes of the process while an entry was handled alone make it a dead letter. */
export const aloneCrashesMax = 2;
export const aloneDeathError = "the process died twice while this update was handled alone";
