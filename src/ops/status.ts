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
  /** Unsettled updates that this instance handles. */
  readonly backlog: number;
  /** When the oldest of them was received, wall-clock ms, exact to a second or a fiftieth of its age; absent where there is none. */
  readonly oldestReceivedAt?: number;
  /** In a fleet: id of the instance that polls it, absent where none does; and how often it has changed hands. */
  readonly owner?: string;
  readonly epoch?: number;
  /** What went wrong last, and what to do; absent while nothing is wrong. Holds no secret. */
  readonly error?: string;
}

/** A process of the fleet, as this instance saw it last. */
export interface InstanceStatus {
  /** Another one after each start. */
  readonly id: string;
  readonly host: string;
  readonly version: string;
  /** By its own clock, wall-clock ms. */
  readonly startedAt: number;
  /** `gone`: its heartbeat has stopped; others take over what it had. */
  readonly state: "running" | "draining" | "gone";
  /** When this instance heard of it last, wall-clock ms; absent where that was before this one started. */
  readonly lastHeartbeatAt?: number;
  /** As its `/ready` answers. */
  readonly ready: boolean;
  /** Bots that it polls. */
  readonly bots: number;
  /** Partitions of the inbox whose updates it handles. */
  readonly partitions: number;
}

export interface PartitionStatus {
  readonly number: number;
  /** Id of an instance, which may be gone; absent where nobody has it. */
  readonly owner?: string;
  /** Rises with each owner. */
  readonly epoch?: number;
  /** Unsettled updates in it, as last looked up; absent before. */
  readonly backlog?: number;
}

/** Everything that shares one inbox in Redis. */
export interface FleetStatus {
  /** Id of the instance that answers. */
  readonly self: string;
  readonly instances: readonly InstanceStatus[];
  readonly partitions: readonly PartitionStatus[];
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
  /** Absent where this instance is alone, and before it has seen the fleet. */
  readonly fleet?: FleetStatus;
}

export interface StatusSource {
  /** The present state; cheap, never throws, a new object each time. */
  status(): Status;
}
