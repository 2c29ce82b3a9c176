/** Builds the tiers of users over the storage: memory, and Redis between where there is one. */
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createMemoryTier } from "./cache/memory.ts";
import { createRedisCache, type RedisCache, type RedisMeasure } from "./cache/redis.ts";
import { createSharedTier, type SharedTier } from "./cache/shared.ts";
import type { Tier } from "./cache/tier.ts";
import type { Clock, Timer } from "./clock.ts";
import { Fault } from "./faults.ts";
import type { Log } from "./log.ts";
import type { CacheStatus } from "./ops/cache-metrics.ts";
import type { Metrics } from "./ops/metrics.ts";
import { createUserCheck } from "./users/check-user.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface OpenCacheOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  /** The storage as a tier. */
  readonly storage: Tier;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "tierAsked">;
}

export interface OpenedCache {
  readonly tier: Tier;
  status(): CacheStatus;
  /** After the last change of a user. */
  stop(): Promise<void>;
}

/** Rejects with `settings_invalid` where Redis refuses the credentials. A Redis that cannot be reached is passed by until it can. */
export async function openCache(options: OpenCacheOptions): Promise<OpenedCache> {
  const { settings, limits, clock, metrics } = options;
  const { cache, redis } = settings;
  const storage = timed(options.storage, clock, (ms) => metrics.tierAsked("storage", ms));
  const shared = redis.cacheUrl === undefined ? undefined : await openShared(options, redis.cacheUrl, storage);
  const { absentMs, absentMax } = limits.users;
  const memory = createMemoryTier({
    below: shared?.tier ?? storage,
    clock,
    limits: { heldMax: cache.users, ttlMs: cache.userMs, absentMs, absentMax },
  });
  shared?.start({ onChanged: (id, version) => memory.changed(id, version), onDoubt: () => memory.doubt() });
  return {
    tier: memory,
    status: () => ({ memory: memory.stats(), redis: shared?.status() }),
    stop: async () => shared?.stop(),
  };
}

interface Shared {
  readonly tier: SharedTier;
  start(upper: Upper): void;
  status(): CacheStatus["redis"];
  stop(): Promise<void>;
}

/** What the tier above is told. */
interface Upper {
  readonly onChanged: (id: Parameters<Tier["held"]>[0], version: number) => void;
  readonly onDoubt: () => void;
}

async function openShared(options: OpenCacheOptions, url: string, storage: Tier): Promise<Shared | undefined> {
  const { settings, limits, clock, log, metrics } = options;
  const { maxConnections, minConnections } = settings.redis;
  if (maxConnections < 2) {
    log.warn(
      "REDIS_MAX_CONNECTIONS is 1, and a cache in Redis needs two, one of them to listen: users are cached in memory alone",
    );
    return undefined;
  }
  const server = createRedisCache({
    url,
    space: spaceOf(settings),
    clock,
    ttlMs: settings.cache.redisMs,
    connectionsMax: maxConnections,
    connectionsMin: minConnections,
    limits: { ...limits.cache, absentMs: limits.users.absentMs },
    onAsked: (ms) => metrics.tierAsked("redis", ms),
  });
  await checkFirstAnswer(server, options, url);
  let upper: Upper | undefined;
  const tier = createSharedTier({
    below: storage,
    server,
    check: createUserCheck(),
    clock,
    newName,
    limits: limits.cache,
    events: {
      onChanged: (id, version) => upper?.onChanged(id, version),
      onDoubt: () => upper?.onDoubt(),
      onState: (state, error) => {
        if (state === "closed") log.info("Redis serves the cache again");
        else log.warn("Redis does not serve the cache; users are read from the storage until it does", { error });
      },
    },
  });
  const measuring = measureNowAndThen(server, clock, settings.monitoring.collectEveryMs);
  return {
    tier,
    start(given) {
      upper = given;
      tier.start();
    },
    status: () => ({ ...tier.stats(), ...server.stats(), server: measuring.last() }),
    async stop() {
      measuring.stop();
      await tier.stop();
    },
  };
}

async function checkFirstAnswer(
  server: RedisCache,
  { settings, limits, log }: OpenCacheOptions,
  url: string,
): Promise<void> {
  const answer = await server.firstAnswer(limits.cache.firstAnswerMaxMs);
  switch (answer) {
    case "ready":
      return;
    case "refused": {
      await server.stop();
      const variable = url === settings.redis.url ? "REDIS_URL" : "REDIS_CACHE_URL";
      throw new Fault(
        "settings_invalid",
        `${variable}: Redis refuses the user name or password in it (or wants one); correct it, or set REDIS_ENABLED=false to do without`,
      );
    }
    case "unreachable":
      log.warn("Redis cannot be reached; users are cached in memory alone until it can", { reason: server.lastError });
  }
}

/** Whose users they are: instances over one storage must name it alike, and two storages must not. */
function spaceOf({ mongodb, dataDir }: Settings): string {
  if (mongodb !== undefined) return mongodb.database;
  // Another file is another storage, also one that was put in its place.
  const { ino, dev, birthtimeMs } = statSync(join(dataDir, "users.sqlite"));
  const name = JSON.stringify([hostname(), dataDir, dev, ino, birthtimeMs]);
  return createHash("sha256").update(name).digest("hex").slice(0, 12);
}

function timed(tier: Tier, clock: Clock, onAsked: (ms: number) => void): Tier {
  const read = async <T>(ask: () => Promise<T>): Promise<T> => {
    const askedAt = clock.monotonic();
    try {
      return await ask();
    } finally {
      onAsked(clock.monotonic() - askedAt);
    }
  };
  return {
    held: (id) => tier.held(id),
    read: (ids) => read(() => tier.read(ids)),
    readFresh: (ids) => read(() => tier.readFresh(ids)),
    stored: (users) => tier.stored(users),
    forget: (ids) => tier.forget(ids),
  };
}

/** Costly for the server: every `everyMs`. */
function measureNowAndThen(server: RedisCache, clock: Clock, everyMs: number) {
  let last: RedisMeasure | undefined;
  let timer: Timer | undefined;
  const measure = async (): Promise<void> => {
    // Of a server that does not answer nothing is known.
    last = await server.measure().catch(() => undefined);
    if (timer !== undefined) timer = clock.setTimer(() => void measure(), everyMs);
  };
  timer = clock.setTimer(() => void measure(), 0);
  return {
    last: () => last,
    stop() {
      timer?.cancel();
      timer = undefined;
    },
  };
}

const letters = "abcdefghijklmnopqrstuvwxyz0123456789";

/** 60 bits. */
function newName(): string {
  let name = "";
  for (const byte of crypto.getRandomValues(new Uint8Array(12))) name += letters[byte % letters.length];
  return name;
}
