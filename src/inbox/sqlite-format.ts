/** The tables of the SQLite inbox, and how a file comes to have them. */
import type { Database } from "bun:sqlite";
import { Fault } from "../faults.ts";

/**
 * `entries`: the unsettled updates, one row each, inserted and deleted and never changed. `marks`: what is worth surviving a crash of the few
 * that failed or are suspects. `runs`: remembered numbering of each bot, as JSON `[[low, high, touchedAt], ...]`, touched last first.
 * `body` comes last, so that the other columns are read without it.
 */
const schema = `
  CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE entries(
    seq INTEGER PRIMARY KEY, bot INTEGER NOT NULL, update_id INTEGER NOT NULL, lane NOT NULL, received_at INTEGER NOT NULL,
    body TEXT NOT NULL
  );
  CREATE TABLE marks(
    seq INTEGER PRIMARY KEY, attempts INTEGER NOT NULL DEFAULT 0, started INTEGER NOT NULL DEFAULT 0,
    alone INTEGER NOT NULL DEFAULT 0, alone_crashes INTEGER NOT NULL DEFAULT 0, sends TEXT
  );
  CREATE TABLE runs(bot INTEGER PRIMARY KEY, runs TEXT NOT NULL);
  CREATE TABLE letters(
    id INTEGER PRIMARY KEY AUTOINCREMENT, bot INTEGER NOT NULL, update_id INTEGER, lane NOT NULL, received_at INTEGER NOT NULL,
    died_at INTEGER NOT NULL, error TEXT NOT NULL, attempts INTEGER NOT NULL, sends TEXT NOT NULL,
    effects_unknown INTEGER NOT NULL, body TEXT NOT NULL
  );
  CREATE INDEX letters_by_bot ON letters(bot, id);
  CREATE INDEX letters_malformed ON letters(bot) WHERE update_id IS NULL;
`;

export interface Format {
  /** What a new file is made of: always the newest format. */
  readonly schema: string;
  /** The first one leads from format 1 to 2, and so on. Never changed once released. */
  readonly migrations: readonly ((db: Database) => void)[];
}

export const format: Format = { schema, migrations: [] };

/** Throws `format_newer`, naming `path` and both numbers, where a newer botfleet has written the file. Answers its format, 0 for a new one. */
export function knownFormat(db: Database, path: string, { migrations }: Format = format): number {
  const newest = migrations.length + 1;
  const found = Number(db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version);
  if (found <= newest) return found;
  const message = `${path} has format ${found}, written by a newer botfleet; this one knows up to ${newest}: run the newer one, or set DATA_DIR to another folder`;
  throw new Fault("format_newer", message);
}

/** Brings an open file to the newest format, in one transaction. Throws `format_newer`; nothing is changed then. */
export function bringToFormat(db: Database, path: string, wanted: Format = format): void {
  const found = knownFormat(db, path, wanted);
  const newest = wanted.migrations.length + 1;
  if (found === newest) return;
  db.transaction(() => {
    if (found === 0) db.run(wanted.schema);
    else for (const migrate of wanted.migrations.slice(found - 1)) migrate(db);
    db.run(`PRAGMA user_version = ${newest}`);
  }).immediate();
}
