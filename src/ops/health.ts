/** What the load balancer is told, worked out from the state of the moment; every reason says what to do. */
import type { Clock } from "../clock.ts";
import type { BotStatus, Status, StatusSource } from "./status.ts";

export type ReasonCode =
  /** The event loop stood still: nothing was received, handled or answered. */
  | "event_loop_stalled"
  | "starting"
  | "draining"
  | "inbox_lost"
  /** Redis does not confirm what this instance may work for. */
  | "leases_lost"
  | "storage_lost"
  /** No bot works: its token is refused, or its module is broken. */
  | "all_bots_disabled"
  /** Listed, but no reason to take the instance out. */
  | "bot_disabled"
  | "disk_full";

export interface Reason {
  readonly code: ReasonCode;
  /** What happened, and to which bot. */
  readonly what: string;
  readonly remedy: string;
}

/** The answer of `/health` or `/ready`. */
export interface Verdict {
  readonly status: 200 | 503;
  /** `degraded`: 200, though something is wrong. */
  readonly state: "ok" | "degraded" | "unavailable";
  readonly reasons: readonly Reason[];
}

export interface Health {
  /** Of the process: 503 asks for a restart. */
  live(): Verdict;
  /** Of its service: 503 asks for traffic and attention to go elsewhere. */
  ready(): Verdict;
}

export interface HealthLimits {
  readonly stallMaxMs: number;
  readonly inboxLostMaxMs: number;
}

export interface HealthOptions {
  readonly clock: Pick<Clock, "monotonic">;
  readonly limits: HealthLimits;
  /** Monotonic ms of the last beat of the event loop. */
  readonly lastBeatAt: () => number;
  readonly source: StatusSource;
  /** Since when the inbox cannot be written, monotonic ms; undefined while it can. */
  readonly inboxLostSince: () => number | undefined;
  /** Since when the leases are not confirmed, monotonic ms; undefined while they are, or where there are none. */
  readonly leasesLostSince: () => number | undefined;
  /** The same for the storage; absent where no module needs one. */
  readonly storage?: { readonly lostSince: () => number | undefined; readonly lostMaxMs: number };
}

export function createHealth(options: HealthOptions): Health {
  const { clock, limits, lastBeatAt, source, inboxLostSince, leasesLostSince, storage } = options;
  return {
    live() {
      return verdictOf(stallReasons(clock.monotonic() - lastBeatAt(), limits.stallMaxMs), []);
    },
    ready() {
      const now = clock.monotonic();
      const status = source.status();
      const lost = [
        ...lostReasons("inbox_lost", now, inboxLostSince(), limits.inboxLostMaxMs),
        ...lostReasons("leases_lost", now, leasesLostSince(), limits.inboxLostMaxMs),
        ...(storage === undefined ? [] : lostReasons("storage_lost", now, storage.lostSince(), storage.lostMaxMs)),
      ];
      return verdictOf([...phaseReasons(status), ...lost, ...allDisabledReasons(status.bots)], remarks(status));
    },
  };
}

/** Remembers since when something is lost. */
export interface Outage {
  /** For each change of state, and as often as one likes. */
  readonly set: (isLost: boolean) => void;
  /** Monotonic ms; undefined while nothing is lost. */
  readonly since: () => number | undefined;
}

export function createOutage(clock: Pick<Clock, "monotonic">): Outage {
  let since: number | undefined;
  return {
    set: (isLost) => {
      since = isLost ? (since ?? clock.monotonic()) : undefined;
    },
    since: () => since,
  };
}

function verdictOf(failures: readonly Reason[], remarksFound: readonly Reason[]): Verdict {
  const reasons = [...failures, ...remarksFound];
  if (failures.length > 0) return { status: 503, state: "unavailable", reasons };
  return { status: 200, state: reasons.length > 0 ? "degraded" : "ok", reasons };
}

function stallReasons(stalledMs: number, maxMs: number): Reason[] {
  if (stalledMs <= maxMs) return [];
  const what = `the event loop stood still for ${seconds(stalledMs)}`;
  const remedy =
    "a handler computes without pause, or the machine is overloaded or was suspended: see the log for the last updates";
  return [{ code: "event_loop_stalled", what, remedy }];
}

function phaseReasons({ state, bots }: Status): Reason[] {
  switch (state) {
    case "running":
      return [];
    case "starting": {
      const polled = bots.filter((bot) => bot.lastPollAt !== undefined).length;
      const what = `botfleet is starting: ${polled} of ${bots.length} bots have been answered, and the inbox is being read`;
      return [{ code: "starting", what, remedy: "wait; the log says what it waits for" }];
    }
    case "draining":
      return [
        {
          code: "draining",
          what: "botfleet is stopping",
          remedy: "nothing; updates that are not done stay in the inbox",
        },
      ];
  }
}

const lostTexts = {
  leases_lost: {
    what: "Redis does not confirm what this instance may work for",
    remedy: "check Redis and the network; others take over what this instance had, and nothing is lost",
  },
  inbox_lost: {
    what: "the inbox cannot be written",
    remedy:
      "check DATA_DIR (disk space, permissions) or Redis; nothing is lost, Telegram and the inbox keep the updates",
  },
  storage_lost: {
    what: "the storage cannot be reached",
    remedy: "check MONGODB_URI and the server, or DATA_DIR; updates wait in the inbox",
  },
} as const;

function lostReasons(code: keyof typeof lostTexts, now: number, since: number | undefined, maxMs: number): Reason[] {
  if (since === undefined || now - since <= maxMs) return [];
  const { what, remedy } = lostTexts[code];
  return [{ code, what: `${what} for ${seconds(now - since)}`, remedy }];
}

/** Telegram refuses its token, or its module is broken. */
function isDisabled({ state, error }: BotStatus): boolean {
  return state === "disabled" || (state === "stopped" && error !== undefined);
}

function allDisabledReasons(bots: readonly BotStatus[]): Reason[] {
  if (bots.length === 0 || !bots.every(isDisabled)) return [];
  return [{ code: "all_bots_disabled", what: `no bot works (of ${bots.length})`, remedy: "see what is said of each" }];
}

/** What is wrong without being a reason to take the instance out. */
function remarks({ bots, inbox }: Status): Reason[] {
  const found: Reason[] = bots.filter(isDisabled).map(({ name, state, error }) => ({
    code: "bot_disabled",
    what: `bot ${name}: ${error ?? "Telegram refuses its token"}`,
    remedy:
      state === "disabled"
        ? "get a new token from @BotFather, set it and restart; the old one is tried again by itself every 10 minutes"
        : "see the log, mend its module and restart",
  }));
  if (inbox.state === "full") {
    const what = "the disk reserve is touched: polling has stopped, what is in the inbox is still handled";
    found.push({ code: "disk_full", what, remedy: "free space on the disk of DATA_DIR; polling goes on by itself" });
  }
  return found;
}

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
