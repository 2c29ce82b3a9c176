/** Three members of a fleet over a real Redis, with their true times: even, dead, stopped; Redis hung, and dead. */
import { afterEach, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../src/clock.ts";
import { toBotId } from "../../src/ids.ts";
import { createRedisLeases } from "../../src/leases/redis.ts";
import { SharedLeases } from "../../src/leases/shared.ts";
import { Held, leaseLimits, Wire } from "../leases/rig.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { always } from "./redis-inbox-rig.ts";
import { connectionLimits, newName, openRedisLeaseStore } from "./redis-leases-rig.ts";
import { LiveRedis } from "./redis-server.ts";
import { until } from "./until.ts";

setDefaultTimeout(120_000);

const partitions = 24;
const bots = Array.from({ length: 20 }, (_, at) => toBotId(7_000_000_000 + at));
const claims = `botfleet:inbox:{s0}:claims`;

interface Member {
  readonly leases: SharedLeases;
  readonly held: Held;
}

let redis: LiveRedis;
let members: Member[];

beforeEach(async () => {
  redis = await LiveRedis.start(always);
  members = Array.from({ length: 3 }, () => join());
});
afterEach(async () => {
  await Promise.all(members.map(({ leases }) => leases.stop()));
  await redis.stop();
});

/** The times of a fleet that notices everything five times as fast. */
const fastLimits = { ...leaseLimits, renewMs: 200, ttlMs: 1_000, giveUpMs: 800 };

function options(limits = leaseLimits) {
  return {
    url: redis.url,
    bots,
    partitions,
    clock: systemClock,
    newName,
    host: "here",
    version: "1.2.3",
    limits: { ...limits, ...connectionLimits },
  };
}

function join(leases: SharedLeases = createRedisLeases(options())): Member {
  const held = new Held();
  leases.start(held);
  return { leases, held };
}

const countsOf = (kind: string, of: readonly Member[]): number[] =>
  of.map(({ held }) => held.valid().filter((name) => name.startsWith(kind)).length);

function isShared(of: readonly Member[]): boolean {
  return [
    ["b", bots.length],
    ["p", partitions],
  ].every(([kind, most]) => {
    const counts = countsOf(String(kind), of);
    return counts.reduce((sum, count) => sum + count, 0) === most && Math.max(...counts) - Math.min(...counts) <= 1;
  });
}

async function tokens(): Promise<unknown> {
  const pairs = (await redis.command("HGETALL", claims)) as string[];
  return Object.fromEntries(pairs.flatMap((name, at) => (at % 2 === 0 ? [[name, pairs[at + 1]]] : [])));
}

/** How long it takes until `holds`, ms. */
async function timeUntil(holds: () => boolean): Promise<number> {
  const startedAt = performance.now();
  await until(holds, 60_000);
  return performance.now() - startedAt;
}

describeLive("three members over Redis", [own(redisServer)], () => {
  test("share bots and partitions evenly, and those of one that dies are taken over within 15 s", async () => {
    const others = members;
    const wire = new Wire(openRedisLeaseStore(redis.url));
    const mortal = join(new SharedLeases({ ...options(), store: wire }));
    members = [...others, mortal];
    await until(() => isShared(members));
    wire.state = "down";
    const tookMs = await timeUntil(() => isShared(others));
    console.log(`taken over after ${Math.round(tookMs)} ms`);
    expect(tookMs).toBeLessThan(15_000);
    expect(mortal.held.valid()).toEqual([]);
  });

  test("have what a member had that stops within 2 s, and what one is to have that comes", async () => {
    await until(() => isShared(members));
    const [first, ...others] = members;
    const stopped = first?.leases.stop();
    const tookMs = await timeUntil(() => isShared(others));
    await stopped;
    console.log(`handed over in ${Math.round(tookMs)} ms`);
    expect(tookMs).toBeLessThan(2_000);
    members = [...others, join()];
    console.log(`shared again in ${Math.round(await timeUntil(() => isShared(members)))} ms`);
  });

  test("have the same tokens after Redis has hung for 20 s, and begin nothing meanwhile", async () => {
    await until(() => isShared(members));
    const before = await tokens();
    redis.signal("SIGSTOP");
    const hungAt = performance.now();
    try {
      await until(() => members.every(({ held }) => held.valid().length === 0));
      for (const { leases } of members) expect(leases.lostSince()).toBeGreaterThan(0);
      await until(() => performance.now() - hungAt > 20_000, 30_000);
    } finally {
      redis.signal("SIGCONT");
    }
    console.log(`valid again after ${Math.round(await timeUntil(() => isShared(members)))} ms`);
    // Until whoever had taken another one for dead would have taken over.
    const backAt = performance.now();
    await until(() => performance.now() - backAt > leaseLimits.ttlMs + 2 * leaseLimits.renewMs);
    expect(await tokens()).toEqual(before);
    expect(isShared(members)).toBe(true);
    for (const { leases } of members) expect(leases.counts()).toMatchObject({ lost: 0, lapses: 1 });
  });

  test("have the same tokens after Redis was killed and started again", async () => {
    await Promise.all(members.map(({ leases }) => leases.stop()));
    members = Array.from({ length: 3 }, () => join(createRedisLeases(options(fastLimits))));
    await until(() => isShared(members));
    const before = await tokens();
    await redis.kill();
    await until(() => members.every(({ held }) => held.valid().length === 0));
    await redis.boot();
    await until(() => isShared(members));
    const backAt = performance.now();
    await until(() => performance.now() - backAt > 3 * fastLimits.ttlMs);
    expect(await tokens()).toEqual(before);
    for (const { leases } of members) expect(leases.counts().lost).toBe(0);
  });

  test("see each other, and who has what", async () => {
    await until(() => isShared(members));
    await until(() => members.every(({ leases }) => leases.fleet()?.partitions.size === partitions));
    const ids = members.map(({ leases }) => leases.member).toSorted();
    for (const { leases } of members) {
      const view = leases.fleet();
      expect(view?.members.map(({ id }) => id).toSorted()).toEqual(ids);
      expect(view?.members.every(({ alive, host }) => alive && host === "here")).toBe(true);
      expect(view?.bots.size).toBe(bots.length);
    }
  });
});
