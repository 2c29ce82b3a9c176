/**
 * What a bot module is given and must offer. A module is a file with two exports:
 *
 *     export const updates = ["message", "callback_query"];        // Telegram's names; always sent as `allowed_updates`
 *     export default (given: Given) => new Composer<Context>();    // or the Composer itself
 *
 * A bot is ordinary grammY middleware; any grammY plugin works. It knows nothing of inbox, lanes, leases or databases. It is no
 * `Bot`: token, client and polling are botfleet's. What it keeps in memory is its own: other instances and the next start know
 * nothing of it.
 */
import type { Composer, Context } from "grammy";
import type { Update as TelegramUpdate, UserFromGetMe } from "grammy/types";

export type UpdateKind = Exclude<keyof TelegramUpdate, "update_id">;

/** What every bot is given. */
export interface Given {
  /** The configured name, as in logs and metrics. */
  readonly name: string;
  readonly me: UserFromGetMe;
  readonly log: BotLog;
  /** Wall-clock ms; a bot asks this instead of `Date.now` so that its tests can move time. */
  readonly now: () => number;
}

export interface BotLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export type BotFactory = (given: Given) => Composer<Context> | Promise<Composer<Context>>;

export interface BotModule {
  /** Kinds of update this bot wants. Kinds that this botfleet does not know yet are allowed. */
  readonly updates: readonly (UpdateKind | (string & {}))[];
  readonly create: BotFactory;
}
