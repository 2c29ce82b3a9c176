/** Builds what the modules that use users or sessions share: storage, tiers, repository. */
import type { AttemptScope, Settled } from "./attempts.ts";
import { createCodeTier } from "./cache/codes.ts";
import { createStorageTier } from "./cache/storage.ts";
import type { Tier } from "./cache/tier.ts";
import type { Clock, Random } from "./clock.ts";
import { toSeq } from "./ids.ts";
import type { Inbox } from "./inbox/inbox.ts";
import type { Log } from "./log.ts";
import { openCache } from "./main-cache.ts";
import { openStorage } from "./main-storage.ts";
import type { CacheStatus } from "./ops/cache-metrics.ts";
import type { Metrics } from "./ops/metrics.ts";
import { createSessions, type Sessions } from "./sessions/sessions.ts";
import type { Session, SessionStore } from "./storage/session-store.ts";
import { newReferralCode } from "./users/code.ts";
import { createRepository } from "./users/repository.ts";
import type { Users } from "./users/users.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface OpenUsersOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  readonly inbox: Pick<Inbox, "partitions" | "settledBelow" | "unsettled">;
  /** What attempts call a partition of it. */
  readonly nameOf: (partition: number) => number;
  readonly scope: AttemptScope;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "tierAsked" | "mongodb">;
  /** Storage is lost, or found again. */
  readonly onLost: (isLost: boolean) => void;
  /** Storage is lost for good: the process must end. */
  readonly onBroken: (reason: unknown) => void;
}

export interface OpenedUsers {
  readonly users: Users;
  readonly sessions: Sessions;
  cacheStatus(): CacheStatus;
  /** Resolves when the other instances know what has changed so far, or it is owed to them. Never rejects. */
  told(): Promise<void>;
  /** Stores what waits and closes the storage. */
  stop(): Promise<void>;
}

/** Rejects where storage or cache cannot be opened and no later try would go better: `format_newer`, `storage_damaged`, `settings_invalid`. */
export async function openUsers(options: OpenUsersOptions): Promise<OpenedUsers> {
  const { settings, limits, scope, clock, random, log, onLost } = options;
  const { batches } = settings;
  const opened = await openStorage(options);
  const { store } = opened;
  const stopListening = store.onState((state) => onLost(state === "lost"));
  const storage = { group: batches.reads, readMax: limits.users.readMaxUsers };
  const cache = await openCache({
    ...options,
    users: createStorageTier({ ...storage, store }),
    sessions: createStorageTier<string, Session>({ ...storage, store: { read: (keys) => store.readSessions(keys) } }),
  }).catch(async (error: unknown) => {
    await opened.stop();
    throw error;
  });
  const grouping = batches.writes ? { groupMaxUsers: batches.writesMax } : { groupMaxUsers: 1 };
  const repository = createRepository({
    store,
    tier: cache.users,
    codes: createCodeTier({ store, clock, limits: limits.users }),
    scope,
    ...knowledgeOf(options),
    clock,
    random,
    limits: { ...limits.users, ...grouping, groupMaxMs: groupMaxMsOf(options) },
    log,
    newCode: () => newReferralCode((into) => void crypto.getRandomValues(into)),
    newWriter: () => crypto.randomUUID(),
  });
  repository.start();
  const sessions = openSessions(options, store, cache.sessions);
  sessions.start();
  return {
    users: repository,
    sessions,
    cacheStatus: () => cache.status(),
    told: () => cache.told(),
    async stop() {
      await repository.stop();
      await sessions.stop();
      await cache.stop();
      stopListening();
      await opened.stop();
    },
  };
}

function groupMaxMsOf({ settings, limits }: OpenUsersOptions): number {
  return (settings.mongodb === undefined ? limits.users : limits.mongodbUsers).groupMaxMs;
}

function openSessions(options: OpenUsersOptions, store: SessionStore, tier: Tier<string, Session>): Sessions {
  const { settings, limits, scope, clock, random, log } = options;
  const { batches } = settings;
  return createSessions({
    store,
    tier,
    scope,
    ...knowledgeOf(options),
    clock,
    random,
    limits: { ...limits.sessions, groupMaxSessions: batches.writes ? batches.writesMax : 1 },
    log,
    newWriter: () => crypto.randomUUID(),
  });
}

/**
 * What is known of the updates that stored data remembers, each by the name of its partition: all of this inbox, whichever instance has the partition.
 * Of another inbox nothing is known here: all of its updates may come again.
 */
export function knowledgeOf({ inbox, nameOf }: Pick<OpenUsersOptions, "inbox" | "nameOf">): {
  readonly settled: Settled;
  readonly isOwn: (name: number) => boolean;
} {
  const numbers = new Map(Array.from({ length: inbox.partitions }, (_, number) => [nameOf(number), number]));
  return {
    settled: {
      below(name) {
        const number = numbers.get(name);
        return number === undefined ? toSeq(0) : inbox.settledBelow(number);
      },
      unsettled: async (name, seqs) => (numbers.has(name) ? inbox.unsettled(seqs) : new Set(seqs)),
    },
    isOwn: (name) => numbers.has(name),
  };
}
