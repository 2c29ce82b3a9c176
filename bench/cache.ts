/**
 * What the tiers of users save. Longer than other files because its three measurements share one load.
 *
 *     bun run bench:cache [--users 10000000] [--held 500000] [--warm 5500000] [--requests 200000] [--workers 64] [--redis URL] [--json]
 *
 * Users are asked for as Zipf with exponent 0.99 has it, over `--users`. Storage is simulated: any of them exists, an answer takes 1 ms.
 *
 * 1. Memory alone: hits of `--held` users in memory, after as many requests as fill it several times.
 * 2. Caches off, memory alone, and memory over a real Redis that holds the `--warm` users most asked for (as a day of requests leaves
 *    it): the same requests by `--workers` at a time. A round trip is a call to the storage, however many users it asks for.
 * 3. Updates: each reads its user and changes it, 50 and 2,000 at a time; round trips for reads and writes.
 * 4. The second tier under 2,000 and 10,000 users asked for a second, one by one: time of a hit, beside that of a bare PING.
 *
 * Redis is started for it (`redis-server`), unless `--redis` names one, of which the keys of space `bench` are overwritten.
 */
import { parseArgs } from "node:util";
import { Redis } from "ioredis";
import { limits } from "../config/limits.ts";
import { createAttemptScope } from "../src/attempts.ts";
import { createCodeTier } from "../src/cache/codes.ts";
import { documentOf } from "../src/cache/documents.ts";
import { createMemoryTier, type MemoryTier } from "../src/cache/memory.ts";
import { pack } from "../src/cache/packing.ts";
import { createRedisCache } from "../src/cache/redis.ts";
import { createStorageTier } from "../src/cache/storage.ts";
import type { Tier } from "../src/cache/tier.ts";
import { createTiers, type Tiers } from "../src/cache/tiers.ts";
import { systemClock } from "../src/clock.ts";
import { toBotId, toSeq, toUserId, type UserId } from "../src/ids.ts";
import { createMemoryUserStore } from "../src/storage/memory.ts";
import type { UserStore } from "../src/storage/store.ts";
import { createUserCheck } from "../src/users/check-user.ts";
import { createRepository } from "../src/users/repository.ts";
import type { User } from "../src/users/user.ts";
import { LiveRedis } from "../test/live/redis-server.ts";
import { nothing } from "../test/simulation/tiers-world.ts";
import { forwardStore } from "../test/support/forward-store.ts";

const { values } = parseArgs({
  options: {
    users: { type: "string", default: "10000000" },
    held: { type: "string", default: "500000" },
    warm: { type: "string", default: "5500000" },
    requests: { type: "string", default: "200000" },
    workers: { type: "string", default: "64" },
    redis: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const [users, held, warm, requests] = [values.users, values.held, values.warm, values.requests].map(Number) as [
  number,
  number,
  number,
  number,
];
const exponent = 0.99;
const storageMs = 1;

/** Ranks from 1 on, by inversion of the sums of 1 / rank ** exponent. */
function zipf(): () => number {
  const sums = new Float64Array(users);
  let sum = 0;
  for (let rank = 1; rank <= users; rank++) sums[rank - 1] = sum += rank ** -exponent;
  return () => {
    const wanted = Math.random() * sum;
    let [from, to] = [0, users - 1];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((sums[middle] ?? 0) < wanted) from = middle + 1;
      else to = middle;
    }
    return from + 1;
  };
}

function userOf(id: number): User {
  const at = 1_700_000_000_000 + id;
  return {
    telegramId: toUserId(id),
    username: `person_${id}`,
    firstName: `Person ${id}`,
    languageCode: "en",
    referralCode: id.toString(36).padStart(10, "A"),
    points: id % 1_000,
    referralCount: id % 7,
    isActive: true,
    isVerified: false,
    miniappVerified: false,
    createdAt: at,
    updatedAt: at,
    version: 3,
    bots: { "123456789": { state: "active", since: at } },
    referral: { state: "paid", since: at },
    applied: [],
  };
}

interface CountedStore {
  readonly store: UserStore;
  reads: number;
  writes: number;
}

/** Every user exists; those that were changed are remembered. */
function createCountedStore(answerMs: number): CountedStore {
  const changed = new Map<UserId, User>();
  const now = (id: UserId): User => changed.get(id) ?? userOf(id);
  const answered = async (): Promise<void> => {
    if (answerMs > 0) await Bun.sleep(answerMs);
  };
  const counted: CountedStore = {
    reads: 0,
    writes: 0,
    store: forwardStore(createMemoryUserStore(), {
      async read(ids) {
        counted.reads++;
        await answered();
        return new Map(ids.map((id) => [id, now(id)]));
      },
      async write(writes) {
        counted.writes++;
        await answered();
        return writes.map(({ user }) => {
          if (now(user.telegramId).version !== user.version - 1) return "conflict";
          changed.set(user.telegramId, user);
          return "stored";
        });
      },
      owedSince: async () => [],
    }),
  };
  return counted;
}

function storageTierOf({ store }: CountedStore): Tier {
  return createStorageTier({ store, group: true, readMax: limits.users.readMaxUsers });
}

function memoryOver(below: Tier, heldMax: number): MemoryTier {
  const { absentMs, absentMax } = limits.users;
  return createMemoryTier({ below, clock: systemClock, limits: { heldMax, ttlMs: 600_000, absentMs, absentMax } });
}

let names = 0;
const newName = (): string => `b${process.pid}x${(names++).toString(36)}`;

function tiersOver(below: Tier, url: string): Tiers {
  const server = createRedisCache({
    url,
    space: "bench",
    clock: systemClock,
    ttlMs: 86_400_000,
    connectionsMax: 10,
    connectionsMin: 2,
    limits: { ...limits.cache, absentMs: limits.users.absentMs },
  });
  const { absentMs, absentMax } = limits.users;
  const tiers = createTiers({
    server,
    check: createUserCheck(),
    clock: systemClock,
    newName,
    sender: newName(),
    dead: [],
    limits: limits.cache,
    users: { below, limits: { heldMax: held, ttlMs: 600_000, absentMs, absentMax } },
    sessions: { below: nothing(), limits: limits.sessions },
    onState: (state, error) => console.log("redis", state, error),
    onKnown: () => {},
  });
  tiers.start();
  return tiers;
}

/** Puts the users most asked for into Redis as if they had been filled in. */
async function warmUp(url: string): Promise<void> {
  const redis = new Redis(url);
  const generation = String(await redis.hget("botfleet:u1:bench:fleet", "g"));
  const startedAt = performance.now();
  for (let from = 1; from <= warm; from += 5_000) {
    const pipeline = redis.pipeline();
    for (let id = from; id < from + 5_000 && id <= warm; id++) {
      const user = userOf(id);
      pipeline.set(`botfleet:u1:bench:${id}`, documentOf(generation, user.version, pack(user)), "PX", 86_400_000);
    }
    await pipeline.exec();
  }
  const memory = /used_memory_human:(\S+)/.exec(await redis.info("memory"))?.[1];
  console.log(`${warm} users put into Redis in ${((performance.now() - startedAt) / 1_000).toFixed(0)} s: ${memory}`);
  redis.disconnect();
}

async function memoryAlone(next: () => number): Promise<{ readonly memory: MemoryTier; readonly hitRatio: number }> {
  const memory = memoryOver(storageTierOf(createCountedStore(0)), held);
  const ask = async (count: number): Promise<void> => {
    for (let done = 0; done < count; done += 500) {
      await Promise.all(
        Array.from({ length: 500 }, async () => {
          const id = toUserId(next());
          if (memory.held(id) === undefined) await memory.read([id]);
        }),
      );
    }
  };
  await ask(held * 8);
  const before = memory.stats();
  await ask(held * 2);
  const after = memory.stats();
  const hits = after.hits - before.hits;
  return { memory, hitRatio: hits / (hits + after.misses - before.misses) };
}

/** Round trips a request. */
async function askAll(tier: Tier, store: CountedStore, ids: readonly UserId[]): Promise<number> {
  const before = store.reads;
  let at = 0;
  const worker = async (): Promise<void> => {
    for (let id = ids[at++]; id !== undefined; id = ids[at++]) {
      if (tier.held(id) === undefined) await tier.read([id]);
      // The rest of an update: without a pause all who were answered together would ask together for ever.
      await Bun.sleep(1 + Math.random() * 20);
    }
  };
  await Promise.all(Array.from({ length: Number(values.workers) }, worker));
  return (store.reads - before) / ids.length;
}

async function updateAll(tier: Tier, store: CountedStore, ids: readonly UserId[], atATime: number): Promise<number> {
  let made = 0;
  const repository = createRepository({
    store: store.store,
    tier,
    codes: createCodeTier({ store: store.store, clock: systemClock, limits: limits.users }),
    scope: createAttemptScope(),
    settled: { below: () => toSeq(0), unsettled: async () => new Set() },
    isOwn: () => true,
    clock: systemClock,
    random: Math.random,
    limits: limits.users,
    log: { debug: () => {}, error: (...line) => console.error(...line) },
    newCode: () => "",
    newWriter: () => String(made++),
  });
  const [reads, writes] = [store.reads, store.writes];
  for (let from = 0; from < ids.length; from += atATime) {
    await Promise.all(
      ids.slice(from, from + atATime).map(async (id) => {
        await repository.get(id);
        const state = Math.random() < 0.5 ? "blocked" : "active";
        await repository.change(id, { kind: "set_bot_state", bot: toBotId(1 + Math.floor(Math.random() * 20)), state });
      }),
    );
  }
  return (store.reads - reads + store.writes - writes) / ids.length;
}

/** 50th and 99th percentile of what is asked one by one, ms. */
async function timesOf(perSecond: number, ask: () => Promise<unknown>): Promise<readonly [number, number]> {
  const times: number[] = [];
  const asking: Promise<void>[] = [];
  const startedAt = performance.now();
  for (let asked = 0; asked < perSecond * 5;) {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond);
    for (; asked < due; asked++) {
      const askedAt = performance.now();
      asking.push(ask().then(() => void times.push(performance.now() - askedAt)));
    }
    await Bun.sleep(1);
  }
  await Promise.all(asking);
  times.sort((a, b) => a - b);
  return [times[Math.floor(times.length / 2)] ?? 0, times[Math.floor(times.length * 0.99)] ?? 0];
}

async function main(): Promise<void> {
  const next = zipf();
  const live = values.redis === undefined ? await LiveRedis.start() : undefined;
  const url = values.redis ?? live?.url ?? "";
  try {
    const alone = await memoryAlone(next);
    console.log(`memory alone, ${held} of ${users} users: ${percent(alone.hitRatio)} hits`);

    const ids = Array.from({ length: requests }, () => toUserId(next()));
    const off = createCountedStore(storageMs);
    const offTrips = await askAll(storageTierOf(off), off, ids);

    const on = createCountedStore(storageMs);
    const tiers = tiersOver(storageTierOf(on), url);
    const { shared, users: memory } = tiers;
    while (tiers.stats().doubts < 2) await Bun.sleep(10);
    await warmUp(url);
    // The users most asked for are in memory as well, as after a while.
    for (let id = Math.floor(held * 0.8); id > 0; id -= 200) {
      await memory.read(Array.from({ length: Math.min(200, id) }, (_, at) => toUserId(id - at)));
    }
    const [before, beforeShared] = [memory.stats(), shared.stats()];
    const onTrips = await askAll(memory, on, ids);
    const [after, afterShared] = [memory.stats(), shared.stats()];
    const misses = afterShared.misses - beforeShared.misses;
    const hitRatio = 1 - misses / requests;
    const memoryRatio = (after.hits - before.hits) / requests;
    console.log(
      `memory over Redis: ${percent(memoryRatio)} hits in memory, ${percent(hitRatio)} in both; ` +
        `storage round trips a request: off ${offTrips.toFixed(3)}, on ${onTrips.toFixed(3)}: ${percent(1 - onTrips / offTrips)} fewer`,
    );

    const updateTrips: Record<number, number> = {};
    for (const atATime of [50, 2_000]) {
      const updated = Array.from({ length: 50_000 }, () => toUserId(next()));
      const trips = (updateTrips[atATime] = await updateAll(memory, on, updated, atATime));
      console.log(`updates, ${atATime} at a time: ${trips.toFixed(4)} storage round trips each`);
    }

    const bare = new Redis(url, { enableAutoPipelining: true });
    const times: Record<string, readonly [number, number]> = {};
    for (const perSecond of [2_000, 10_000]) {
      // Among those that Redis holds.
      const id = (): UserId => toUserId(((next() * 31) % warm) + 1);
      const [p50, p99] = (times[perSecond] = await timesOf(perSecond, () => shared.read([id()])));
      const [bare50, bare99] = (times[`bare ${perSecond}`] = await timesOf(perSecond, () => bare.ping()));
      console.log(
        `a hit in Redis at ${perSecond} a second: p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms ` +
          `(a bare PING ${bare50.toFixed(2)} and ${bare99.toFixed(2)} ms)`,
      );
    }
    bare.disconnect();
    console.log(tiers.stats());
    if (values.json)
      console.log(JSON.stringify({ aloneRatio: alone.hitRatio, hitRatio, offTrips, onTrips, updateTrips, times }));
    await tiers.stop();
  } finally {
    await live?.stop();
  }
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)} %`;
}

await main();
