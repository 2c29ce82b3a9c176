/** What stands in the streams and hashes of the Redis inbox, as the store speaks of it. */
import { type Seq, toSeq } from "../ids.ts";
import { pairsOf } from "../redis/pairs.ts";
import { type Found, readMark, readMeta } from "./redis-group.ts";
import type { StoredEntry, StoredLetter } from "./store.ts";

/** Id, and fields as name, value, name, value. */
export type StreamRow = readonly [id: string, fields: readonly string[]];

export function numberOf([id]: StreamRow): number {
  return Number(id.slice(0, id.indexOf("-")));
}

export function seqOf(row: StreamRow): Seq {
  return toSeq(numberOf(row));
}

export interface MarkedEntries {
  /** By seq, as text. */
  readonly marks: ReadonlyMap<string, string>;
  /** Seqs of which finished sends are remembered: their bodies are fetched with these. */
  readonly withSends: ReadonlySet<string>;
  readonly suspectUpTo: number;
}

export function entryOf(
  seq: Seq,
  meta: string,
  body: string,
  { marks, withSends, suspectUpTo }: MarkedEntries,
): StoredEntry {
  const { bot, lane, receivedAt, updateId = 0 } = readMeta(meta);
  const entry = { seq, bot, lane, receivedAt, ...readMark(marks.get(String(seq)), seq <= suspectUpTo) };
  if (withSends.has(String(seq))) return entry;
  return { ...entry, body: { seq, updateId, receivedAt, body, sends: undefined } };
}

export function letterOf(row: StreamRow): StoredLetter {
  const fields = pairsOf(row[1]);
  const field = (name: string): string => fields.get(name) ?? "";
  return {
    id: numberOf(row),
    ...readMeta(field("m")),
    body: field("t"),
    diedAt: Number(field("d")),
    error: field("e"),
    attempts: Number(field("a")),
    sends: field("s"),
    effectsUnknown: field("u") === "1",
  };
}

export function foundOf({ bot, lane, receivedAt }: StoredLetter): Found {
  return { bot, lane, receivedAt };
}
