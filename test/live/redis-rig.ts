/** Instances of the tiers over a real Redis, in this process, over a storage in memory. */
import type { MemoryTier } from "../../src/cache/memory.ts";
import { createRedisCache, type RedisCache, type RedisCacheLimits } from "../../src/cache/redis.ts";
import type { BreakerState } from "../../src/cache/breaker.ts";
import type { Tier } from "../../src/cache/tier.ts";
import { createTiers, type Tiers } from "../../src/cache/tiers.ts";
import { nothing } from "../simulation/tiers-world.ts";
import { systemClock } from "../../src/clock.ts";
import type { UserId } from "../../src/ids.ts";
import { createUserCheck } from "../../src/users/check-user.ts";
import type { User } from "../../src/users/user.ts";

export const redisLimits: RedisCacheLimits = {
  callMaxMs: 300,
  connectMaxMs: 1_000,
  hungMaxMs: 1_000,
  retryCapMs: 200,
  callsMaxPerConnection: 1_000,
  openEveryMs: 5,
  leaseMs: 5_000,
  absentMs: 5_000,
  lostMs: 1_000,
};

export const linkLimits = {
  beatMs: 100,
  silentMs: 500,
  failuresMax: 3,
  debtsMax: 1_000,
  groupMax: 100,
  sendersMax: 100,
};

export interface LiveInstance {
  readonly sender: string;
  readonly memory: MemoryTier;
  /** The second tier, and the link of both. */
  readonly shared: Pick<Tier, "read"> & Pick<Tiers, "stats" | "stop">;
  readonly redis: RedisCache;
  readonly states: BreakerState[];
  readonly errors: unknown[];
}

export interface LiveOptions {
  readonly url: string;
  readonly storage: Map<UserId, User>;
  readonly heldMax?: number;
  /** How long storage takes, ms. */
  readonly storageMs?: () => number;
  readonly onStorageRead?: (users: number) => void;
  readonly connectionsMin?: number;
  readonly connectionsMax?: number;
  readonly space?: string;
  /** Of earlier lives of this instance. */
  readonly dead?: readonly string[];
}

const check = createUserCheck();

export function startInstance(options: LiveOptions): LiveInstance {
  const { url, storage, heldMax = 1_000, storageMs = () => 0, onStorageRead = () => {} } = options;
  const { connectionsMin = 2, connectionsMax = 10, space = "test", dead = [] } = options;
  const sender = nameOf();
  const clock = systemClock;
  const redis = createRedisCache({
    url,
    space,
    clock,
    ttlMs: 60_000,
    connectionsMax,
    connectionsMin,
    limits: redisLimits,
  });
  const read: Tier["read"] = async (ids) => {
    onStorageRead(ids.length);
    await Bun.sleep(storageMs());
    const found = new Map(ids.flatMap((id) => (storage.has(id) ? [[id, storage.get(id) as User] as const] : [])));
    await Bun.sleep(storageMs());
    return found;
  };
  const states: BreakerState[] = [];
  const errors: unknown[] = [];
  const limits = { ttlMs: 600_000, absentMs: 5_000, absentMax: 1_000, heldMax };
  const tiers = createTiers({
    server: redis,
    check,
    clock,
    newName: nameOf,
    sender,
    dead,
    limits: linkLimits,
    users: {
      below: { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} },
      limits,
    },
    sessions: { below: nothing(), limits },
    onState: (state, error) => {
      states.push(state);
      errors.push(error);
    },
    onKnown: () => {},
  });
  tiers.start();
  const shared = {
    read: (ids: readonly UserId[]) => tiers.shared.read(ids),
    stats: () => tiers.stats(),
    stop: () => tiers.stop(),
  };
  return { sender, memory: tiers.users, shared, redis, states, errors };
}

function nameOf(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, 12);
}

/** Waits for a condition; fails after 20 s. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const startedAt = performance.now();
  while (!(await isSo())) {
    if (performance.now() - startedAt > 20_000) throw new Error("what was waited for did not come");
    await Bun.sleep(5);
  }
}
