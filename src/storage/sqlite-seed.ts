/** Fills a new file of the users with many at once: into tables without indexes, which are made afterwards. For benchmarks. */
import { Database } from "bun:sqlite";
import type { User } from "../users/user.ts";
import { bringToFormat } from "../sqlite/format.ts";
import { format } from "./sqlite-format.ts";
import { activeBots, bucketOf, type Cell, rowOf } from "./sqlite-rows.ts";
import { statements } from "./sqlite-statements.ts";

/** Users in one transaction. */
const batchUsers = 10_000;

/**
 * Makes `path`, where no file may be, out of `users`, whose ids rise. Tells after each batch how many there are. A seeding that does not
 * reach its end leaves a file that no botfleet opens.
 */
export function seedUsers(path: string, users: Iterable<User>, seeded: (count: number) => void): void {
  const db = new Database(path, { create: true, readwrite: true });
  try {
    db.run("PRAGMA journal_mode = OFF");
    db.run("PRAGMA synchronous = OFF");
    db.run("PRAGMA cache_size = -262144");
    bringToFormat(db, path, format);
    const { user_version: made } = db.query<{ user_version: number }, []>("PRAGMA user_version").get() ?? {
      user_version: 0,
    };
    db.run("PRAGMA user_version = 0");
    const indexes = db
      .query<{ name: string; sql: string }, []>(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql NOT NULL",
      )
      .all();
    for (const { name } of indexes) db.run(`DROP INDEX ${name}`);
    insertAll(db, users, seeded);
    for (const { sql } of indexes) db.run(sql);
    db.run("PRAGMA synchronous = FULL");
    db.run(`PRAGMA user_version = ${made}`);
  } finally {
    db.close();
  }
}

function insertAll(db: Database, users: Iterable<User>, seeded: (count: number) => void): void {
  const insert = db.query<unknown, Cell[]>(statements.insert);
  const join = db.query<unknown, Cell[]>(statements.join);
  const buckets = new Map<number, number>();
  let count = 0;
  db.run("BEGIN");
  for (const user of users) {
    insert.run(...rowOf(user));
    for (const bot of activeBots(user.bots)) join.run(bot, user.telegramId);
    const bucket = bucketOf(user.points);
    if (user.isActive) buckets.set(bucket, (buckets.get(bucket) ?? 0) + 1);
    if (++count % batchUsers !== 0) continue;
    db.run("COMMIT");
    seeded(count);
    db.run("BEGIN");
  }
  for (const [bucket, active] of buckets) db.run(statements.count, [bucket, active]);
  db.run("COMMIT");
  seeded(count);
}
