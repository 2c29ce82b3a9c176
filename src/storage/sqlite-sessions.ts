/** The sessions in the SQLite file of the users. Synchronous: it belongs into the worker. */
import type { Database } from "bun:sqlite";
import type { StoredSession } from "./check-session.ts";
import type { SessionWrite, SessionWritten } from "./session-store.ts";
import { keyOf, textOfKey } from "./sqlite-rows.ts";

/** `key` holds the text of `keyOf`, `past` JSON text. */
export const sessionSchema = `
  CREATE TABLE sessions(key TEXT PRIMARY KEY, version INTEGER NOT NULL, value TEXT, past TEXT NOT NULL);
  CREATE INDEX sessions_emptied ON sessions(key) WHERE value IS NULL;
`;

const cells = "key, version, value, past";

export const sessionStatements = {
  read: `SELECT ${cells} FROM sessions WHERE key IN (SELECT value FROM json_each(?))`,
  insert: "INSERT OR IGNORE INTO sessions VALUES (?, ?, ?, ?)",
  update: "UPDATE sessions SET version = ?, value = ?, past = ? WHERE key = ? AND version = ?",
  emptied: `SELECT ${cells} FROM sessions WHERE value IS NULL AND key > ? ORDER BY key LIMIT ?`,
  remove: "DELETE FROM sessions WHERE key = ? AND version = ?",
} as const;

/** As the table holds it. */
export type SessionRow = readonly [key: string, version: number, value: string | null, past: string];
/** A row and, behind it, the version it replaces. */
export type SessionRowWrite = readonly [...SessionRow, expectedVersion: number];

export function sessionRowOf({ session, expectedVersion }: SessionWrite): SessionRowWrite {
  const { key, version, value, past } = session;
  return [keyOf(key), version, value ?? null, JSON.stringify(past), expectedVersion];
}

/** What JSON of rows holds. */
export function storedIn(rows: string): readonly StoredSession[] {
  return (JSON.parse(rows) as readonly SessionRow[]).map(([key, ...[version, value, past]]) => {
    return { key: textOfKey(key), version, value, past };
  });
}

type Prepared = ReturnType<Database["prepare"]>;

export class SqliteSessions {
  readonly #sql: Readonly<Record<keyof typeof sessionStatements, Prepared>>;
  readonly #transaction: <T>(work: () => T) => T;

  constructor(db: Database, transaction: <T>(work: () => T) => T) {
    const prepared = Object.entries(sessionStatements).map(([name, sql]) => [name, db.prepare(sql)] as const);
    this.#sql = Object.fromEntries(prepared) as Record<keyof typeof sessionStatements, Prepared>;
    this.#transaction = transaction;
  }

  /** `keys`: JSON of what `keyOf` makes of them. The answer is JSON of rows: one text goes to the event loop at a fraction of the cost. */
  read(keys: string): string {
    return JSON.stringify(this.#sql.read.values(keys));
  }

  /** `writes`: JSON of what `sessionRowOf` makes of them. */
  write(writes: string): readonly SessionWritten[] {
    const rows = JSON.parse(writes) as readonly SessionRowWrite[];
    return this.#transaction(() => rows.map((row) => this.#writeOne(row)));
  }

  /** `after` as `keyOf` makes it. The answer as of `read`. */
  emptied(after: string, max: number): string {
    return JSON.stringify(this.#sql.emptied.values(after, max));
  }

  /** Keys, as `keyOf` makes them, and versions. */
  remove(sessions: readonly (readonly [key: string, version: number])[]): void {
    this.#transaction(() => {
      for (const [key, version] of sessions) this.#sql.remove.run(key, version);
    });
  }

  finalize(): void {
    for (const statement of Object.values(this.#sql)) statement.finalize();
  }

  #writeOne([key, version, value, past, expectedVersion]: SessionRowWrite): SessionWritten {
    const { changes } =
      expectedVersion === 0
        ? this.#sql.insert.run(key, version, value, past)
        : this.#sql.update.run(version, value, past, key, expectedVersion);
    return changes === 0 ? "conflict" : "stored";
  }
}
