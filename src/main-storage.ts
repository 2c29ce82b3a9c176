/** Opens the storage of users and sessions: MongoDB where `MONGODB_URI` is set, else SQLite in `DATA_DIR`. */
import type { Clock, Random } from "./clock.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./ops/metrics.ts";
import { createMongodbUserStore } from "./storage/mongodb.ts";
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

/** Rejects where the storage cannot be used and no later try would go better: `format_newer`, `storage_damaged`, `settings_invalid`. */
export function openStorage(options: OpenStorageOptions): Promise<UserStore & SessionStore> {
  const { settings, limits, clock, random, log, onBroken } = options;
  const { mongodb } = settings;
  if (mongodb === undefined) {
    return createSqliteUserStore({ dataDir: settings.dataDir, clock, limits: limits.sqliteUsers, log, onBroken });
  }
  const { uri, database, compressors, zlibLevel, ...pool } = mongodb;
  return createMongodbUserStore({
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
