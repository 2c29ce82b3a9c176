/** Every statement that the SQLite inbox runs after it has been opened. */
import type { Database } from "bun:sqlite";
import type { LaneKey } from "../ids.ts";

export interface LetterRow {
  readonly id: number;
  readonly bot: number;
  readonly update_id: number | null;
  readonly lane: number | string;
  readonly received_at: number;
  readonly died_at: number;
  readonly error: string;
  readonly attempts: number;
  readonly sends: string;
  readonly effects_unknown: number;
  readonly body: string;
}

type Cell = number | string | null;

export type Statements = ReturnType<typeof prepare>;

export function prepare(db: Database) {
  return {
    begin: db.query<unknown, []>("BEGIN IMMEDIATE"),
    commit: db.query<unknown, []>("COMMIT"),
    getMeta: db.query<{ value: number }, [string]>("SELECT value FROM meta WHERE name = ?"),
    setMeta: db.query<unknown, [string, number]>("INSERT OR REPLACE INTO meta VALUES (?, ?)"),
    insert: db.query<unknown, [number, number, number, LaneKey | "", number, string]>(
      "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)",
    ),
    settle: db.query<unknown, [number, number]>("DELETE FROM entries WHERE seq BETWEEN ? AND ?"),
    settleCounting: db.query<unknown, [number, number]>("DELETE FROM entries WHERE seq BETWEEN ? AND ? RETURNING bot"),
    unmark: db.query<unknown, [number, number]>("DELETE FROM marks WHERE seq BETWEEN ? AND ?"),
    mark: db.query<unknown, [number, Cell, Cell, Cell]>(
      `INSERT INTO marks(seq, attempts, started, sends)
       SELECT ?1, ifnull(?2, 0), ifnull(?3, 0), ?4 WHERE EXISTS (SELECT 1 FROM entries WHERE seq = ?1)
       ON CONFLICT(seq) DO UPDATE SET
         attempts = ifnull(?2, attempts), started = ifnull(?3, started), sends = ifnull(?4, sends)`,
    ),
    oldest: db.query<{ seq: number }, []>("SELECT seq FROM entries ORDER BY seq LIMIT 1"),
    unsettled: db.query<unknown, [number, number]>(
      `SELECT e.seq, e.bot, e.lane, e.received_at, ifnull(m.attempts, 0), m.alone FROM entries e LEFT JOIN marks m USING (seq)
       WHERE e.seq > ? ORDER BY e.seq LIMIT ?`,
    ),
    body: db.query<{ updateId: number; receivedAt: number; body: string; sends: string | null }, [number]>(
      `SELECT e.update_id updateId, e.received_at receivedAt, e.body, m.sends
       FROM entries e LEFT JOIN marks m USING (seq) WHERE e.seq = ?`,
    ),
    isStored: db.query<unknown, [number]>("SELECT 1 FROM entries WHERE seq = ?"),
    backlog: db.query<unknown, []>("SELECT bot, count(*) FROM entries GROUP BY bot"),
    runs: db.query<{ runs: string }, [number]>("SELECT runs FROM runs WHERE bot = ?"),
    saveRuns: db.query<unknown, [number, string]>("INSERT OR REPLACE INTO runs VALUES (?, ?)"),
    bury: db.query<unknown, [number, number, string, number, string, number]>(
      `INSERT INTO letters(bot, update_id, lane, received_at, died_at, error, attempts, sends, effects_unknown, body)
       SELECT bot, update_id, lane, received_at, ?2, ?3, ?4, ?5, ?6, body FROM entries WHERE seq = ?1`,
    ),
    buryMalformed: db.query<unknown, [number, LaneKey, number, number, string, string]>(
      `INSERT INTO letters(bot, lane, received_at, died_at, error, attempts, sends, effects_unknown, body)
       SELECT ?1, ?2, ?3, ?4, ?5, 0, '[]', 0, ?6
       WHERE NOT EXISTS (SELECT 1 FROM letters WHERE bot = ?1 AND update_id IS NULL AND body = ?6)`,
    ),
    letters: db.query<LetterRow, [number, number]>("SELECT * FROM letters WHERE id > ? ORDER BY id LIMIT ?"),
    lettersOf: db.query<LetterRow, [number, number, number]>(
      "SELECT * FROM letters WHERE bot = ? AND id > ? ORDER BY id LIMIT ?",
    ),
    letterCounts: db.query<unknown, []>("SELECT bot, count(*) FROM letters GROUP BY bot"),
    dropLetter: db.query<unknown, [number]>("DELETE FROM letters WHERE id = ?"),
    walSize: db.query<unknown, []>("PRAGMA wal_checkpoint(NOOP)"),
  };
}
