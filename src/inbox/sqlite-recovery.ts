/** What the SQLite inbox does once when it is opened. */
import type { Database } from "bun:sqlite";
import { aloneCrashesMax, aloneDeathError } from "./store.ts";

/**
 * Raises suspicion after an unclean end, and records that this process has not ended cleanly yet. One transaction: a crash within it
 * counts nothing. Its cost does not grow with the backlog: that every entry left is a suspect is one number.
 */
export function recover(db: Database, now: number): void {
  db.transaction(() => {
    const found = db.query<{ value: number }, []>("SELECT value FROM meta WHERE name = 'clean_end'").get();
    if (found?.value === 0) accuse(db, now);
    db.run("UPDATE marks SET started = 0 WHERE started = 1");
    setMeta(db, "clean_end", 0);
  }).immediate();
}

function accuse(db: Database, now: number): void {
  // Every seq given out so far is below the reserved end.
  const reserved = db.query<{ value: number }, []>("SELECT value FROM meta WHERE name = 'seq_reserved'").get();
  setMeta(db, "suspect_below", reserved?.value ?? 0);
  db.run("UPDATE marks SET alone_crashes = alone_crashes + 1 WHERE started = 1 AND alone = 1");
  db.run("UPDATE marks SET alone = 1 WHERE started = 1");
  db.run(
    `INSERT INTO letters(bot, update_id, lane, received_at, died_at, error, attempts, sends, effects_unknown, body)
     SELECT e.bot, e.update_id, e.lane, e.received_at, ?, ?, m.attempts, ifnull(m.sends, '[]'), 1, e.body
     FROM marks m JOIN entries e USING (seq) WHERE m.started = 1 AND m.alone_crashes >= ? ORDER BY seq`,
    [now, aloneDeathError, aloneCrashesMax],
  );
  const dead = "started = 1 AND alone_crashes >= ?";
  db.run(`DELETE FROM entries WHERE seq IN (SELECT seq FROM marks WHERE ${dead})`, [aloneCrashesMax]);
  db.run(`DELETE FROM marks WHERE ${dead}`, [aloneCrashesMax]);
}

function setMeta(db: Database, name: string, value: number): void {
  db.run("INSERT OR REPLACE INTO meta VALUES (?, ?)", [name, value]);
}
