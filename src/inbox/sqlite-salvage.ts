/**
 * Opens the inbox file even where it is damaged: what can be read moves into a fresh file, the damaged one is kept aside.
 *
 *     read damaged ──► `.salvaging` ──rename──► `.salvaged` ──► damaged files aside ──► `.salvaged` becomes the inbox
 *
 * A crash before the first rename starts over; after it, the next start goes on from there. So no row is lost in between, and the
 * write-ahead log of the damaged file never meets the fresh one.
 *
 * How damage is noticed: a file up to `checkMaxBytes` is checked at each start (about 1 ms per MiB). A larger one would keep every bot
 * waiting for seconds of reading, for a damage that shows by itself when the page is used: then the process ends itself,
 * leaving a note (`.check`) by which the next start checks whatever the size.
 */
import { existsSync, fsyncSync, openSync, closeSync, renameSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { isDamage, isSound } from "../sqlite/damage.ts";
import { syncFolder } from "./lock.ts";
import { copyReadable, type Salvaged } from "./sqlite-copy.ts";
import { format } from "./sqlite-format.ts";
import { openSqliteStore, type SqliteStore, type SqliteStoreOptions } from "./sqlite-store.ts";

const parts = ["-wal", "-shm", ""] as const;

export type { Salvaged };

export function openSound(options: SqliteStoreOptions): {
  readonly store: SqliteStore;
  readonly salvaged: Salvaged | undefined;
} {
  const { path, now } = options;
  finishSalvage(path, now);
  try {
    if (isSound(path, format)) return { store: openSqliteStore(options), salvaged: undefined };
  } catch (error) {
    if (!isDamage(error)) throw error;
  }
  const salvaged = salvage(path, now);
  return { store: openSqliteStore(options), salvaged };
}

function salvage(path: string, now: number): Salvaged {
  const fresh = `${path}.salvaging`;
  for (const part of parts) rmSync(fresh + part, { force: true });
  const counts = copyReadable(path, fresh, now);
  const descriptor = openSync(fresh, "r+");
  fsyncSync(descriptor);
  closeSync(descriptor);
  renameSync(fresh, `${path}.salvaged`);
  syncFolder(dirname(path));
  return { ...counts, movedTo: finishSalvage(path, now) ?? path };
}

/** Does nothing where no salvage was under way. The log first: a fresh database beside an old log would be overwritten by it. */
function finishSalvage(path: string, now: number): string | undefined {
  if (!existsSync(`${path}.salvaged`)) return undefined;
  const aside = `${path}.damaged-${new Date(now).toISOString().replaceAll(/[:.]/g, "-")}`;
  for (const part of parts) if (existsSync(path + part)) renameSync(path + part, aside + part);
  syncFolder(dirname(path));
  renameSync(`${path}.salvaged`, path);
  syncFolder(dirname(path));
  rmSync(`${path}.check`, { force: true });
  return aside;
}
