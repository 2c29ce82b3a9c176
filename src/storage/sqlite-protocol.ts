/** What the event loop and the worker that owns the file of the users tell each other. */
import type { SqliteSessions } from "./sqlite-sessions.ts";
import type { SqliteUsers, SqliteUsersOptions } from "./sqlite-users.ts";

export interface OpenOptions extends SqliteUsersOptions {
  /** For tests: time that every commit takes longer, as on a slow disk; ms. */
  readonly fsyncDelayMs: number;
}

/** The calls of the thread, by name. */
export interface Calls extends Pick<
  SqliteUsers,
  "read" | "find" | "ids" | "histogram" | "write" | "reward" | "probe" | "close"
> {
  open(options: OpenOptions): void;
  readSessions: SqliteSessions["read"];
  writeSessions: SqliteSessions["write"];
  emptied: SqliteSessions["emptied"];
  removeSessions: SqliteSessions["remove"];
}

export type Request = {
  readonly [Call in keyof Calls]: { readonly id: number; readonly call: Call; readonly given: Parameters<Calls[Call]> };
}[keyof Calls];

/** Calls that write: their success tells that the file can be written. */
export const writingCalls: ReadonlySet<keyof Calls> = new Set([
  "write",
  "reward",
  "writeSessions",
  "removeSessions",
  "probe",
] as const);
