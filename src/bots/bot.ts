/**
 * What a bot module is given and must offer. A module is a file with two exports, and a third where it uses what is not free:
 *
 *     export const updates = ["message", "callback_query"];        // Telegram's names; always sent as `allowed_updates`
 *     export const uses = ["users"];                               // absent: nothing
 *     export default (given: Given) => new Composer<Context>();    // or the Composer itself
 *
 * A bot is ordinary grammY middleware; any grammY plugin works. It knows nothing of inbox, lanes, leases or databases. It is no
 * `Bot`: token, client and polling are botfleet's. What it keeps in memory is its own: other instances and the next start know
 * nothing of it; what is to last belongs into `given.users` or `given.sessions`.
 */
import type { Composer, Context } from "grammy";
import type { Update as TelegramUpdate, UserFromGetMe } from "grammy/types";
import type { SessionStorage } from "../sessions/port.ts";
import type { Users } from "../users/users.ts";

export type UpdateKind = Exclude<keyof TelegramUpdate, "update_id">;

/** What a module may use and has to name first: it needs a store, which is opened only where a bot asks for it. */
export type Use = "users" | "sessions";

/** What every bot is given. */
export interface Given {
  /** The configured name, as in logs and metrics. */
  readonly name: string;
  readonly me: UserFromGetMe;
  readonly log: BotLog;
  /** Wall-clock ms; a bot asks this instead of `Date.now` so that its tests can move time. */
  readonly now: () => number;
  /** The users of the whole fleet. Throws `module_invalid` where the module does not name `users` in its `uses`. */
  readonly users: Users;
  /**
   * A storage for grammY's `session`, kept with the users: `session({ initial, storage: given.sessions() })`. An update that runs again finds what its
   * first run found. `name` (a-z, 0-9 and _) keeps sessions of one bot apart. Throws `module_invalid` where the module does not name `sessions` in its
   * `uses`.
   */
  readonly sessions: <Value>(name?: string) => SessionStorage<Value>;
  /** What one user may send, for the module to hold to; undefined: no limit (`RATE_LIMIT_*`). */
  readonly rateLimit: RateLimit | undefined;
  /** For what the module keeps in memory of its users. */
  readonly limits: ModuleLimits;
  /**
   * Counts an event of this bot in `botfleet_bot_events_total`. `event` is one of a few words of the module's own (`a-z`, digits and `_`, at
   * most 40), never made of what an update holds: of a bot's words the first 50 are counted by name, all others as `other`.
   */
  readonly count: (event: string) => void;
}

export interface RateLimit {
  readonly windowMs: number;
  /** Updates of one user in a window. */
  readonly maxRequests: number;
}

export interface ModuleLimits {
  /** Users whose rate is remembered. Who is forgotten may send as much again. */
  readonly limitedUsersMax: number;
  /** Time in which one user is given one hint, ms. */
  readonly hintEveryMs: number;
  /** Users of whom it is remembered that they were given one. Who is forgotten gets one more. */
  readonly hintedUsersMax: number;
}

export interface BotLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export type BotFactory = (given: Given) => Composer<Context> | Promise<Composer<Context>>;

export interface BotModule {
  /** Kinds of update this bot wants. Kinds that this botfleet does not know yet are allowed. */
  readonly updates: readonly (UpdateKind | (string & {}))[];
  /** Absent: nothing. */
  readonly uses?: readonly Use[];
  readonly create: BotFactory;
}
