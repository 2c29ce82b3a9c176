/** What only a real Redis can do to the leases. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { LeaseStore } from "../../src/leases/store.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { openRedisLeaseStore } from "./redis-leases-rig.ts";
import { LiveRedis } from "./redis-server.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const beat = { member: "a", info: "{}", ttlMs: 60_000, seen: undefined, forget: [] };
const open: { stop(): unknown }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.stop();
});

async function start(args: readonly string[] = []): Promise<{ redis: LiveRedis; store: LeaseStore }> {
  const redis = await LiveRedis.start(args);
  const store = openRedisLeaseStore(redis.url);
  open.push(redis, store);
  store.start({ onChanged: () => {}, onTold: () => {}, onUsable: () => {} });
  await until(async () => (await store.renew(beat)) !== undefined);
  return { redis, store };
}

describeLive("the lease store in Redis", [own(redisServer)], () => {
  test("goes on where Redis is full", async () => {
    const { redis, store } = await start(["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]);
    const isFull = async (): Promise<boolean> => {
      try {
        await redis.command("APPEND", "filling", "x".repeat(100_000));
        return false;
      } catch {
        return true;
      }
    };
    await until(isFull);
    expect((await store.renew(beat)).members.map(({ id }) => id)).toEqual(["a"]);
    const taken = await store.take({ member: "a", nonce: "x", claims: new Map([["p0", ""]]) });
    expect(taken.get("p0")).toBe("1:a-x");
    await store.give("a", taken);
    await store.leave("a", new Map());
  });

  test("takes and gives back claims where its user may not use channels", async () => {
    const redis = await LiveRedis.start();
    await redis.command("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels");
    const store = openRedisLeaseStore(redis.url.replace("redis://", "redis://mute:pw@"));
    open.push(redis, store);
    store.start({ onChanged: () => {}, onTold: () => {}, onUsable: () => {} });
    await until(async () => (await store.renew(beat).catch(() => undefined)) !== undefined);
    const taken = await store.take({ member: "a", nonce: "x", claims: new Map([["p0", ""]]) });
    expect(taken.get("p0")).toBe("1:a-x");
    await store.give("a", taken);
    await store.leave("a", new Map());
  });

  test("takes no claim whose token it does not know", async () => {
    const { redis, store } = await start();
    for (const token of ["somebody", "7:", "7:b", "b-x"]) {
      await redis.command("HSET", "botfleet:inbox:{s0}:claims", "p0", token);
      expect((await store.take({ member: "a", nonce: "x", claims: new Map([["p0", token]]) })).size).toBe(0);
    }
  });

  test("says of a restarted server that it is another one, and answers its claims", async () => {
    const { redis, store } = await start(["--appendonly", "yes", "--appendfsync", "always"]);
    await store.take({ member: "a", nonce: "x", claims: new Map([["p0", ""]]) });
    const before = await store.renew(beat);
    await redis.kill();
    await redis.boot();
    await until(async () => (await store.renew(beat)) !== undefined);
    const after = await store.renew({ ...beat, seen: before.seen });
    expect(after.run).not.toBe(before.run);
    expect(after.claims).toEqual(new Map([["p0", "1:a-x"]]));
  });
});
