/** What an operator can ask of a running botfleet: the body of `/status.json`, the page, and the gauges. Holds no token. */

import type { InboxState } from "../inbox/inbox.ts";
import type { PollerPhase } from "../poller-state.ts";

/** What the process as a whole does. `draining` from the first SIGTERM on. */
export type FleetState = "starting" | "running" | "draining";

export interface BotStatus {
  /** The configured name. */
  readonly name: string;
  /** The number in its token. */
  readonly id: number;
  /** What its poller does; `stopped` with an error: its module is broken. */
  readonly state: PollerPhase;
  /** In this state since, wall-clock ms. */
  readonly since: number;
  /** When Telegram last answered a poll, wall-clock ms; absent before the first answer. */
  readonly lastPollAt?: number;
  /** Unsettled updates. */
  readonly backlog: number;
  /** When the oldest of them was received, wall-clock ms, exact to a second or a fiftieth of its age; absent where there is none. */
  readonly oldestReceivedAt?: number;
  /** What went wrong last, and what to do; absent while nothing is wrong. Holds no secret. */
  readonly error?: string;
}

export interface Status {
  readonly version: string;
  /** Wall-clock ms. */
  readonly startedAt: number;
  readonly state: FleetState;
  /** In the order of the configuration. */
  readonly bots: readonly BotStatus[];
  readonly inbox: { readonly state: InboxState; readonly deadLetters: number };
  readonly pipeline: {
    /** Handlers at work. */
    readonly inWork: number;
    /** Handlers that wait in flood control. */
    readonly waiting: number;
  };
}

export interface StatusSource {
  /** The present state; cheap, never throws, a new object each time. */
  status(): Status;
}
