/**
 * The rows of the SQLite inbox. Synchronous, with an fsync in each commit: it belongs into the worker. Over 150 lines because one
 * class holds what a transaction changes in memory, so that a rollback can forget it.
 */
import type { Database } from "bun:sqlite";
import { type BotId, type LaneKey, type Seq, toBotId, toLaneKey, toSeq } from "../ids.ts";
import { openDurable } from "../sqlite/open.ts";
import { judge, type Run, type RunLimits, runsOf, textOf } from "./runs.ts";
import { format } from "./sqlite-format.ts";
import { recover } from "./sqlite-recovery.ts";
import { type LetterRow, prepare, type Statements } from "./sqlite-statements.ts";
import type {
  AppendResult,
  AppendWrite,
  DeathWrite,
  Group,
  LetterResult,
  LetterWrite,
  StoredBody,
  StoredEntry,
  StoredLetter,
  SyncStore,
} from "./store.ts";

export interface SqliteStoreOptions {
  readonly path: string;
  readonly limits: RunLimits & { readonly checkpointPages: number };
  /** False: an id delivered twice is two entries. */
  readonly deduplicate: boolean;
  /** Wall-clock ms. */
  readonly now: number;
}

/** Seqs reserved at a time: one write of a row for so many entries, and at most so many numbers lost by a restart. */
const seqBlock = 10_000;
/** Memory for pages of the file, KiB. */
const pageCacheKiB = 16_000;

/** Opens a sound file (or creates one), brings it to the newest format and recovers. Throws what SQLite throws, and `format_newer`. */
export function openSqliteStore(options: SqliteStoreOptions): SqliteStore {
  const { path, limits, now } = options;
  const db = openDurable({ path, format, checkpointPages: limits.checkpointPages, pageCacheKiB });
  try {
    recover(db, now);
    return new SqliteStore(db, options);
  } catch (error) {
    db.close();
    throw error;
  }
}

export class SqliteStore implements SyncStore {
  readonly #db: Database;
  readonly #options: SqliteStoreOptions;
  readonly #sql: Statements;
  readonly #suspectBelow: number;
  #nextSeq: number;
  #reservedBelow: number;
  readonly #runs = new Map<BotId, readonly Run[]>();
  readonly #changedRuns = new Set<BotId>();
  /** Unsettled entries per bot, once asked for; kept up from then on. */
  #backlog: Map<BotId, number> | undefined;

  constructor(db: Database, options: SqliteStoreOptions) {
    this.#db = db;
    this.#options = options;
    this.#sql = prepare(db);
    this.#suspectBelow = this.#meta("suspect_below");
    this.#reservedBelow = this.#meta("seq_reserved");
    this.#nextSeq = Math.max(1, this.#reservedBelow);
  }

  commit(group: Group): ReturnType<SyncStore["commit"]> {
    return this.#transaction(() => {
      for (const { seq, attempts, started, sends } of group.marks) {
        this.#sql.mark.run(seq, attempts ?? null, started === undefined ? null : Number(started), sends ?? null);
      }
      this.#delete(group.done);
      for (const death of group.deaths) this.#bury(death, group.now);
      const letters = group.letters.map((write) => this.#changeLetter(write));
      const appends = group.appends.map((write) => this.#append(write, group.now));
      for (const bot of this.#changedRuns) this.#sql.saveRuns.run(bot, textOf(this.#runs.get(bot) ?? []));
      this.#changedRuns.clear();
      if (isEmpty(group)) this.#sql.setMeta.run("probe", group.now);
      return { appends, letters, settledBelow: [this.#settledBelow()] };
    });
  }

  unsettled(after: Seq, max: number): ReturnType<SyncStore["unsettled"]> {
    const rows = this.#sql.unsettled.values(after, max);
    const entries = rows.map(([seq, bot, lane, receivedAt, attempts, alone]): StoredEntry => ({
      seq: toSeq(Number(seq)),
      bot: toBotId(Number(bot)),
      lane: laneOf(lane),
      attempts: Number(attempts),
      suspicion: alone === 1 ? "alone" : Number(seq) < this.#suspectBelow ? "suspect" : "none",
      receivedAt: Number(receivedAt),
    }));
    const last = entries.length < max ? toSeq(this.#nextSeq - 1) : entries.at(-1)?.seq;
    return { entries, upTo: last ?? after, settledBelow: this.#settledBelow() };
  }

  bodies(seqs: readonly Seq[]): readonly StoredBody[] {
    return seqs.flatMap((seq) => {
      const row = this.#sql.body.get(seq);
      return row === null ? [] : [{ ...row, seq, sends: row.sends ?? undefined }];
    });
  }

  stillUnsettled(seqs: readonly Seq[]): readonly Seq[] {
    return seqs.filter((seq) => this.#sql.isStored.get(seq) !== null);
  }

  letters({ bot, after = 0, max }: Parameters<SyncStore["letters"]>[0]): readonly StoredLetter[] {
    return (bot === undefined ? this.#sql.letters.all(after, max) : this.#sql.lettersOf.all(bot, after, max)).map(
      letterOf,
    );
  }

  letterCounts(): ReadonlyMap<BotId, number> {
    return countsOf(this.#sql.letterCounts.values());
  }

  backlog(): ReadonlyMap<BotId, number> {
    this.#backlog ??= countsOf(this.#sql.backlog.values());
    return this.#backlog;
  }

  /** Folds the write-ahead log into the database where it has grown past `checkpointPages`, or `now`. */
  checkpoint(now: boolean): void {
    const pages = this.#sql.walSize.values()[0]?.[1];
    if (now || Number(pages) >= this.#options.limits.checkpointPages) this.#db.run("PRAGMA wal_checkpoint(PASSIVE)");
  }

  /** A transaction could neither be ended nor undone: no call can succeed any more. */
  isStuck(): boolean {
    return this.#db.inTransaction;
  }

  close(clean: boolean): void {
    if (clean) this.#transaction(() => this.#sql.setMeta.run("clean_end", 1));
    this.#db.close();
  }

  /** Closes as the death of the process would: whatever was not committed is gone, no end is recorded. */
  abandon(): void {
    this.#db.close();
  }

  #transaction<T>(work: () => T): T {
    this.#sql.begin.run();
    try {
      const result = work();
      this.#sql.commit.run();
      return result;
    } catch (error) {
      // Some errors have rolled it back already. Where this throws too, the store is stuck.
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
      this.#forget();
      throw error;
    }
  }

  /** After a rollback what is kept in memory is read again when needed. Seqs given out are not given out again. */
  #forget(): void {
    this.#runs.clear();
    this.#changedRuns.clear();
    this.#backlog = undefined;
    this.#reservedBelow = 0;
  }

  #delete(seqs: readonly Seq[]): void {
    const sorted = seqs.toSorted((a, b) => a - b);
    for (let at = 0; at < sorted.length;) {
      const first = sorted[at] ?? toSeq(0);
      let last = first;
      for (at++; at < sorted.length && (sorted[at] ?? 0) <= last + 1; at++) last = sorted[at] ?? last;
      this.#deleteRange(first, last);
    }
  }

  #deleteRange(first: Seq, last: Seq): void {
    this.#sql.unmark.run(first, last);
    if (this.#backlog === undefined) this.#sql.settle.run(first, last);
    else for (const [bot] of this.#sql.settleCounting.values(first, last)) this.#count(toBotId(Number(bot)), -1);
  }

  #bury({ seq, error, attempts, sends, effectsUnknown }: DeathWrite, now: number): void {
    this.#sql.bury.run(seq, now, error, attempts, sends, Number(effectsUnknown));
    this.#deleteRange(seq, seq);
  }

  #changeLetter({ kind, id, ...options }: LetterWrite): LetterResult {
    const row = this.#sql.letters.get(id - 1, 1);
    if (row === null || row.id !== id) return { kind: "absent" };
    const { bot, updateId, lane, receivedAt, body, sends, effectsUnknown } = letterOf(row);
    if (kind === "retry") {
      if (updateId === undefined) return { kind: "malformed" };
      if (effectsUnknown && !("again" in options && options.again)) return { kind: "effects_unknown" };
    }
    this.#sql.dropLetter.run(id);
    if (kind === "drop") return { kind: "dropped" };
    const seq = this.#reserve(1);
    this.#sql.insert.run(seq, bot, updateId ?? 0, lane, receivedAt, body);
    this.#sql.mark.run(seq, null, null, sends);
    this.#count(bot, 1);
    return { kind: "retried", seq, bot, lane, receivedAt };
  }

  #append({ bot, receivedAt, ids, lanes, bodies, malformed }: AppendWrite, now: number): AppendResult {
    const known = this.#options.deduplicate && ids.length > 0 ? this.#judge(bot, ids, now) : [];
    const count = ids.length - known.length;
    const first = this.#reserve(count);
    let seq: number = first;
    for (let place = 0, nextKnown = 0; place < ids.length; place++) {
      if (known[nextKnown] === place) nextKnown++;
      else this.#sql.insert.run(seq++, bot, ids[place] ?? 0, lanes[place] ?? "", receivedAt, bodies[place] ?? "");
    }
    if (count > 0) this.#count(bot, count);
    let buried = 0;
    for (const { lane, body, error } of malformed) {
      buried += this.#sql.buryMalformed.run(bot, lane, receivedAt, now, error, body).changes;
    }
    return { firsts: [first], known, buried };
  }

  #judge(bot: BotId, ids: readonly number[], now: number): readonly number[] {
    const before = this.#runs.get(bot) ?? runsOf(this.#sql.runs.get(bot)?.runs);
    const { runs, known } = judge(before, ids, now, this.#options.limits);
    this.#runs.set(bot, runs);
    this.#changedRuns.add(bot);
    return known;
  }

  /** The first of `count` new seqs. The block they come from is durable with the transaction that uses them. */
  #reserve(count: number): Seq {
    const first = this.#nextSeq;
    this.#nextSeq += count;
    if (this.#nextSeq > this.#reservedBelow) {
      this.#reservedBelow = this.#nextSeq + seqBlock;
      this.#sql.setMeta.run("seq_reserved", this.#reservedBelow);
    }
    return toSeq(first);
  }

  #settledBelow(): Seq {
    return toSeq(this.#sql.oldest.get()?.seq ?? this.#nextSeq);
  }

  #count(bot: BotId, change: number): void {
    if (this.#backlog === undefined) return;
    const count = (this.#backlog.get(bot) ?? 0) + change;
    if (count > 0) this.#backlog.set(bot, count);
    else this.#backlog.delete(bot);
  }

  #meta(name: string): number {
    return this.#sql.getMeta.get(name)?.value ?? 0;
  }
}

function isEmpty({ marks, done, deaths, letters, appends }: Group): boolean {
  return marks.length + done.length + deaths.length + letters.length + appends.length === 0;
}

function laneOf(cell: unknown): LaneKey {
  return toLaneKey(typeof cell === "number" ? cell : String(cell));
}

function letterOf(row: LetterRow): StoredLetter {
  return {
    id: row.id,
    bot: toBotId(row.bot),
    updateId: row.update_id ?? undefined,
    lane: laneOf(row.lane),
    body: row.body,
    receivedAt: row.received_at,
    diedAt: row.died_at,
    error: row.error,
    attempts: row.attempts,
    sends: row.sends,
    effectsUnknown: row.effects_unknown === 1,
  };
}

function countsOf(rows: readonly unknown[][]): Map<BotId, number> {
  return new Map(rows.map(([bot, count]) => [toBotId(Number(bot)), Number(count)]));
}
