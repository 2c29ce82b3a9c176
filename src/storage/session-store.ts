/**
 * Port: where the sessions of bots are kept. Every method rejects with `unavailable` while the store cannot be reached or written, and with
 * nothing else that an outage can cause. What is stored and is no session ends with `session_invalid` who reads it; `emptied` leaves it out.
 */
import type { LaneKey, Seq } from "../ids.ts";

/** An update that wrote a session. */
export interface SessionEntry {
  readonly lane: LaneKey;
  readonly partition: number;
  readonly seq: Seq;
}

/** What was there before it. */
export interface PastValue extends SessionEntry {
  /** When it first wrote, wall-clock ms. */
  readonly at: number;
  /** Something that belongs to no update has written since. */
  readonly isFollowed?: true;
  /** JSON text; undefined: there was none. */
  readonly before: string | undefined;
}

export interface Session {
  /** `<bot>:<name>:<key>`, where `key` is the module's own. */
  readonly key: string;
  /** Rises with each write, and is higher than that of any session that stood under this key before. */
  readonly version: number;
  /** JSON text; undefined: there is none, or none any more. */
  readonly value: string | undefined;
  /** Of the updates that wrote it and may come again, in the order of their first writes. */
  readonly past: readonly PastValue[];
}

/** A session to be written if the stored one has this version; 0: if there is none. */
export interface SessionWrite {
  readonly session: Session;
  readonly expectedVersion: number;
}

/** `conflict`: another version is stored. Nothing is changed then. */
export type SessionWritten = "stored" | "conflict";

export interface SessionStore {
  /** Sessions that do not exist are absent. */
  readSessions(keys: readonly string[]): Promise<ReadonlyMap<string, Session>>;
  /**
   * Compares and sets each on its own, the answers in the same order. At most one write of a key in one call. `writer` is unique to this call.
   * Resolves when what is `stored` is durable.
   */
  writeSessions(writes: readonly SessionWrite[], writer: string): Promise<readonly SessionWritten[]>;
  /** Sessions without a value, by rising key, at most `max`. `after`: behind this key. */
  emptied(after: string | undefined, max: number): Promise<readonly Session[]>;
  /** Takes each away that still has this version. */
  removeSessions(sessions: readonly Pick<Session, "key" | "version">[]): Promise<void>;
}
