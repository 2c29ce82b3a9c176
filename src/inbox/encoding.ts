/** Between what the port speaks of and what a store keeps. */
import { type BotId, laneOf, toLaneKey, type LaneKey, type Seq, type Update } from "../ids.ts";
import type { Body, DeadLetter, Entry, Send } from "./inbox.ts";
import type { AppendWrite, MalformedWrite, StoredBody, StoredEntry, StoredLetter } from "./store.ts";

/** A batch ready to be stored; `updates[i]` belongs to `ids[i]`. */
export interface Encoded {
  readonly write: AppendWrite;
  readonly updates: readonly Update[];
}

const noSends: readonly Send[] = [];

/** Never throws: what cannot be an entry is among `malformed`. */
export function encode(bot: BotId, token: string, batch: readonly Update[], receivedAt: number): Encoded {
  const ids: number[] = [];
  const lanes: LaneKey[] = [];
  const bodies: string[] = [];
  const updates: Update[] = [];
  const malformed: MalformedWrite[] = [];
  for (const update of batch) {
    const body = textOf(update);
    if (body === undefined || !hasUsableId(update)) {
      malformed.push(malformedOf(body));
      continue;
    }
    ids.push(update.update_id);
    lanes.push(wellFormed(laneOf(update)));
    bodies.push(body);
    updates.push(update);
  }
  return { write: { bot, token, receivedAt, ids, lanes, bodies, malformed }, updates };
}

/** The entry of an update just stored, its body at hand. */
export function freshEntry(encoded: Encoded, place: number, seq: Seq): Entry {
  const { bot, receivedAt, lanes, bodies } = encoded.write;
  const update = encoded.updates[place];
  const lane = lanes[place];
  if (update === undefined || lane === undefined) throw new RangeError(`the batch has no update ${place}`);
  const size = bodies[place]?.length ?? 0;
  const body = { updateId: update.update_id, update, receivedAt, size, sends: noSends };
  return { seq, bot, lane, attempts: 0, suspicion: "none", receivedAt, body };
}

export function entryOf(stored: StoredEntry): Entry {
  return { ...stored, body: stored.body === undefined ? undefined : bodyOf(stored.body) };
}

/** Undefined where the stored text is no longer JSON (a damaged file). */
export function bodyOf(stored: StoredBody): Body | undefined {
  try {
    const { updateId, receivedAt, body, sends } = stored;
    const update = JSON.parse(body) as Update;
    return { updateId, update, receivedAt, size: body.length, sends: sends === undefined ? noSends : sendsOf(sends) };
  } catch {
    return undefined;
  }
}

export function letterOf(stored: StoredLetter): DeadLetter {
  return { ...stored, sends: sendsOf(stored.sends) };
}

function sendsOf(text: string): readonly Send[] {
  return JSON.parse(text) as readonly Send[];
}

function hasUsableId(update: Update): boolean {
  return (
    typeof update === "object" && update !== null && Number.isSafeInteger(update.update_id) && update.update_id >= 0
  );
}

function malformedOf(body: string | undefined): MalformedWrite {
  const lane = toLaneKey("");
  if (body === undefined)
    return { lane, body: "null", error: "the update cannot be written as JSON (nested too deeply?)" };
  return { lane, body, error: "the update has no usable update_id (a whole number, not negative)" };
}

function textOf(update: unknown): string | undefined {
  try {
    return JSON.stringify(update) ?? "null";
  } catch {
    return undefined;
  }
}

/** Half a surrogate pair would come back from a store as another lane. */
function wellFormed(lane: LaneKey): LaneKey {
  return typeof lane === "string" ? toLaneKey(lane.toWellFormed()) : lane;
}
