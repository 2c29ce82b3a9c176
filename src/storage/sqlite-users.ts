/** The rows of the SQLite user store. Synchronous, with an fsync in each commit: it belongs into the worker. */
import type { Database } from "bun:sqlite";
import { toUserId } from "../ids.ts";
import { openDurable } from "../sqlite/open.ts";
import { format } from "./sqlite-format.ts";
import { activeBots, bucketOf, type Cell, cellsPerWrite, columns, indexed, plain } from "./sqlite-rows.ts";
import { prepare, type Statements } from "./sqlite-statements.ts";
import type { PointsBucket, Rewarded, Written } from "./store.ts";

export interface SqliteUsersOptions {
  readonly path: string;
  /** Pages (of 4 KiB) of the write-ahead log after which it is folded into the database. */
  readonly checkpointPages: number;
  /** Memory for pages of the file, KiB. */
  readonly pageCacheKiB: number;
}

const firstIndexed = 1 + plain.length;
const pointsAt = firstIndexed + indexed.indexOf("points");
const isActiveAt = firstIndexed + indexed.indexOf("is_active");
const botsAt = columns.indexOf("bots");

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

/** Documents are answered as JSON texts, one a line: one text goes to the event loop at a fraction of the cost of objects. */
export class SqliteUsers {
  readonly #db: Database;
  readonly #options: SqliteUsersOptions;
  readonly #sql: Statements;
  /** How the transaction in work changes the histogram. */
  readonly #moved = new Map<number, number>();

  constructor(db: Database, options: SqliteUsersOptions) {
    this.#db = db;
    this.#options = options;
    this.#sql = prepare(db);
  }

  read(ids: string): string {
    const [found] = this.#sql.read.values(ids);
    return typeof found?.[0] === "string" ? found[0] : "";
  }

  find(by: "byCode" | "byWallet" | "byDevice" | "referrals" | "leaderboard", given: readonly Cell[]): string {
    return this.#sql[by]
      .values(...given)
      .map(([document]) => String(document))
      .join("\n");
  }

  ids(by: "active" | "owed", given: readonly Cell[]): readonly number[] {
    return this.#sql[by].values(...given).map(([id]) => Number(id));
  }

  histogram(): readonly PointsBucket[] {
    return this.#sql.histogram.values().map(([from, users]) => ({ from: Number(from), users: Number(users) }));
  }

  /** `text`: JSON of the cells as `cellsOf` makes them. */
  write(text: string): readonly Written[] {
    const cells = JSON.parse(text) as readonly Cell[];
    return this.#transaction(() => {
      const ends: Written[] = [];
      for (let at = 0; at < cells.length; at += cellsPerWrite)
        ends.push(this.#writeOne(cells.slice(at, at + cellsPerWrite)));
      return ends;
    });
  }

  reward(referees: readonly number[], points: number, at: number): readonly Rewarded[] {
    return this.#transaction(() => {
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
    this.#transaction(() => this.#sql.probe.run(now));
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
    this.#db.close(true);
  }

  #transaction<T>(work: () => T): T {
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

  #writeOne(cells: readonly Cell[]): Written {
    const id = Number(cells[0]);
    const before = this.#sql.stored.values(id)[0];
    if ((before === undefined ? 0 : before[0]) !== cells[cellsPerWrite - 1]) return "conflict";
    const row = cells.slice(0, -1);
    const { changes } = before === undefined ? this.#sql.insert.run(...row) : this.#update(id, before, row);
    // The id and the version are right: what else is unique belongs to another user.
    if (changes === 0) return "taken";
    const bots = typeof before?.[1] === "string" ? before[1] : "{}";
    if (bots !== row[botsAt]) this.#move(id, activeBots(bots), activeBots(String(row[botsAt])));
    if (before !== undefined) this.#recount(before[2], before[3], -1);
    this.#recount(row[pointsAt], row[isActiveAt], 1);
    return "stored";
  }

  /** `before` as `stored` answers it. */
  #update(id: number, before: readonly unknown[], row: readonly Cell[]): { readonly changes: number } {
    const values = row.slice(1, firstIndexed);
    let changed = 0;
    for (let place = 0; place < indexed.length; place++) {
      const value = row[firstIndexed + place] ?? null;
      if (value === before[2 + place]) continue;
      changed |= 1 << place;
      values.push(value);
    }
    return this.#sql.update(changed).run(...values, id);
  }

  #credit(referrer: number, referrals: number, points: number, at: number): boolean {
    const [before] = this.#sql.standing.values(referrer);
    if (before === undefined) return false;
    const gained = referrals * points;
    this.#sql.credit.run(gained, referrals, at, referrer);
    this.#recount(before[0], before[1], -1);
    this.#recount(Number(before[0]) + gained, before[1], 1);
    return true;
  }

  #move(id: number, from: readonly number[], to: readonly number[]): void {
    for (const bot of to) if (!from.includes(bot)) this.#sql.join.run(bot, id);
    for (const bot of from) if (!to.includes(bot)) this.#sql.leave.run(bot, id);
  }

  #recount(points: unknown, isActive: unknown, by: number): void {
    if (isActive !== 1) return;
    const bucket = bucketOf(Number(points));
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
