/** The durable inbox of a single process: SQLite in a worker thread, so that no fsync ever blocks the event loop. */
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { Fault } from "../faults.ts";
import { createInbox, type FrontOptions } from "./front.ts";
import type { Inbox } from "./inbox.ts";
import { lockFolder } from "./lock.ts";
import type { RunLimits } from "./runs.ts";
import { connectWorker, type SqliteWorker } from "./sqlite-connection.ts";
import type { Salvaged } from "./sqlite-salvage.ts";

export interface SqliteInboxOptions extends Omit<FrontOptions, "store" | "freeBytes"> {
  readonly dataDir: string;
  readonly limits: FrontOptions["limits"] & RunLimits & { readonly checkpointPages: number };
  /** False: an id delivered twice is two entries. */
  readonly deduplicate: boolean;
  /** The file was damaged and has been replaced by what was readable of it. It has been logged as well. */
  readonly onSalvaged?: (salvaged: Salvaged) => void;
  readonly freeBytes?: () => Promise<number>;
  /** For tests: time that every commit takes longer, as on a slow disk; ms. */
  readonly fsyncDelayMs?: number;
}

/**
 * Locks `dataDir` (created where absent) for this process, opens `inbox.sqlite` in it and recovers what an earlier process left.
 * Rejects with `inbox_locked`, `format_newer`, or `settings_invalid` where the folder cannot be written. `stop` gives the lock back.
 */
export async function createSqliteInbox(options: SqliteInboxOptions): Promise<Inbox> {
  const { dataDir, clock, limits, log, onSalvaged } = options;
  const lock = lockFolder(dataDir);
  let worker: SqliteWorker;
  try {
    worker = await connectWorker({
      path: join(dataDir, "inbox.sqlite"),
      limits,
      deduplicate: options.deduplicate,
      now: clock.now(),
      fsyncDelayMs: options.fsyncDelayMs ?? 0,
    });
  } catch (error) {
    lock.release();
    throw error instanceof Fault ? error : new Error(`the inbox in ${dataDir} cannot be opened: ${String(error)}`);
  }
  const { store, salvaged } = worker;
  if (salvaged !== undefined) {
    log?.error("the inbox file was damaged; what was readable is in a new one, the damaged file is kept", {
      ...salvaged,
    });
    onSalvaged?.(salvaged);
  }
  const close: typeof store.close = async (clean) => {
    try {
      await store.close(clean);
    } finally {
      worker.end();
      lock.release();
    }
  };
  const freeBytes = options.freeBytes ?? (() => freeBytesIn(dataDir));
  return createInbox({ ...options, store: { ...store, close }, freeBytes });
}

async function freeBytesIn(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
