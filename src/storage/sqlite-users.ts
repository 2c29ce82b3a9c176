/** The rows of the SQLite user store. Synchronous, with an fsync in each commit: it belongs into the worker. */
import type { Database } from "bun:sqlite";
import { toUserId } from "../ids.ts";
import { openDurable } from "../sqlite/open.ts";
import { format } from "./sqlite-format.ts";
import { bucketOf, type Cell, documentSeparator } from "./sqlite-rows.ts";
import { SqliteSessions } from "./sqlite-sessions.ts";
import { prepare, type Statements } from "./sqlite-statements.ts";
import { type Counted, type RowWrite, writesIn } from "./sqlite-writes.ts";
import type { PointsBucket, Rewarded, Written } from "./store.ts";

export interface SqliteUsersOptions {
  readonly path: string;
  /** Pages (of 4 KiB) of the write-ahead log after which it is folded into the database. */
  readonly checkpointPages: number;
  /** Memory for pages of the file, KiB. */
  readonly pageCacheKiB: number;
}

/** Opens a sound file (or creates one) and brings it to the newest format. Throws what SQLite throws, and `format_newer`. */
export function openSqliteUsers(options: SqliteUsersOptions): SqliteUsers {
  const db = openDurable({ ...options, format });
  try {
    return new SqliteUsers(db, options);
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Documents are answered as JSON texts with a separator between them: one text goes to the event loop at a fraction of the cost of objects. */
export class SqliteUsers {
  readonly sessions: SqliteSessions;
  readonly #db: Database;
  readonly #options: SqliteUsersOptions;
  readonly #sql: Statements;
  /** How the transaction in work changes the histogram. */
  readonly #moved = new Map<number, number>();

  constructor(db: Database, options: SqliteUsersOptions) {
    this.#db = db;
    this.#options = options;
    this.#sql = prepare(db);
    this.sessions = new SqliteSessions(db, (work) => this.transaction(work));
  }

  read(ids: string): string {
    const [found] = this.#sql.read.values(ids);
    return typeof found?.[0] === "string" ? found[0] : "";
  }

  find(by: "byWallet" | "byDevice" | "referrals" | "leaderboard", given: readonly Cell[]): string {
    return this.#sql[by]
      .values(...given)
      .map(([document]) => String(document))
      .join(documentSeparator);
  }

  ids(by: "active" | "owed" | "ofCode", given: readonly Cell[]): readonly number[] {
    return this.#sql[by].values(...given).map(([id]) => Number(id));
  }

  histogram(): readonly PointsBucket[] {
    return this.#sql.histogram.values().map(([from, users]) => ({ from: Number(from), users: Number(users) }));
  }

  /** `text` as `textOf` makes it. */
  write(text: string): readonly Written[] {
    return this.transaction(() => Array.from(writesIn(text), (write) => this.#writeOne(write)));
  }

  reward(referees: readonly number[], points: number, at: number): readonly Rewarded[] {
    return this.transaction(() => {
      const earned = new Map<number, number>();
      const paid = referees.map((referee) => {
        const row = this.#sql.pay.values(at, referee)[0];
        const referrer = typeof row?.[0] === "number" ? row[0] : undefined;
        if (referrer !== undefined) earned.set(referrer, (earned.get(referrer) ?? 0) + 1);
        return { referee: toUserId(referee), isPaid: row !== undefined, referrer };
      });
      for (const [referrer, referrals] of earned) {
        if (!this.#credit(referrer, referrals, points, at)) earned.delete(referrer);
      }
      return paid.map(({ referee, isPaid, referrer }): Rewarded => {
        if (!isPaid) return { referee, end: "not_owed" };
        if (referrer === undefined || !earned.has(referrer)) return { referee, end: "paid" };
        return { referee, end: "paid", referrer: toUserId(referrer) };
      });
    });
  }

  /** Writes, so that it tells whether the store can be written. */
  probe(now: number): void {
    this.transaction(() => this.#sql.probe.run(now));
  }

  /** Folds the write-ahead log into the database where it has grown past `checkpointPages`, or `now`. */
  checkpoint(now: boolean): void {
    const pages = this.#sql.walSize.values()[0]?.[1];
    if (now || Number(pages) >= this.#options.checkpointPages) this.#db.run("PRAGMA wal_checkpoint(PASSIVE)");
  }

  /** A transaction could neither be ended nor undone: no call can succeed any more. */
  isStuck(): boolean {
    return this.#db.inTransaction;
  }

  close(): void {
    this.#sql.finalize();
    this.sessions.finalize();
    this.#db.close(true);
  }

  /** All of `work` or nothing; throws what it throws. */
  transaction<T>(work: () => T): T {
    this.#moved.clear();
    this.#sql.begin.run();
    try {
      const result = work();
      this.#saveHistogram();
      this.#sql.commit.run();
      return result;
    } catch (error) {
      // Some errors have rolled it back already. Where this throws too, the store is stuck.
      if (this.#db.inTransaction) this.#db.run("ROLLBACK");
      throw error;
    }
  }

  #writeOne(write: RowWrite): Written {
    const { id, expectedVersion, changed, values } = write;
    const { changes } =
      expectedVersion === 0
        ? this.#sql.insert.run(id, 1, ...values)
        : this.#sql.update(changed).run(...values, id, expectedVersion);
    if (changes === 0) {
      const version = this.#sql.version.values(id)[0]?.[0] ?? 0;
      // The id and the version are right: what else is unique belongs to another user.
      return version === expectedVersion ? "taken" : "conflict";
    }
    for (const bot of write.joined) this.#sql.join.run(bot, id);
    for (const bot of write.left) this.#sql.leave.run(bot, id);
    if (write.counted !== undefined) {
      this.#recount(write.counted.before, -1);
      this.#recount(write.counted.after, 1);
    }
    return "stored";
  }

  #credit(referrer: number, referrals: number, points: number, at: number): boolean {
    const [row] = this.#sql.standing.values(referrer);
    if (row === undefined) return false;
    const before: Counted = { points: Number(row[0]), isActive: row[1] === 1 };
    const gained = referrals * points;
    this.#sql.credit.run(gained, referrals, at, referrer);
    this.#recount(before, -1);
    this.#recount({ ...before, points: before.points + gained }, 1);
    return true;
  }

  #recount({ points, isActive }: Counted, by: number): void {
    if (!isActive) return;
    const bucket = bucketOf(points);
    this.#moved.set(bucket, (this.#moved.get(bucket) ?? 0) + by);
  }

  #saveHistogram(): void {
    for (const [bucket, by] of this.#moved) {
      if (by === 0) continue;
      this.#sql.count.run(bucket, by);
      if (by < 0) this.#sql.uncount.run(bucket);
    }
  }
}
