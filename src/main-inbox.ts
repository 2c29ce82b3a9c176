/** Opens the inbox: in Redis where `REDIS_URL` is set, which instances share, else a file in `DATA_DIR`. */
import type { Clock } from "./clock.ts";
import type { BotId } from "./ids.ts";
import type { Inbox } from "./inbox/inbox.ts";
import { newPartitionName, partitionNameOf } from "./inbox/partition-name.ts";
import { createRedisInbox } from "./inbox/redis.ts";
import { createSqliteInbox } from "./inbox/sqlite.ts";
import type { Log } from "./log.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface OpenInboxOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  /** Of this process, never used before: lower-case letters and digits. */
  readonly member: string;
  /** Ends the wait for a Redis that cannot be reached. */
  readonly signal: AbortSignal;
  /** `writes` became durable together in `ms`. */
  readonly onFlushed: (writes: number, ms: number) => void;
  /** The inbox is lost for good: the process must end. */
  readonly onBroken: (reason: unknown) => void;
}

export interface OpenedInbox {
  readonly inbox: Inbox;
  /** What attempts call a partition: a number that no other inbox over the same users has. */
  readonly nameOf: (partition: number) => number;
}

/**
 * Rejects where no later try would go better: `inbox_locked`, `format_newer`, `settings_invalid`. A Redis that cannot be reached is waited for, until
 * `signal` says otherwise (`unavailable`).
 */
export async function openInbox(options: OpenInboxOptions): Promise<OpenedInbox> {
  const opened = await openIt(options);
  void reportUnconfigured(opened.inbox, options);
  return opened;
}

async function openIt(options: OpenInboxOptions): Promise<OpenedInbox> {
  const { settings, limits, clock, log, member, signal, onFlushed, onBroken } = options;
  const { deduplicate, redis, dataDir } = settings;
  const shared = { clock, log, deduplicate, onFlushed, onBroken };
  if (redis.url !== undefined) {
    return createRedisInbox({
      ...shared,
      url: redis.url,
      partitions: limits.redisInbox.partitions,
      newName: newPartitionName,
      writer: member,
      allowLoss: redis.allowLoss,
      limits: { ...limits.inbox, ...limits.redisInbox },
      signal,
    });
  }
  const inbox = await createSqliteInbox({ ...shared, dataDir, limits: limits.inbox });
  // Several instances, each with a partition 0, may share the users in MongoDB.
  const name = settings.mongodb === undefined ? 0 : partitionNameOf(dataDir, newPartitionName);
  return { inbox, nameOf: (partition) => name + partition };
}

/** Entries of bots that were taken out of the configuration stay in the inbox; nobody would notice. Never rejects. */
async function reportUnconfigured(inbox: Inbox, { settings, log }: OpenInboxOptions): Promise<void> {
  const configured = new Set(settings.bots.map(({ id }) => id));
  // What cannot be read just now is told by the inbox.
  for (const [bot, updates] of await inbox.backlog().catch(() => new Map<BotId, number>())) {
    if (configured.has(bot)) continue;
    const words =
      "updates of a bot that is not configured any more stay in the inbox; configure it again to handle them";
    log.warn(words, { id: bot, updates });
  }
}
