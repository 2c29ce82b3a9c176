/** The tables of the SQLite inbox. */
import type { Format } from "../sqlite/format.ts";

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

export const format: Format = { schema, migrations: [] };
