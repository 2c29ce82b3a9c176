/** A name for the one partition of an inbox that is a file: instances that share users tell each other's updates apart by it. */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";

/**
 * A number: the same for ever in `dataDir`, which whoever calls holds the lock of, and another one in every other folder. A file that was taken away, or holds
 * something else, is a new folder: what users remember of the old one is kept with them then.
 */
export function partitionNameOf(dataDir: string, newName: () => number): number {
  const path = join(dataDir, "partition");
  const known = nameIn(path);
  if (known !== undefined) return known;
  const number = newName();
  const fresh = `${path}.new`;
  const file = openSync(fresh, "w");
  try {
    writeSync(file, `${number}\n`);
    // Before it is used: users remember it.
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(fresh, path);
  const folder = openSync(dataDir, "r");
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
  return number;
}

function nameIn(path: string): number | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** One of 2^48. */
export function newPartitionName(): number {
  const [high = 0, low = 0] = crypto.getRandomValues(new Uint32Array(2));
  return 1 + (high & 0xffff) * 2 ** 32 + low;
}
