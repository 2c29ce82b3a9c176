/**
 * Updates for tests. `test/updates/` holds one update a line, written for this repository after the Bot API's documentation with invented
 * names and ids: `hostile.jsonl` what Telegram never sends, every other file what it may send, `unknown-kinds.jsonl` in time to come.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Update } from "../../src/ids.ts";

const ownFolder = join(import.meta.dir, "..", "updates");
const hostileFile = "hostile.jsonl";
/** From the root of the repository. */
const corpusFile = "../shared/corpus/updates.jsonl";

/** One valid update, and where it stands, for messages such as `polls.jsonl:3`. */
export interface WrittenUpdate {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** As it stands in the file: JSON with an `update_id` and one payload. */
  readonly text: string;
  readonly update: Update;
  /** The name of the payload, such as `message`. */
  readonly kind: string;
}

/** Present, or absent with the reason, for `test.skipIf(corpus.updates === undefined)`. */
export type Corpus =
  { readonly updates: readonly WrittenUpdate[] } | { readonly updates: undefined; readonly reason: string };

/**
 * The valid updates: every kind of the Bot API at least twice, kinds not known yet, and one of 1 MB that is built here. Their `update_id`s
 * are unique and rise in the order given, so that the set can be sent as one bot's queue. Read anew at each call.
 */
export function ownUpdates(): readonly WrittenUpdate[] {
  const files = readdirSync(ownFolder).filter((file) => file.endsWith(".jsonl") && file !== hostileFile);
  const written = files.toSorted().flatMap((file) => linesOf(join(ownFolder, file)).map(toWritten(file)));
  return [...written, toWritten("built in test/support/updates.ts")(longReplies(), 0)];
}

/**
 * JSON texts, one for each line of `hostile.jsonl` in order: whatever JSON can say in place of an update. Where `update_id` is one that
 * Telegram could send, it is unique among these and the valid ones; elsewhere it is missing, repeated, huge, or no number at all.
 */
export function hostileUpdates(): readonly string[] {
  return linesOf(join(ownFolder, hostileFile));
}

/** Recorded updates that are kept outside the repository. */
export function corpusUpdates(): Corpus {
  const path = join(import.meta.dir, "..", "..", corpusFile);
  if (!existsSync(path)) return { updates: undefined, reason: `${corpusFile} is absent` };
  return { updates: linesOf(path).map(toWritten(corpusFile)) };
}

/** Split at line feeds alone: U+2028 and U+2029 may stand in a JSON text. */
function linesOf(path: string): readonly string[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");
}

function toWritten(file: string) {
  return (text: string, index: number): WrittenUpdate => {
    const update = JSON.parse(text) as Update;
    const kind = Object.keys(update).find((name) => name !== "update_id") ?? "";
    return { file, line: index + 1, text, update, kind };
  };
}

/** A message whose reply answers a reply, 250 deep with 4,096 characters each: 1 MB of JSON. */
function longReplies(): string {
  const chat = { id: -1002203344556, title: "Lighthouse Chess Club ♟", type: "supergroup" };
  const from = { id: 5120044871, is_bot: false, first_name: "Inês" };
  let message: Record<string, unknown> | undefined;
  for (let depth = 250; depth > 0; depth--) {
    const text = `${depth} `.padEnd(4096, "and then she said ");
    message = { message_id: 1000 - depth, from, chat, date: 1790009999 - depth, text, reply_to_message: message };
  }
  return JSON.stringify({ update_id: 700040001, message });
}
