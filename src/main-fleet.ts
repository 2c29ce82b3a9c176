/** Opens the leases: of one instance, or of a fleet. */
import { hostname } from "node:os";
import type { Clock } from "./clock.ts";
import type { BotId } from "./ids.ts";
import type { FleetView } from "./leases/fleet-view.ts";
import type { Leases } from "./leases/leases.ts";
import { createLocalLeases } from "./leases/local.ts";
import { createRedisLeases } from "./leases/redis.ts";
import type { LeaseCounts } from "./leases/shared.ts";
import type { Log } from "./log.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface OpenLeasesOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** Of the inbox. */
  readonly partitions: number;
  /** What other instances are told of this one with each heartbeat; small. */
  readonly info: () => Readonly<Record<string, unknown>>;
  /** Another instance said something. */
  readonly onTold: (text: string) => void;
}

export interface OpenedLeases {
  readonly leases: Leases;
  /** Says something to the other instances; it may be lost. */
  tell(text: string): void;
  /** Since when Redis has not confirmed the leases, monotonic ms; undefined while it does, or where there is no fleet. */
  lostSince(): number | undefined;
  /** Undefined where there is no fleet. */
  counts(): LeaseCounts | undefined;
  /** The same, and before it was seen for the first time. */
  view(): FleetView | undefined;
}

export function openLeases(options: OpenLeasesOptions): OpenedLeases {
  const { settings, limits, clock, log, version, partitions, info, onTold } = options;
  const bots = settings.bots.map(({ id }): BotId => id);
  const { url } = settings.redis;
  if (url === undefined) {
    return {
      leases: createLocalLeases({ bots, partitions }),
      tell() {},
      lostSince: () => undefined,
      counts: () => undefined,
      view: () => undefined,
    };
  }
  const leases = createRedisLeases({
    url,
    bots,
    partitions,
    clock,
    newName: () => crypto.randomUUID().replaceAll("-", "").slice(0, 12),
    host: hostname(),
    version,
    info,
    onTold: (_, text) => onTold(text),
    limits: { ...limits.redisInbox, ...limits.leases },
    log,
  });
  return {
    leases,
    tell: (text) => leases.tell(text),
    lostSince: () => leases.lostSince(),
    counts: () => leases.counts(),
    view: () => leases.fleet(),
  };
}
