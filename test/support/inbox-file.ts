/** Looks into the file of an inbox from outside, as it is on disk. */
import { Database } from "bun:sqlite";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** One unsettled update. */
export interface StoredUpdate {
  readonly seq: number;
  readonly bot: number;
  readonly updateId: number;
  readonly lane: number | string;
  /** Of a message. */
  readonly text: string | null;
}

export interface StoredLetter {
  readonly bot: number;
  readonly updateId: number | null;
  readonly lane: number | string;
  readonly attempts: number;
  readonly effectsUnknown: number;
  readonly error: string;
  readonly body: string;
}

export interface InboxFile {
  /** Unsettled updates in the order of their arrival. */
  readonly entries: readonly StoredUpdate[];
  readonly letters: readonly StoredLetter[];
}

export function inboxFileIn(dataDir: string): string {
  return join(dataDir, "inbox.sqlite");
}

/** While no botfleet runs over `dataDir`. Nothing where there is no inbox yet. The file itself stays as a crash has left it. */
export function readInboxFile(dataDir: string): InboxFile {
  const copied = mkdtempSync(join(tmpdir(), "botfleet-copy-"));
  try {
    for (const suffix of ["", "-wal"]) {
      const from = inboxFileIn(dataDir) + suffix;
      if (existsSync(from)) copyFileSync(from, inboxFileIn(copied) + suffix);
    }
    return existsSync(inboxFileIn(copied)) ? read(inboxFileIn(copied)) : { entries: [], letters: [] };
  } finally {
    rmSync(copied, { recursive: true, force: true });
  }
}

function read(path: string): InboxFile {
  using db = new Database(path, { readwrite: true, create: false });
  const tables = db.query<{ count: number }, []>("SELECT count(*) AS count FROM sqlite_master WHERE name = 'letters'");
  if (tables.get()?.count === 0) return { entries: [], letters: [] };
  const entries = db
    .query<StoredUpdate, []>(
      `SELECT seq, bot, update_id AS updateId, lane, json_extract(body, '$.message.text') AS text FROM entries ORDER BY seq`,
    )
    .all();
  const letters = db
    .query<StoredLetter, []>(
      `SELECT bot, update_id AS updateId, lane, attempts, effects_unknown AS effectsUnknown, error, body
       FROM letters ORDER BY id`,
    )
    .all();
  return { entries, letters };
}
