/** Flood control as a call meets it: asked before each try, told of each end. One per bot, whatever its engine. */
import type { FloodCall, FloodKind } from "./flood-call.ts";
import type { Refused } from "./flood-rules.ts";

export interface FloodControl {
  /**
   * Undefined where the call may go now: it is then counted as gone. Else a word that holds no place, or a promise (never rejects):
   * `go` as undefined, now · `ended` one of `signals` aborted · `later` Telegram asked for a wait longer than a call waits itself, see
   * `waitMs` · `full` too many calls wait already.
   *
   * Calls to one chat go in the order of their first `admit`, replies before broadcasts. After a 429 the same call is admitted again.
   */
  admit(
    call: FloodCall,
    signals: readonly (AbortSignal | undefined)[],
  ): undefined | "later" | "full" | Promise<FloodEnd>;
  /** A try of an admitted call was answered with a 429; its next `admit` waits `waitMs`. */
  refused(call: FloodCall, waitMs: number): void;
  /** The call is over, whether or not it was ever let go. `accepted`: Telegram answered, and not with a 429. Once per call. */
  ended(call: FloodCall, accepted: boolean): void;
  /**
   * What part of the whole bot's rate this process may use from now on, above 0 and at most 1; 1 at first. Limits of chats stay as they are: a chat is
   * written to by one process. Not known to engine `grammy`, whose plugin cannot change its rate.
   */
  setShare(share: number): void;
  /** Another process was told by Telegram that the whole bot has to wait: `waitMs` from now on. Obeyed by every engine. */
  obey(waitMs: number): void;
  /** How long the call would have to wait for a `retry_after` from now on, ms. */
  waitMs(call: FloodCall): number;
  status(): FloodStatus;
}

export type FloodEnd = "go" | "ended" | "later";

/**
 * What a wait was for when it began: the limits of its chat · `retry_after` of its chat or method · the whole bot, its `retry_after` or
 * the rate after it · the rate of broadcasts.
 */
export type FloodReason = "chat" | "retry_after" | "bot" | "broadcast";

/** Gauges. */
export interface FloodStatus {
  readonly waitingReplies: number;
  readonly waitingBroadcasts: number;
  /** Chats (and methods) that calls wait for. */
  readonly waitingChats: number;
  /** Entries held for limits of chats. */
  readonly knownChats: number;
}

/** For metrics; must not throw. */
export interface FloodEvents {
  /** A wait is over, however it ended. */
  onWaited(kind: FloodKind, reason: FloodReason, waitedMs: number): void;
  /** Telegram answered with a 429. */
  onRefused(whom: Refused, waitMs: number): void;
  /** Telegram has refused the whole bot, for whoever else sends as this bot: it has to wait `waitMs` from now on. */
  onBotRefused?(waitMs: number): void;
}

/** Room for waiting calls, shared by all bots of a process. */
export interface FloodRoom {
  /** Calls waiting now. */
  waiting: number;
  readonly waitingMax: number;
  /** Calls of one bot that may wait even where there is no room left: bots that flood never stop the others. */
  readonly reservedPerBot: number;
}

export function createFloodRoom({ waitingMax, reservedPerBot }: Omit<FloodRoom, "waiting">): FloodRoom {
  return { waiting: 0, waitingMax, reservedPerBot };
}
