/** How a SQLite file comes to have the tables that this botfleet knows. */
import type { Database } from "bun:sqlite";
import { Fault } from "../faults.ts";

export interface Format {
  /** What a new file is made of: always the newest format. */
  readonly schema: string;
  /** The first one leads from format 1 to 2, and so on. Never changed once released. */
  readonly migrations: readonly ((db: Database) => void)[];
}

/** Throws `format_newer`, naming `path` and both numbers, where a newer botfleet has written the file. Answers its format, 0 for a new one. */
export function knownFormat(db: Database, path: string, { migrations }: Format): number {
  const newest = migrations.length + 1;
  const found = Number(db.query<{ user_version: number }, []>("PRAGMA user_version").get()?.user_version);
  if (found <= newest) return found;
  const message = `${path} has format ${found}, written by a newer botfleet; this one knows up to ${newest}: run the newer one, or set DATA_DIR to another folder`;
  throw new Fault("format_newer", message);
}

/** Brings an open file to the newest format, in one transaction. Throws `format_newer`; nothing is changed then. */
export function bringToFormat(db: Database, path: string, wanted: Format): void {
  const found = knownFormat(db, path, wanted);
  const newest = wanted.migrations.length + 1;
  if (found === newest) return;
  db.transaction(() => {
    if (found === 0) db.run(wanted.schema);
    else for (const migrate of wanted.migrations.slice(found - 1)) migrate(db);
    db.run(`PRAGMA user_version = ${newest}`);
  }).immediate();
}
