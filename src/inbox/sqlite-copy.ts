/** Copies what can be read of a damaged inbox file into a fresh one, row by row. */
import { Database } from "bun:sqlite";
import { closeSync, copyFileSync, existsSync, openSync, readSync, rmSync, statSync, writeSync } from "node:fs";
import { bringToFormat } from "../sqlite/format.ts";
import { format } from "./sqlite-format.ts";

export interface Salvaged {
  readonly entries: number;
  readonly letters: number;
  /** Where the damaged file is now. */
  readonly movedTo: string;
}

/** Rows that are asked for one by one between the last readable from below and the first from above: some ten seconds at most. */
const probesMax = 1_000_000;
/** The same where nothing tells how far the keys go. */
const probesBlind = 20_000;
const pageBytes = 4_096;

type Row = Record<string, number | string | null>;

/** The columns copied, and what a cell has to be to count as read: a damaged page can yield anything. */
const tables = {
  entries: { key: "seq", columns: ["seq", "bot", "update_id", "lane", "received_at", "body"], texts: ["body"] },
  marks: { key: "seq", columns: ["seq", "attempts", "started", "alone", "alone_crashes", "sends"], texts: [] },
  runs: { key: "bot", columns: ["bot", "runs"], texts: ["runs"] },
  letters: {
    key: "id",
    columns: "id bot update_id lane received_at died_at error attempts sends effects_unknown body".split(" "),
    texts: ["error", "sends", "body"],
  },
} as const;

/**
 * Makes the file `to` (absent before) out of what is readable of `from`, which is left as it is. Its entries will count as left by an
 * unclean end, and no seq of the damaged file will be used again. A file of which nothing can be read yields an empty one.
 */
export function copyReadable(from: string, to: string, now: number): Pick<Salvaged, "entries" | "letters"> {
  const target = new Database(to, { create: true, readwrite: true });
  const patched = `${to}.patched`;
  try {
    target.run("PRAGMA synchronous = OFF"); // The caller makes the finished file durable.
    bringToFormat(target, to, format);
    const source = openAny(from, to, patched);
    const counts = { entries: 0, letters: 0 };
    if (source !== undefined) {
      target.run("BEGIN");
      copyTable(source, target, "marks");
      copyTable(source, target, "runs");
      counts.letters = copyTable(source, target, "letters");
      counts.entries = copyTable(source, target, "entries");
      target.run("COMMIT");
    }
    const reserved = Math.max(reservedOf(source) ?? now * 1_000, highest(target) + 1);
    target.run("INSERT INTO meta VALUES ('seq_reserved', ?), ('clean_end', 0)", [reserved]);
    source?.close();
    return counts;
  } finally {
    target.close();
    for (const part of ["", "-wal", "-shm"]) rmSync(patched + part, { force: true });
  }
}

/** The damaged file, or where its first page is beyond reading a copy that has the first page of a sound one; undefined where neither opens. */
function openAny(from: string, sound: string, patched: string): Database | undefined {
  const plain = openReadable(from);
  if (plain !== undefined) return plain;
  copyFileSync(from, patched);
  if (existsSync(`${from}-wal`)) copyFileSync(`${from}-wal`, `${patched}-wal`);
  // The tables of every inbox file have the same root pages, as they were made by the same statements.
  const page = new Uint8Array(pageBytes);
  const source = openSync(sound, "r");
  readSync(source, page, 0, pageBytes, 0);
  closeSync(source);
  const header = new DataView(page.buffer);
  header.setUint16(18, 0x0202); // Journal mode WAL, as the damaged file had.
  header.setUint32(28, Math.floor(statSync(patched).size / pageBytes)); // Pages in the file.
  header.setUint32(32, 0); // No free pages known of.
  header.setUint32(36, 0);
  const copy = openSync(patched, "r+");
  writeSync(copy, page, 0, pageBytes, 0);
  closeSync(copy);
  return openReadable(patched);
}

function openReadable(path: string): Database | undefined {
  let db: Database | undefined;
  try {
    db = new Database(path, { readonly: true });
    const isOurs = db.query("SELECT 1 FROM sqlite_master WHERE name = 'entries'").values().length === 1;
    if (isOurs) return db;
  } catch {
    // Not readable as a database: the caller has another way.
  }
  db?.close();
  return undefined;
}

function copyTable(source: Database, target: Database, name: keyof typeof tables): number {
  const { key, columns, texts } = tables[name];
  const places = columns.map(() => "?").join(", ");
  const insert = target.query(`INSERT OR IGNORE INTO ${name}(${columns.join(", ")}) VALUES (${places})`);
  let copied = 0;
  const end = name === "entries" || name === "marks" ? reservedOf(source) : undefined;
  for (const row of readable(source, name, key, end)) {
    const isRow = texts.every((column) => typeof row[column] === "string") && Number.isSafeInteger(row[key]);
    if (!isRow || (name !== "marks" && !Number.isSafeInteger(row["bot"]))) continue;
    try {
      copied += insert.run(...columns.map((column) => row[column] ?? null)).changes;
    } catch {
      // A cell of the wrong kind: the row is one of those that cannot be read.
    }
  }
  return copied;
}

/** Rows from below up to the damage, then from above down to it, then one by one what lies between. `end`: no key is as high. */
function* readable(db: Database, table: string, key: string, end: number | undefined): Generator<Row> {
  let low = Number.MIN_SAFE_INTEGER;
  let high = Number.MAX_SAFE_INTEGER;
  const rising = attempt(() =>
    db.query<Row, [number]>(`SELECT * FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT 1`),
  );
  const falling = attempt(() =>
    db.query<Row, [number]>(`SELECT * FROM ${table} WHERE ${key} < ? ORDER BY ${key} DESC LIMIT 1`),
  );
  const single = attempt(() => db.query<Row, [number]>(`SELECT * FROM ${table} WHERE ${key} = ?`));
  for (;;) {
    const row = attempt(() => rising?.get(low));
    if (row === null) return;
    if (row === undefined || !(Number(row[key]) > low)) break;
    low = Number(row[key]);
    yield row;
  }
  for (;;) {
    const row = attempt(() => falling?.get(high));
    if (row === undefined || row === null || !(Number(row[key]) > low) || !(Number(row[key]) < high)) break;
    high = Number(row[key]);
    yield row;
  }
  const from = Math.max(low, 0);
  const to = Math.min(high, end ?? from + probesBlind, from + probesMax);
  for (let at = from + 1; at < to; at++) {
    const row = attempt(() => single?.get(at));
    if (row !== undefined && row !== null) yield row;
  }
}

/** Undefined where the database cannot read what was asked for. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function reservedOf(source: Database | undefined): number | undefined {
  const found = attempt(() => source?.query<Row, []>("SELECT value FROM meta WHERE name = 'seq_reserved'").get());
  return typeof found?.["value"] === "number" ? found["value"] : undefined;
}

function highest(db: Database): number {
  return db.query<{ seq: number | null }, []>("SELECT max(seq) AS seq FROM entries").get()?.seq ?? 0;
}
