/** The second tier over a real Redis that is killed, frozen, filled up, restarted and read only: nobody who asks for a user hears of it. Longer than other files because the troubles of one Redis belong side by side. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { createRedisCache } from "../../src/cache/redis.ts";
import { systemClock } from "../../src/clock.ts";
import { toUserId, type UserId } from "../../src/ids.ts";
import type { User } from "../../src/users/user.ts";
import { userOf } from "../support/users.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { redisLimits, startInstance, until, type LiveInstance, type LiveOptions } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(30_000);

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.stop();
});

async function startRedis(args: readonly string[] = [], password?: string): Promise<LiveRedis> {
  const redis = await LiveRedis.start(args, password);
  open.push(redis);
  return redis;
}

async function startOver(redis: LiveRedis, options: Partial<LiveOptions> = {}) {
  const storage = new Map<UserId, User>();
  for (let id = 1; id <= 100; id++) storage.set(toUserId(id), userOf(id, 1));
  let storageReads = 0;
  const start = (more: Partial<LiveOptions> = {}): LiveInstance => {
    const instance = startInstance({
      url: redis.url,
      storage,
      onStorageRead: (users) => void (storageReads += users),
      ...options,
      ...more,
    });
    open.push(instance.shared);
    return instance;
  };
  const instance = start();
  await until(async () => {
    await instance.shared.read([toUserId(1)]);
    return instance.shared.stats().hits > 0;
  });
  /** Stored, and told. */
  const write = (id: number, by = instance): void => {
    const next = userOf(id, (storage.get(toUserId(id))?.version ?? 0) + 1);
    storage.set(next.telegramId, next);
    by.memory.stored([next]);
  };
  const read = async (id: number, by = instance) => (await by.memory.read([toUserId(id)])).get(toUserId(id))?.version;
  return { instance, start, storage, write, read, storageReads: () => storageReads };
}

/** The longest of many reads, ms. */
async function longestRead(instance: LiveInstance, forMs: number): Promise<number> {
  let [longestMs, unanswered] = [0, 0];
  const startedAt = performance.now();
  for (let id = 1; performance.now() - startedAt < forMs; id = (id % 100) + 1) {
    const askedAt = performance.now();
    if ((await instance.shared.read([toUserId(id)])).size !== 1) unanswered++;
    longestMs = Math.max(longestMs, performance.now() - askedAt);
  }
  expect(unanswered).toBe(0);
  return longestMs;
}

describeLive("the second tier over Redis", [own(redisServer)], () => {
  test("what one instance stores is what the other one reads, whatever that one held", async () => {
    const { instance, start, write, read } = await startOver(await startRedis());
    const other = start();
    await until(async () => (await other.shared.read([toUserId(1)])).size === 1 && other.shared.stats().hits > 0);
    for (let round = 2; round < 20; round++) {
      expect(await read(1, other)).toBe(round - 1);
      write(1, instance);
      await until(() => other.memory.held(toUserId(1)) === undefined);
      expect(await read(1, other)).toBe(round);
    }
  });

  test("a Redis that is killed is passed by, and asked again when it is back", async () => {
    const redis = await startRedis();
    const { instance, write, read } = await startOver(redis);
    await redis.kill();
    expect(await longestRead(instance, 1_000)).toBeLessThan(redisLimits.callMaxMs * 4);
    await until(() => instance.states.at(-1) === "open");
    write(7);
    expect(instance.shared.stats().owed).toBe(1);
    expect(await read(7)).toBe(2);
    await redis.boot();
    await until(() => instance.states.at(-1) === "closed");
    expect(instance.shared.stats().owed).toBe(0);
    const { hits } = instance.shared.stats();
    await until(async () => {
      await instance.shared.read([toUserId(7)]);
      return instance.shared.stats().hits > hits;
    });
  });

  test("a Redis that hangs is waited for until the deadline of a call, and what it does afterwards makes nothing stale", async () => {
    const redis = await startRedis();
    const { instance, write, read, storage } = await startOver(redis);
    const other = await startOver(redis, { storage });
    for (let id = 1; id <= 20; id++) expect(await read(id)).toBe(1);
    redis.signal("SIGSTOP");
    for (let id = 1; id <= 20; id++) write(id);
    const reads = Array.from({ length: 20 }, (_, at) => other.read(at + 30, other.instance));
    expect(await longestRead(instance, 1_500)).toBeLessThan(redisLimits.callMaxMs * 4);
    await Promise.all(reads);
    expect(instance.states.at(-1)).toBe("open");
    redis.signal("SIGCONT");
    await until(() => instance.states.at(-1) === "closed" && other.instance.states.at(-1) === "closed");
    for (let id = 1; id <= 20; id++) expect([id, await read(id), await other.read(id)]).toEqual([id, 2, 2]);
  });

  test("a full Redis that evicts nothing holds nothing old, and is used again when there is room", async () => {
    const redis = await startRedis(["--maxmemory-policy", "noeviction"]);
    const { instance, write, read, storage } = await startOver(redis);
    const other = await startOver(redis, { storage });
    for (let id = 1; id <= 50; id++) await Promise.all([read(id), other.read(id)]);
    await redis.command("CONFIG", "SET", "maxmemory", 1);
    for (let id = 1; id <= 50; id++) write(id);
    await until(async () => (await redis.command("EXISTS", "botfleet:u1:test:fleet")) === 0);
    for (let id = 1; id <= 50; id++) expect([id, await read(id), await other.read(id)]).toEqual([id, 2, 2]);
    await redis.command("CONFIG", "SET", "maxmemory", 0);
    const { hits } = instance.shared.stats();
    await until(async () => {
      await instance.shared.read([toUserId(1)]);
      return instance.shared.stats().hits > hits;
    });
    expect(instance.errors).toEqual([]);
  });

  test("a Redis that evicts nothing is not filled up by users: others find room", async () => {
    const redis = await startRedis(["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    const { instance, storage } = await startOver(redis, { heldMax: 10 });
    for (let id = 1_000; id < 30_000; id++) storage.set(toUserId(id), userOf(id, 1));
    for (let from = 1_000; from < 30_000; from += 500) {
      const ids = Array.from({ length: 500 }, (_, at) => toUserId(from + at));
      expect((await instance.shared.read(ids)).size).toBe(500);
      // Beats ten times a second here.
      await Bun.sleep(20);
    }
    const held = Number(await redis.command("DBSIZE"));
    expect(held).toBeGreaterThan(1_000);
    expect(held).toBeLessThan(15_000);
    expect(await redis.command("SET", "another", "x".repeat(100_000))).toBe("OK");
    expect(instance.states).toEqual([]);
  });

  test("a Redis that comes back with what it held before is not believed", async () => {
    const redis = await startRedis();
    const { instance, write, read } = await startOver(redis);
    for (let id = 1; id <= 50; id++) await read(id);
    await redis.command("SAVE");
    for (let id = 1; id <= 50; id++) write(id);
    await until(() => instance.shared.stats().owed === 0);
    await redis.kill();
    await redis.boot();
    expect(await redis.command("DBSIZE")).toBeGreaterThan(50);
    await until(() => instance.states.at(-1) === "closed" && instance.states.length > 0);
    for (let id = 1; id <= 50; id++) expect([id, await read(id)]).toEqual([id, 2]);
    const reader = await startOver(redis, { storage: new Map([[toUserId(1), userOf(1, 2)]]) });
    expect(await reader.read(1)).toBe(2);
  });

  test("an instance that dies before it has told what it stored leaves nothing that is believed", async () => {
    const redis = await startRedis();
    const { instance, read, storage, start } = await startOver(redis);
    const dying = start();
    await until(async () => (await dying.shared.read([toUserId(2)])).size === 1 && dying.shared.stats().hits > 0);
    for (let id = 1; id <= 20; id++) expect(await read(id)).toBe(1);
    for (let id = 1; id <= 20; id++) storage.set(toUserId(id), userOf(id, 2));
    // As a process that is gone: it beats no more, and says no goodbye.
    await dying.redis.stop();
    await until(async () => (await read(1)) === 2);
    for (let id = 1; id <= 20; id++) expect([id, await read(id)]).toEqual([id, 2]);
    expect(instance.states).toEqual([]);
  });

  test("the next life of an instance that died does not believe what that may have left", async () => {
    const redis = await startRedis();
    const { instance, read, storage, start } = await startOver(redis);
    for (let id = 1; id <= 20; id++) expect(await read(id)).toBe(1);
    for (let id = 1; id <= 20; id++) storage.set(toUserId(id), userOf(id, 2));
    await instance.redis.stop();
    const next = start({ dead: [instance.sender] });
    for (let id = 1; id <= 20; id++) expect([id, await read(id, next)]).toEqual([id, 2]);
    await until(() => next.shared.stats().doubts > 0);
    for (let id = 1; id <= 20; id++) expect([id, await read(id, next)]).toEqual([id, 2]);
  });

  test("scripts that were flushed, connections that were killed and messages that were lost with them are got over", async () => {
    const redis = await startRedis();
    const { instance, write, read, storage } = await startOver(redis);
    const other = await startOver(redis, { storage });
    for (let round = 2; round < 12; round++) {
      for (let id = 1; id <= 10; id++) await Promise.all([read(id), other.read(id)]);
      if (round % 3 === 0) await redis.command("SCRIPT", "FLUSH");
      if (round % 3 === 1) await redis.command("CLIENT", "KILL", "TYPE", "pubsub");
      for (let id = 1; id <= 10; id++) write(id);
      if (round % 3 === 2) await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      const isSame = async () => {
        for (let id = 1; id <= 10; id++)
          if ((await other.read(id)) !== round || (await read(id)) !== round) return false;
        return true;
      };
      await until(isSame);
    }
    expect(instance.shared.stats().breaker).toBe("closed");
  });

  test("a Redis that became a replica is read no longer than its beats go through", async () => {
    const redis = await startRedis();
    const { instance, read, write } = await startOver(redis);
    await read(5);
    await redis.command("CONFIG", "SET", "replica-serve-stale-data", "yes");
    await redis.command("REPLICAOF", "127.0.0.1", 1);
    write(5);
    expect(await longestRead(instance, 1_000)).toBeLessThan(redisLimits.callMaxMs * 4);
    expect(await read(5)).toBe(2);
    await redis.command("REPLICAOF", "NO", "ONE");
    await until(() => instance.shared.stats().breaker === "closed" && instance.shared.stats().owed === 0);
    await until(async () => (await instance.shared.read([toUserId(5)])).get(toUserId(5))?.version === 2);
  });

  test("a Redis that is still loading is passed by", async () => {
    const redis = await startRedis();
    const { instance, read } = await startOver(redis);
    await redis.command("DEBUG", "POPULATE", 20_000).catch(() => {});
    await redis.command("EVAL", "for i = 1, 20000 do redis.call('SET', 'x' .. i, i) end", 0);
    await redis.command("SAVE");
    await redis.kill();
    await until(() => instance.states.at(-1) === "open");
    await redis.boot(["--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024"]);
    expect(await longestRead(instance, 500)).toBeLessThan(redisLimits.callMaxMs * 4);
    expect(await read(9)).toBe(1);
    await until(() => instance.states.at(-1) === "closed");
  });

  test("opens the least number of connections in the background, one of them to listen, and more while all are busy", async () => {
    const redis = await startRedis();
    const listed = async (): Promise<readonly string[]> =>
      String(await redis.command("CLIENT", "LIST"))
        .split("\n")
        .flatMap((line) => /name=(botfleet-\S+)/.exec(line)?.[1] ?? []);
    const { instance } = await startOver(redis, { connectionsMin: 5, connectionsMax: 7 });
    await until(async () => (await listed()).length === 5);
    expect((await listed()).filter((name) => name === "botfleet-cache-listening").length).toBe(1);
    // Each call alone: that many of them are in flight on every connection.
    const keys = ["1"];
    for (let round = 0; round < 3; round++) {
      await Promise.allSettled(Array.from({ length: 9_000 }, () => instance.redis.get(keys)));
    }
    await until(async () => (await listed()).length === 7);
    expect(instance.redis.stats().connections).toBe(7);
    await instance.shared.stop();
    await until(async () => (await listed()).length === 0);
  });

  describe("credentials", () => {
    const secret = "s3cret-never-shown";
    const cacheOf = (url: string) => {
      const cache = createRedisCache({
        url,
        space: "test",
        clock: systemClock,
        ttlMs: 1_000,
        connectionsMax: 2,
        connectionsMin: 2,
        limits: redisLimits,
      });
      open.push(cache);
      return cache;
    };

    test("that are right, wrong or missing are told apart from a server that cannot be reached", async () => {
      const redis = await startRedis([], secret);
      const { port } = new URL(redis.url);
      expect(await cacheOf(redis.url).firstAnswer(5_000)).toBe("ready");
      for (const wrong of [
        `redis://:wrong@127.0.0.1:${port}`,
        `redis://127.0.0.1:${port}`,
        `redis://nobody:${secret}@127.0.0.1:${port}`,
      ]) {
        expect([wrong, await cacheOf(wrong).firstAnswer(5_000)]).toEqual([wrong, "refused"]);
      }
      await redis.kill();
      expect(await cacheOf(redis.url).firstAnswer(5_000)).toBe("unreachable");
    });

    test("are in no error", async () => {
      const redis = await startRedis([], "another");
      const cache = cacheOf(redis.url.replace("another", secret));
      await cache.firstAnswer(5_000);
      const errors: unknown[] = [];
      for (const call of [cache.get(["1"]), cache.write([{ key: "1", version: 0, row: "" }], "m")]) {
        await call.catch((error: unknown) => void errors.push(error));
      }
      expect(errors.length).toBe(2);
      for (const error of errors) expect(Bun.inspect(error, { depth: 10 })).not.toContain(secret);
    });
  });
});
