/**
 * What a Redis that fails does to a fleet of two under load: the rows of the README's table of disasters that are Redis's, on a real one.
 * A row where nothing may be lost allows no answer twice either: no process dies, and Telegram always answers.
 */
import { expect, test } from "bun:test";
import { statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../config/limits.ts";
import { type Load, startLoad } from "../../src/simulator/generator.ts";
import type { OracleReport } from "../../src/simulator/oracle.ts";
import { until } from "../chaos/rig.ts";
import { createFleetRig, type FleetRig, type Owned, ownersIn, watchReady } from "./fleet-rig.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { lettersIn, unsettledIn } from "./redis-contents.ts";
import { always } from "./redis-inbox-rig.ts";
import { areWatching, startSentinels } from "./redis-sentinels.ts";
import { freePort, LiveRedis } from "./redis-server.ts";

const bots = 2;
const chats = 60;
const perSecond = 60;
const everysec = ["--appendonly", "yes", "--appendfsync", "everysec"];
/** Long enough for `/ready` to say so, ms. */
const troubleMs = 7_000;
/** Promised, ms. */
const toldMaxMs = 5_000;
/** After the trouble nothing waits for longer than a lane does, ms. */
const recoveryMaxMs = limits.pipeline.outageCapMs;
const lost: ReadonlySet<string> = new Set(["inbox_lost", "leases_lost"]);

interface Trouble {
  begin(load: Load): Promise<void>;
  /** Between `begin` and `end`. */
  during?(rig: FleetRig): Promise<void>;
  end(): Promise<void>;
  /** From its begin to its end. */
  readonly lastsMs?: number;
}

interface Ride {
  readonly report: OracleReport;
  /** From when the trouble had begun until each instance said so, ms; infinite where it did not. */
  readonly toldMs: readonly number[];
  /** From its end until both instances were ready, ms. */
  readonly readyMs: number;
  /** Longest time that `/ready` took to answer, ms. */
  readonly slowestMs: number;
  /** As each instance sees them. */
  readonly ownersBefore: readonly (readonly Owned[])[];
  readonly owners: readonly (readonly Owned[])[];
}

/** A fleet of two under load, through `trouble`, until everything is settled and both have ended in order. `redis`: the one that serves at the end. */
async function ride(url: string, redis: LiveRedis, trouble: Trouble): Promise<Ride> {
  await using rig = await createFleetRig({ redisUrl: url, bots, module: "waiting" });
  await Promise.all([rig.begin().started, rig.begin().started]);
  await rig.shared();
  const load = startLoad(rig.simulator.api, { chats, perSecond, pick: "random" }, Math.random);
  await until("some answers", () => rig.answers.count > 150);
  const ownersNow = async () => (await Promise.all(rig.instances.map((each) => each.status()))).map(ownersIn);
  const ownersBefore = await ownersNow();
  const watched = rig.instances.map(watchReady);
  await trouble.begin(load);
  const begunAtMs = performance.now();
  await trouble.during?.(rig);
  await until("its end", () => performance.now() - begunAtMs > (trouble.lastsMs ?? troubleMs), 60_000);
  const endedAtMs = performance.now();
  await trouble.end();
  await until("both ready", () => watched.every(({ answers }) => answers.at(-1)?.status === 200), recoveryMaxMs);
  const readyMs = performance.now() - endedAtMs;
  const count = rig.answers.count;
  await until("further answers", () => rig.answers.count > count + 2 * perSecond, recoveryMaxMs);
  load.stop();
  await rig.idle(redis);
  await rig.shared();
  const owners = await ownersNow();
  await Promise.all(watched.map((each) => each.stop()));
  for (const instance of rig.instances) instance.kill("SIGTERM");
  expect(await Promise.all(rig.instances.map(({ exited }) => exited))).toEqual([0, 0]);
  expect(await lettersIn(redis)).toEqual([]);
  const toldMs = watched.map(({ answers }) => {
    const told = answers.find(({ status, codes }) => status === 503 && codes.some((code) => lost.has(code)));
    return (told?.atMs ?? Infinity) - begunAtMs;
  });
  return {
    report: load.oracle.report(),
    toldMs,
    readyMs,
    slowestMs: Math.max(...watched.map(({ slowestMs }) => slowestMs)),
    ownersBefore,
    owners,
  };
}

function expectSaid(trouble: string, { report, toldMs, readyMs, slowestMs }: Ride, isLong = true): void {
  console.log(`  ${trouble}: ${JSON.stringify({ ...report, toldMs, readyMs, slowestMs })}`);
  expect(report).toMatchObject({ reordered: 0, doubled: 0, strange: 0 });
  // A machine that is busy with other things may be late, but by no more than its answers are.
  if (isLong) for (const ms of toldMs) expect(ms).toBeLessThan(toldMaxMs + slowestMs);
  expect(slowestMs).toBeLessThan(toldMaxMs);
}

/** Nothing is lost, and nobody has taken over what the other one still had. */
function expectWhole({ report, ownersBefore, owners }: Ride): void {
  expect(report.lost).toBe(0);
  expect(owners).toEqual(ownersBefore);
}

/** Two rows at a time: each has a Redis and two processes. */
const turns = [Promise.resolve(), Promise.resolve()];
let rows = 0;

function row(title: string, args: readonly string[], act: (redis: LiveRedis) => Promise<void>): void {
  const turn = rows++ % turns.length;
  test.concurrent(
    title,
    async () => {
      const before = turns[turn];
      const { promise, resolve } = Promise.withResolvers<void>();
      turns[turn] = promise;
      await before;
      const redis = await LiveRedis.start(args);
      try {
        await act(redis);
      } finally {
        await redis.stop();
        resolve();
      }
    },
    300_000,
  );
}

describeLive("a fleet of two under load", [own(redisServer)], () => {
  row("goes on with the same claims where Redis hangs for 20 s", always, async (redis) => {
    const found = await ride(redis.url, redis, {
      begin: async () => redis.signal("SIGSTOP"),
      end: async () => redis.signal("SIGCONT"),
      lastsMs: 20_000,
    });
    expectSaid("hung", found);
    expectWhole(found);
  });

  row("loses nothing where Redis is killed and started again (AOF always)", always, async (redis) => {
    const found = await ride(redis.url, redis, { begin: () => redis.kill(), end: () => redis.boot() });
    expectSaid("killed, AOF always", found);
    expectWhole(found);
  });

  row(
    "loses at most what the last second brought where that never came to the disk (AOF everysec)",
    everysec,
    async (redis) => {
      let lastSecond = 0;
      const found = await ride(redis.url, redis, {
        async begin({ oracle }) {
          const [, folder = ""] = (await redis.command("CONFIG", "GET", "dir")) as readonly string[];
          const file = join(folder, "appendonlydir", "appendonly.aof.1.incr.aof");
          const [onDisk, sent] = [statSync(file).size, oracle.report().sent];
          await until("a second's worth", () => oracle.report().sent - sent >= perSecond * 0.9);
          lastSecond = oracle.report().sent - sent;
          await redis.kill();
          expect(statSync(file).size).toBeGreaterThan(onDisk);
          truncateSync(file, onDisk);
        },
        end: () => redis.boot(),
      });
      expectSaid(`killed, AOF everysec, ${lastSecond} in the last second`, found);
      expect(found.report.lost).toBeLessThanOrEqual(lastSecond);
    },
  );

  row("waits for a Redis that has become a read-only replica", always, async (redis) => {
    const nowhere = await freePort();
    const found = await ride(redis.url, redis, {
      begin: async () => void (await redis.command("REPLICAOF", "127.0.0.1", nowhere)),
      end: async () => void (await redis.command("REPLICAOF", "NO", "ONE")),
    });
    expectSaid("read-only", found);
    expectWhole(found);
  });

  row(
    "stops polling while Redis is full, settles what it has, and goes on where there is room",
    always,
    async (redis) => {
      const found = await ride(redis.url, redis, {
        begin: async () => void (await redis.command("CONFIG", "SET", "maxmemory", 1)),
        async during({ instances, simulator }) {
          const texts = async () =>
            (await Promise.all(instances.map((each) => each.page("/ready")))).map(({ text }) => text);
          // It works, and no other instance has more room: said, and not taken out.
          const isSaid = async () => (await texts()).every((text) => text.includes("disk_full"));
          await until("said", isSaid, limits.inbox.diskCheckMs + limits.redisInbox.callMaxMs);
          await until("settled", async () => (await unsettledIn(redis)).length === 0);
          await until("polls ended", () => [...simulator.api.bots.values()].every(({ poll }) => !poll.waiting));
        },
        end: async () => void (await redis.command("CONFIG", "SET", "maxmemory", 0)),
      });
      expectSaid("full", found, false);
      expectWhole(found);
    },
  );

  row("goes on with the replica that three sentinels choose", always, async (primary) => {
    const replica = await LiveRedis.start([...always, "--replicaof", "127.0.0.1", String(primary.port)]);
    const sentinels = await startSentinels(primary.port);
    try {
      await until("agreed", () => areWatching(sentinels.hosts));
      const url = `redis+sentinel://${sentinels.hosts}/main`;
      const isPrimary = async () => String(await replica.command("ROLE").catch(() => "")).startsWith("master");
      const found = await ride(url, replica, {
        begin: () => primary.kill(),
        during: () => until("a new primary", isPrimary),
        // Comes back as a primary of its own, until the sentinels make it a replica.
        end: () => primary.boot(),
      });
      expectSaid("fail-over", found, false);
      expect(found.report.lost).toBe(0);
    } finally {
      await sentinels.stop();
      await replica.stop();
    }
  });
});
