/** The second tier over a Redis that three real sentinels watch: the primary dies, a replica takes its place. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { toUserId, type UserId } from "../../src/ids.ts";
import type { User } from "../../src/users/user.ts";
import { userOf } from "../support/users.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { type LiveInstance, startInstance, until } from "./redis-rig.ts";
import { areWatching, startSentinels } from "./redis-sentinels.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(60_000);

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.stop().catch(() => {});
});

function opened<T extends { stop(): Promise<unknown> }>(each: T): T {
  open.push(each);
  return each;
}

const person = toUserId(1);

async function isHit({ shared }: LiveInstance): Promise<boolean> {
  const { hits } = shared.stats();
  await shared.read([person]);
  return shared.stats().hits > hits;
}

describeLive("a cache whose Redis fails over", [own(redisServer)], () => {
  test("is served by the replica, from which nothing old is believed", async () => {
    const primary = opened(await LiveRedis.start([], "pa:ss"));
    const replicaOf = ["--replicaof", "127.0.0.1", String(primary.port), "--masterauth", "pa:ss"];
    const replica = opened(await LiveRedis.start(replicaOf, "pa:ss"));
    const { hosts } = opened(await startSentinels(primary.port, "pa:ss"));
    const storage = new Map<UserId, User>([[person, userOf(1, 1)]]);
    const url = `redis+sentinel://:pa%3Ass@${hosts}/main/3`;
    const instance = startInstance({ url, storage, heldMax: 1 });
    open.push(instance.shared);
    // The first try may come before the sentinels answer; the password in the URL is that of the servers.
    expect(await instance.redis.firstAnswer(10_000)).not.toBe("refused");
    await until(() => instance.redis.stats().connections > 0);
    await until(() => isHit(instance));
    await until(() => areWatching(hosts));
    await primary.kill();
    await until(() => instance.states.at(-1) === "open");
    // Redis is not told, and its replica holds the user as it was.
    storage.set(person, userOf(1, 2));
    await until(() => instance.states.at(-1) === "closed");
    // Its connections were cut as it was promoted.
    await until(async () => String(await replica.command("ROLE").catch(() => "")).startsWith("master"));
    await until(() => isHit(instance));
    expect((await instance.shared.read([person])).get(person)?.version).toBe(2);
  });
});
