/** What the event loop and the worker that owns the file of the users tell each other. */
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
}

export type Request = {
  readonly [Call in keyof Calls]: { readonly id: number; readonly call: Call; readonly given: Parameters<Calls[Call]> };
}[keyof Calls];
