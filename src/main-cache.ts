/** Builds the tiers of users over the storage: memory, and Redis between where there is one. */
import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { createMemoryTier } from "./cache/memory.ts";
import { createRedisCache, type RedisCache, type RedisMeasure } from "./cache/redis.ts";
import { createSessionTier } from "./cache/sessions.ts";
import type { Tier } from "./cache/tier.ts";
import { createTiers } from "./cache/tiers.ts";
import type { Clock, Timer } from "./clock.ts";
import { Fault } from "./faults.ts";
import type { Log } from "./log.ts";
import type { CacheStatus } from "./ops/cache-metrics.ts";
import type { Metrics } from "./ops/metrics.ts";
import type { Session } from "./storage/session-store.ts";
import { createUserCheck } from "./users/check-user.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface OpenCacheOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  /** The storage as tiers. */
  readonly users: Tier;
  readonly sessions: Tier<string, Session>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "tierAsked">;
}

export interface OpenedCache {
  readonly users: Tier;
  readonly sessions: Tier<string, Session>;
  status(): CacheStatus;
  /** Resolves when the other instances know what has changed so far, or it is owed to them. Never rejects. */
  told(): Promise<void>;
  /** After the last change of a user or a session. */
  stop(): Promise<void>;
}

/** Rejects with `settings_invalid` where Redis refuses the credentials. A Redis that cannot be reached is passed by until it can. */
export async function openCache(options: OpenCacheOptions): Promise<OpenedCache> {
  const { settings, limits, clock, log, metrics } = options;
  const { cache, redis } = settings;
  const { absentMs, absentMax } = limits.users;
  const onAsked = (ms: number): void => metrics.tierAsked("storage", ms);
  const users = {
    below: timed(options.users, clock, onAsked),
    limits: { heldMax: cache.users, ttlMs: cache.userMs, absentMs, absentMax },
  };
  const sessions = { below: options.sessions, limits: limits.sessions };
  const server = redis.cacheUrl === undefined ? undefined : await openServer(options, redis.cacheUrl);
  if (server === undefined) {
    const memory = createMemoryTier({ ...users, clock });
    return {
      users: memory,
      sessions: createSessionTier({ ...sessions, clock }),
      status: () => ({ memory: memory.stats(), redis: undefined }),
      told: async () => {},
      stop: async () => {},
    };
  }
  // A fleet does not lock the folder: instances on one machine may share it.
  const lives = settings.redis.url === undefined ? openLives(settings.dataDir) : newLife();
  const tiers = createTiers({
    server,
    check: createUserCheck(),
    clock,
    newName,
    sender: lives.sender,
    dead: lives.dead,
    limits: limits.cache,
    users,
    sessions,
    onState(state, error) {
      if (state === "closed") log.info("Redis serves the cache again");
      else log.warn("Redis does not serve the cache; users are read from the storage until it does", { error });
    },
    onKnown: () => lives.onKnown(),
  });
  tiers.start();
  const measuring = measureNowAndThen(server, clock, settings.monitoring.collectEveryMs);
  return {
    users: tiers.users,
    sessions: tiers.sessions,
    status: () => ({
      memory: tiers.users.stats(),
      redis: { ...tiers.stats(), ...server.stats(), server: measuring.last() },
    }),
    told: () => tiers.told(),
    async stop() {
      measuring.stop();
      await tiers.stop();
    },
  };
}

/** Undefined where the settings leave no room for it. */
async function openServer(options: OpenCacheOptions, url: string): Promise<RedisCache | undefined> {
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
  return server;
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

interface Lives {
  readonly sender: string;
  readonly dead: readonly string[];
  /** Redis has been told of all of them. */
  onKnown(): void;
}

/** Of an instance that keeps nothing: what an earlier process stored last and did not tell is noticed by its silence. */
function newLife(): Lives {
  return { sender: newName(), dead: [], onKnown() {} };
}

/** Names kept of lives that Redis has not been told of. */
const livesMax = 20;

/**
 * The names by which the instance is known in Redis, this one and those of earlier processes on this `DATA_DIR`, which are dead: its lock is
 * held. What they stored last they may not have told, and nobody else would notice before ten seconds.
 */
function openLives(dataDir: string): Lives {
  const path = join(dataDir, "cache-names");
  const sender = newName();
  const write = (names: readonly string[]): void => {
    try {
      writeFileSync(path, names.slice(-livesMax).join("\n"));
    } catch {
      // A full disk: then it is noticed by its silence.
    }
  };
  let dead: readonly string[] = [];
  try {
    dead = readFileSync(path, "latin1")
      .split("\n")
      .filter((name) => /^[a-z0-9]{12}$/.test(name));
  } catch {
    // The first start.
  }
  write([...dead, sender]);
  return { sender, dead, onKnown: () => write([sender]) };
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
