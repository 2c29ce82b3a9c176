/**
 * The exclusive lock on a folder: a transaction held open on a small SQLite file. The operating system gives it back when the process
 * ends, however it ends. Holds between processes of one machine; network file systems may not keep it.
 */
import { Database } from "bun:sqlite";
import { closeSync, fsyncSync, mkdirSync, openSync, truncateSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Fault } from "../faults.ts";

export interface FolderLock {
  /** Idempotent. */
  release(): void;
}

/**
 * Creates the folder where it is absent and locks it. Throws `inbox_locked` where another process (or this one) has it, and
 * `settings_invalid` where the folder cannot be created or written.
 */
export function lockFolder(folder: string): FolderLock {
  const file = join(folder, "botfleet.lock");
  try {
    createFolder(folder);
    return hold(file);
  } catch (error) {
    const code = codeOf(error);
    if (code.startsWith("SQLITE_BUSY")) {
      const message = `DATA_DIR ${folder} is in use by another botfleet: stop that one, or give this one a DATA_DIR of its own`;
      throw new Fault("inbox_locked", message, { cause: error });
    }
    const message = `DATA_DIR ${folder} cannot be written (${code}): make it a folder that botfleet's user may write to, or set DATA_DIR to another`;
    throw new Fault("settings_invalid", message, { cause: error });
  }
}

function hold(file: string): FolderLock {
  let db: Database;
  try {
    db = begin(file);
  } catch (error) {
    if (!["SQLITE_NOTADB", "SQLITE_CORRUPT"].includes(codeOf(error))) throw error;
    // Nothing is ever stored in it. Emptied, not replaced: another process may hold the lock on this very file.
    truncateSync(file);
    db = begin(file);
  }
  return { release: () => db.close() };
}

function begin(file: string): Database {
  const db = new Database(file, { create: true, readwrite: true });
  try {
    db.run("PRAGMA busy_timeout = 0");
    db.run("BEGIN EXCLUSIVE");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** With the entries in the folders above made durable, so that a power loss does not take the whole folder. */
function createFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true });
  if (first === undefined) return;
  const top = dirname(resolve(first));
  for (let at = resolve(folder); at !== top; at = dirname(at)) syncFolder(dirname(at));
}

/** Makes creations and renames within a folder durable. */
export function syncFolder(folder: string): void {
  const descriptor = openSync(folder, "r");
  try {
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** The code of an error of SQLite or the operating system. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : String(error);
}
