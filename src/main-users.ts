/** Builds what the modules that use users share: storage, tiers, repository. */
import type { AttemptScope } from "./attempts.ts";
import { createCodeTier } from "./cache/codes.ts";
import { createMemoryTier } from "./cache/memory.ts";
import { createStorageTier } from "./cache/storage.ts";
import type { Clock, Random } from "./clock.ts";
import { toSeq } from "./ids.ts";
import type { Partition } from "./inbox/inbox.ts";
import type { Log } from "./log.ts";
import { createSqliteUserStore } from "./storage/sqlite.ts";
import { newReferralCode } from "./users/code.ts";
import type { Settled } from "./users/folding.ts";
import { createRepository } from "./users/repository.ts";
import type { Users } from "./users/users.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface OpenUsersOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  readonly partition: Partition;
  readonly scope: AttemptScope;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Storage is lost, or found again. */
  readonly onLost: (isLost: boolean) => void;
  /** Storage is lost for good: the process must end. */
  readonly onBroken: (reason: unknown) => void;
}

export interface OpenedUsers {
  readonly users: Users;
  /** Stores what waits and closes the storage. */
  stop(): Promise<void>;
}

/** Rejects where the storage cannot be opened and no later try would go better: `format_newer`, `storage_damaged`. */
export async function openUsers(options: OpenUsersOptions): Promise<OpenedUsers> {
  const { settings, limits, partition, scope, clock, random, log, onLost, onBroken } = options;
  const { batches, cache } = settings;
  const store = await createSqliteUserStore({
    dataDir: settings.dataDir,
    clock,
    limits: limits.sqliteUsers,
    log,
    onBroken,
  });
  const stopListening = store.onState((state) => onLost(state === "lost"));
  const { absentMs, absentMax, readMaxUsers } = limits.users;
  const below = createStorageTier({ store, group: batches.reads, readMaxUsers });
  const tier = createMemoryTier({
    below,
    clock,
    limits: { usersMax: cache.users, ttlMs: cache.userMs, absentMs, absentMax },
  });
  const grouping = batches.writes ? { groupMaxUsers: batches.writesMax } : { groupMaxUsers: 1 };
  const repository = createRepository({
    store,
    tier,
    codes: createCodeTier({ store, clock, limits: limits.users }),
    scope,
    settled: settledOf(partition),
    clock,
    random,
    limits: { ...limits.users, ...grouping },
    log,
    newCode: () => newReferralCode((into) => void crypto.getRandomValues(into)),
    newWriter: () => crypto.randomUUID(),
  });
  repository.start();
  return {
    users: repository,
    async stop() {
      await repository.stop();
      stopListening();
      await store.stop();
    },
  };
}

/** Of another partition nothing is known here: all of its updates may come again. */
function settledOf(partition: Partition): Settled {
  return {
    below: (number) => (number === partition.number ? partition.settledBelow() : toSeq(0)),
    unsettled: async (number, seqs) =>
      new Set(number === partition.number ? (await partition.bodies(seqs)).keys() : seqs),
  };
}
