/**
 * What an update finds in a session and what becomes of it: pure.
 *
 * An update whose settle was not durable when the process died comes again, and so do all that followed it in its lane, although their writes
 * are stored. Each must find what its first run found: what was there before its own first write, or before that of the next one in its lane
 * where it wrote nothing itself. What it writes then counts only if no other write has followed: the others were made on its first one.
 */
import type { PastValue, Session, SessionEntry } from "../storage/session-store.ts";

export function valueFor(stored: Session | undefined, entry: SessionEntry | undefined): string | undefined {
  const own = entry === undefined ? undefined : stored?.past[placeOf(stored, entry)];
  return own === undefined ? stored?.value : own.before;
}

/** What a write needs to know besides the session. */
export interface Writing {
  readonly key: string;
  readonly value: string | undefined;
  readonly entry: SessionEntry | undefined;
  /** Wall-clock ms: a first version is higher than that of any session that was ever taken away under this key. */
  readonly now: number;
  readonly mayComeAgain: (entry: PastValue) => boolean;
}

/** The session as it is to be stored; undefined where nothing has to be. */
export function withValue(stored: Session | undefined, writing: Writing): Session | undefined {
  const { key, value, entry, now, mayComeAgain } = writing;
  const past = stored?.past ?? [];
  const place = stored === undefined || entry === undefined ? -1 : placeOf(stored, entry);
  const own = past[place];
  const isFollowed =
    own !== undefined && (place < past.length - 1 || own.seq !== entry?.seq || own.isFollowed === true);
  if (isFollowed || stored?.value === value) return undefined;
  const version = stored === undefined ? now : stored.version + 1;
  const kept = past.filter(mayComeAgain);
  // What has no update leaves no entry behind: without this the one that wrote before it would, run again, undo it.
  if (entry === undefined) return { key, version, value, past: kept.map((one) => ({ ...one, isFollowed: true })) };
  const fresh = place >= 0 ? [] : [{ ...entry, before: stored?.value, at: now }];
  return { key, version, value, past: [...kept, ...fresh] };
}

/** Of its own first write or, where there is none, of the first one after it in its lane; -1: of neither. */
function placeOf({ past }: Session, { lane, partition, seq }: SessionEntry): number {
  return past.findIndex((one) => one.lane === lane && one.partition === partition && one.seq >= seq);
}
