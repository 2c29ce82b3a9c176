/** Every statement that the SQLite user store runs after it has been opened. */
import type { Database } from "bun:sqlite";
import { type Cell, changingColumns, columns, documentSeparator, documentSql, steady } from "./sqlite-rows.ts";

const document = `SELECT ${documentSql} FROM users`;

/** `ORDER BY` and conditions are written so that an index answers them: a test reads the plan of each. */
export const statements = {
  /** One statement for many: what a statement costs by itself is half of a read. */
  read: `SELECT group_concat(${documentSql}, char(${documentSeparator.charCodeAt(0)})) FROM users WHERE id IN (SELECT value FROM json_each(?))`,
  ofCode: "SELECT id FROM users WHERE code = ?",
  byWallet: `${document} WHERE wallet = ?`,
  byDevice: `${document} WHERE device = ? AND ip = ? ORDER BY id LIMIT ?`,
  referrals: `${document} WHERE referred_by = ? AND (created_at, id) < (?, ?) ORDER BY created_at DESC, id DESC LIMIT ?`,
  leaderboard: `${document} WHERE is_active = 1 ORDER BY points DESC, id LIMIT ?`,
  histogram: "SELECT points, users FROM histogram ORDER BY points",
  active: "SELECT user FROM members WHERE bot = ? AND user > ? ORDER BY user LIMIT ?",
  owed: "SELECT id FROM users WHERE referral_state = 1 AND referral_since < ? ORDER BY referral_since LIMIT ?",
  version: "SELECT version FROM users WHERE id = ?",
  insert: `INSERT OR IGNORE INTO users(${columns.join(", ")}) VALUES (${columns.map(() => "?").join(", ")})`,
  join: "INSERT OR IGNORE INTO members VALUES (?, ?)",
  leave: "DELETE FROM members WHERE bot = ? AND user = ?",
  count: "INSERT INTO histogram VALUES (?1, ?2) ON CONFLICT(points) DO UPDATE SET users = users + ?2",
  uncount: "DELETE FROM histogram WHERE points = ? AND users <= 0",
  pay: `UPDATE users SET referral_state = 2, referral_since = ?1, updated_at = ?1, version = version + 1
    WHERE id = ?2 AND referral_state = 1 RETURNING referred_by`,
  standing: "SELECT points, is_active FROM users WHERE id = ?",
  credit: `UPDATE users SET points = points + ?, referral_count = referral_count + ?, updated_at = ?, version = version + 1
    WHERE id = ?`,
  probe: "INSERT OR REPLACE INTO meta VALUES ('probe', ?)",
  begin: "BEGIN IMMEDIATE",
  commit: "COMMIT",
  walSize: "PRAGMA wal_checkpoint(NOOP)",
} as const;

/**
 * Sets the version, the steady columns and those whose bit is set in `changed`, of a user in the expected version. Ignores a row whose wallet or
 * code is another user's.
 */
export function updateOf(changed: number): string {
  const set = [...steady, ...changingColumns.filter((_, place) => (changed & (1 << place)) !== 0)];
  return `UPDATE OR IGNORE users SET version = version + 1, ${set.map((column) => `${column} = ?`).join(", ")}
    WHERE id = ? AND version = ?`;
}

type Prepared = ReturnType<Database["query"]>;
export type Statements = Readonly<Record<keyof typeof statements, Prepared>> & {
  readonly update: (changed: number) => Prepared;
  /** Without it the file stays open after its `close`. */
  readonly finalize: () => void;
};

export function prepare(db: Database): Statements {
  const updates = new Map<number, Prepared>();
  const prepared = Object.entries(statements).map(([name, sql]) => [name, db.prepare<unknown, Cell[]>(sql)] as const);
  return {
    ...(Object.fromEntries(prepared) as Record<keyof typeof statements, Prepared>),
    update(changed) {
      let statement = updates.get(changed);
      if (statement === undefined) updates.set(changed, (statement = db.prepare(updateOf(changed))));
      return statement;
    },
    finalize() {
      for (const [, statement] of prepared) statement.finalize();
      for (const statement of updates.values()) statement.finalize();
    },
  };
}
