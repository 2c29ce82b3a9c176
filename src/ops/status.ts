/** What an operator can ask of a running botfleet: the body of `/status.json`, the page, and the gauges. Holds no token. */

/** What the process as a whole does. `draining` from the first SIGTERM on. */
export type FleetState = "starting" | "running" | "draining";

/**
 * What the poller of a bot does: `starting` has not polled yet · `polling` · `waiting` backs off after a poll that failed ·
 * `held` does not poll because its backlog or the disk is full, or the inbox fails · `disabled` Telegram refuses its token ·
 * `stopped` the process ends.
 */
export type BotState = "starting" | "polling" | "waiting" | "held" | "disabled" | "stopped";

export interface BotStatus {
  /** The configured name. */
  readonly name: string;
  /** The number in its token. */
  readonly id: number;
  readonly state: BotState;
  /** In this state since, wall-clock ms. */
  readonly since: number;
  /** When Telegram last answered a poll, wall-clock ms; absent before the first answer. */
  readonly lastPollAt?: number;
  /** Unsettled updates. */
  readonly backlog: number;
  /** What went wrong last, and what to do; absent while nothing is wrong. Holds no secret. */
  readonly error?: string;
}

export interface InboxStatus {
  /** As `InboxState`: `failing` cannot be written just now, `full` the disk reserve is touched. */
  readonly state: "ok" | "failing" | "full";
  readonly deadLetters: number;
}

export interface Status {
  readonly version: string;
  /** Wall-clock ms. */
  readonly startedAt: number;
  readonly state: FleetState;
  /** In the order of the configuration. */
  readonly bots: readonly BotStatus[];
  readonly inbox: InboxStatus;
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
