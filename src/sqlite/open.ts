/** Opens the files of botfleet as all of them are kept: a write-ahead log that is folded by their owner, and an fsync in each commit. */
import { Database } from "bun:sqlite";
import { bringToFormat, type Format } from "./format.ts";

export interface DurableOptions {
  readonly path: string;
  readonly format: Format;
  /** Pages (of 4 KiB) of the write-ahead log after which its owner folds it into the database. */
  readonly checkpointPages: number;
  /** Memory for pages of the file, KiB. */
  readonly pageCacheKiB: number;
}

const pageBytes = 4_096;

/** Opens a sound file (or creates one) and brings it to the newest format. Throws what SQLite throws, and `format_newer`; nothing stays open then. */
export function openDurable({ path, format, checkpointPages, pageCacheKiB }: DurableOptions): Database {
  const db = new Database(path, { create: true, readwrite: true });
  try {
    db.run("PRAGMA busy_timeout = 1000");
    db.run(`PRAGMA page_size = ${pageBytes}`);
    // The format is looked at first: a file of a newer botfleet is left untouched.
    bringToFormat(db, path, format);
    db.run("PRAGMA journal_mode = WAL");
    db.run("PRAGMA synchronous = FULL");
    db.run("PRAGMA wal_autocheckpoint = 0");
    db.run(`PRAGMA journal_size_limit = ${checkpointPages * pageBytes * 2}`);
    db.run(`PRAGMA cache_size = -${pageCacheKiB}`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
