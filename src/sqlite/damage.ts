/** How damage to a SQLite file is noticed. */
import { Database } from "bun:sqlite";
import { existsSync, rmSync, statSync, writeFileSync } from "node:fs";
import { type Format, knownFormat } from "./format.ts";

/** Files up to this are checked at each start (about 1 ms per MiB); a larger one would keep every bot waiting for seconds. */
const checkMaxBytes = 256 * 1024 * 1024;

export function isDamage(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return code.startsWith("SQLITE_CORRUPT") || code.startsWith("SQLITE_NOTADB");
}

/** Has the file checked at the next start whatever its size. Never throws: where the disk is full or failing, only a small file is checked. */
export function suspectDamage(path: string): void {
  try {
    writeFileSync(`${path}.check`, "");
  } catch {
    // The damage is told all the same, and shows again when it is met again.
  }
}

/** True for an absent file. False for one with tables that botfleet did not make. Throws `format_newer`, and what SQLite throws. */
export function isSound(path: string, format: Format): boolean {
  if (!existsSync(path)) return true;
  if (!existsSync(`${path}.check`) && statSync(path).size > checkMaxBytes) return true;
  const db = new Database(path, { readwrite: true });
  try {
    const found = knownFormat(db, path, format);
    const [first] = db.query("PRAGMA quick_check(1)").values();
    if (first?.[0] !== "ok") return false;
    const isOurs = found > 0 || db.query("SELECT 1 FROM sqlite_master").values().length === 0;
    if (isOurs) rmSync(`${path}.check`, { force: true });
    return isOurs;
  } finally {
    db.close();
  }
}
