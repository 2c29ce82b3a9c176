/** Opens the storage of users and sessions: MongoDB where `MONGODB_URI` is set, else SQLite in `DATA_DIR`. */
import type { Clock, Random, Timer } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./ops/metrics.ts";
import { createMongodbUserStore, type MongodbStorage } from "./storage/mongodb.ts";
import type { MongoWatch } from "./storage/mongodb-watch.ts";
import type { SessionStore } from "./storage/session-store.ts";
import { createSqliteUserStore } from "./storage/sqlite.ts";
import type { UserStore } from "./storage/store.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface OpenStorageOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "mongodb">;
  /** Storage is lost for good: the process must end. */
  readonly onBroken: (reason: unknown) => void;
}

export interface OpenedStorage {
  readonly store: UserStore & SessionStore;
  stop(): Promise<void>;
}

/** Rejects where the storage cannot be used and no later try would go better: `format_newer`, `storage_damaged`, `settings_invalid`. */
export async function openStorage(options: OpenStorageOptions): Promise<OpenedStorage> {
  const { settings, limits, clock, random, log, onBroken } = options;
  const { mongodb } = settings;
  if (mongodb === undefined) {
    const { dataDir } = settings;
    const store = await createSqliteUserStore({ dataDir, clock, limits: limits.sqliteUsers, log, onBroken });
    return { store, stop: () => store.stop() };
  }
  const { uri, database, compressors, zlibLevel, ...pool } = mongodb;
  const store = await createMongodbUserStore({
    uri,
    database,
    pool,
    compressors,
    zlibLevel,
    clock,
    random,
    limits: limits.mongodbUsers,
    log,
    watch: settings.monitoring.detailed ? withSlowLog(options) : options.metrics.mongodb,
  });
  const stopAsking = askNowAndThen(store, options);
  return {
    store,
    stop() {
      stopAsking();
      return store.stop();
    },
  };
}

/** Costly for the server: every `METRICS_COLLECTION_INTERVAL`. Returns how to end it. */
function askNowAndThen(store: MongodbStorage, { metrics, settings, clock }: OpenStorageOptions): () => void {
  let timer: Timer | undefined;
  const ask = async (): Promise<void> => {
    // Of a server that does not answer, or does not say, nothing is known.
    metrics.mongodb.queries = await store.queries().catch(() => undefined);
    if (timer !== undefined) timer = clock.setTimer(() => void ask(), settings.monitoring.collectEveryMs);
  };
  timer = clock.setTimer(() => void ask(), 0);
  return () => {
    timer?.cancel();
    timer = undefined;
  };
}

/** Names no user and holds no value. At most one line in a while: where everything is slow, one says so. */
function withSlowLog({ metrics, limits, clock, log }: OpenStorageOptions): MongoWatch {
  const { slowMs, slowToldEveryMs } = limits.mongodbUsers;
  let toldAt = -Infinity;
  let untold = 0;
  return {
    pool: metrics.mongodb.pool,
    checkedOut: (ms) => metrics.mongodb.checkedOut(ms),
    command(collection, operation, ms, end) {
      metrics.mongodb.command(collection, operation, ms, end);
      if (ms <= slowMs) return;
      if (clock.monotonic() - toldAt < slowToldEveryMs) return void untold++;
      toldAt = clock.monotonic();
      log.warn("MongoDB was slow", { collection, operation, ms: Math.round(ms), end, othersSince: untold });
      untold = 0;
    },
  };
}
