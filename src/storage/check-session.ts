/** The border between sessions as a store gives them back and sessions. */
import { Fault, faultOf } from "../faults.ts";
import { toLaneKey, toSeq } from "../ids.ts";
import type { PastValue, Session } from "./session-store.ts";

/** As the stores keep it: `past` is JSON text. */
export interface StoredSession {
  readonly key: string;
  readonly version: unknown;
  readonly value: unknown;
  readonly past: unknown;
}

/** Throws `session_invalid`, naming the session, never what it holds. */
export function soundSession({ key, version, value, past }: StoredSession): Session {
  const values = pastIn(past);
  const isSound = isCount(version) && (value === null || typeof value === "string") && values !== undefined;
  if (isSound) return { key, version, value: value ?? undefined, past: values };
  const whose = JSON.stringify(key.slice(0, 100));
  throw new Fault("session_invalid", `the stored session ${whose} is damaged; restore or delete it`);
}

/** Those that are sound: one that is not must not hide the others. */
export function soundSessions(stored: readonly StoredSession[]): readonly Session[] {
  return stored.flatMap((each) => {
    try {
      return soundSession(each);
    } catch (error) {
      if (faultOf(error)?.code !== "session_invalid") throw error;
      return []; // Told to whoever reads it.
    }
  });
}

function pastIn(text: unknown): readonly PastValue[] | undefined {
  if (text === "[]") return [];
  let values: unknown;
  try {
    values = JSON.parse(String(text));
  } catch {
    return undefined;
  }
  if (!Array.isArray(values)) return undefined;
  const sound = (values as readonly unknown[]).map(pastValueIn).filter((each) => each !== undefined);
  return sound.length < values.length ? undefined : sound;
}

function pastValueIn(value: unknown): PastValue | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { lane, partition, seq, before, at, isFollowed } = value as Readonly<Record<string, unknown>>;
  if (typeof lane !== "string" && typeof lane !== "number") return undefined;
  if (!isCount(partition) || !isCount(seq) || !isCount(at)) return undefined;
  if (before !== undefined && typeof before !== "string") return undefined;
  const sound = { lane: toLaneKey(lane), partition, seq: toSeq(seq), before, at };
  return isFollowed === true ? { ...sound, isFollowed } : sound;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value);
}
