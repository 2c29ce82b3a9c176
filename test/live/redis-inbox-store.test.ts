/** What the store in Redis promises beyond what its model can show: late groups, take-overs that are asked for twice. */
import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { IoredisServer } from "../../src/redis/ioredis.ts";
import { scripts } from "../../src/inbox/redis-scripts.ts";
import { readAddress } from "../../src/redis/address.ts";
import { RedisStore } from "../../src/inbox/redis-store.ts";
import type { Argument, RedisServer } from "../../src/redis/server.ts";
import type { Group } from "../../src/inbox/store.ts";
import { toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { newWriter, openRedisStore, redisInboxLimits } from "./redis-inbox-rig.ts";
import { LiveRedis } from "./redis-server.ts";
import { systemClock } from "../../src/clock.ts";

setDefaultTimeout(30_000);

const bot = toBotId(9);
const seq = toSeq(1);

function group(parts: Partial<Group>): Group {
  return { now: 1_000, tokens: [""], marks: [], done: [], deaths: [], letters: [], appends: [], ...parts };
}

function appendOf(...ids: readonly number[]) {
  const columns = { lanes: ids.map(() => toLaneKey(1)), bodies: ids.map(() => "{}") };
  return { bot, token: "", receivedAt: 1_000, ids, ...columns, malformed: [] };
}

describeLive("the store of an inbox in Redis", [own(redisServer)], () => {
  let redis: LiveRedis;
  beforeAll(async () => {
    redis = await LiveRedis.start();
  });
  beforeEach(() => redis.command("FLUSHALL"));
  afterAll(() => redis.stop());

  test("does nothing of a group that Redis gets after a later one of the same process", async () => {
    const opened = Promise.withResolvers<void>();
    const [onFailed, onUsable] = [opened.reject, opened.resolve];
    const options = {
      name: "inbox",
      address: readAddress(redis.url),
      limits: redisInboxLimits,
      clock: systemClock,
      onFailed,
      onUsable,
    };
    const server = new IoredisServer(options);
    /** Arguments of a group that was given up before Redis had it. */
    const held: (readonly Argument[])[] = [];
    let isHolding = false;
    const holding: RedisServer = {
      run(script, keys, args) {
        if (!isHolding || script !== scripts.commit) return server.run(script, keys, args);
        held.push(args);
        return Promise.reject(new Error("no answer in time"));
      },
      send: (commands) => server.send(commands),
      waitForDisk: () => server.waitForDisk(),
      start: (events) => server.start(events),
      stop: () => server.stop(),
    };
    const store = new RedisStore({
      server: holding,
      writer: newWriter(),
      database: "0",
      partitions: 1,
      newName: () => 1,
      clock: systemClock,
      limits: redisInboxLimits,
      deduplicate: false,
      onPrepared: async () => {},
      waitsForDisk: () => false,
    });
    await opened.promise;
    await store.commit(group({ appends: [appendOf(1)] }));
    isHolding = true;
    const parts = { marks: [{ seq, attempts: 1, started: undefined, sends: undefined }], appends: [appendOf(2)] };
    expect(await store.commit(group(parts)).catch(String)).toContain("no answer in time");
    isHolding = false;
    await store.commit(group({ marks: [{ seq, attempts: 3, started: undefined, sends: undefined }] }));
    expect(await server.run(scripts.commit, ["botfleet:inbox:{s0}:"], held[0] ?? [])).toEqual(["late"]);
    const { entries } = await store.unsettled(toSeq(0), 10, 0);
    expect(entries.map(({ attempts }) => attempts)).toEqual([3]);
    await store.close(false);
  });

  test("keeps nothing of an entry that is settled", async () => {
    const { store } = await openRedisStore(redis.url);
    await store.commit(group({ appends: [appendOf(1, 2, 3)] }));
    const marks = [1, 2, 3].map((each) => ({ seq: toSeq(each), attempts: 1, started: true, sends: "[1]" }));
    await store.commit(group({ marks }));
    const death = { seq: toSeq(3), error: "boom", attempts: 1, sends: "[]", effectsUnknown: false };
    await store.commit(group({ done: [toSeq(1), toSeq(2)], deaths: [death] }));
    await store.commit(group({ letters: [{ kind: "drop", id: 1 }] }));
    await store.close(true);
    const keys = (await redis.command("KEYS", "*")) as readonly string[];
    const kept = keys.map((key) => key.replace("botfleet:inbox:{s0}:", "").replace(/^w:.*/, "w"));
    // Streams stay without entries, for they know the highest id.
    expect(kept.toSorted()).toEqual(["e0", "letters", "meta", "next", "runs", "w"]);
  });

  test("raises suspicion once, however often the same process asks for the partition", async () => {
    const { store: first } = await openRedisStore(redis.url);
    await first.takeOver(0, "");
    await first.commit(group({ appends: [appendOf(1)] }));
    await first.commit(group({ marks: [{ seq, attempts: undefined, started: true, sends: undefined }] }));
    await first.close(false);
    const { store: second } = await openRedisStore(redis.url);
    const suspicions = async () => (await second.unsettled(toSeq(0), 10, 0)).entries.map(({ suspicion }) => suspicion);
    await second.takeOver(0, "");
    await second.commit(group({ marks: [{ seq, attempts: undefined, started: true, sends: undefined }] }));
    await second.commit(group({ appends: [appendOf(2)] }));
    for (let asked = 0; asked < 3; asked++) await second.takeOver(0, "");
    expect(await suspicions()).toEqual(["alone", "none"]);
    await second.close(true);
  });
});
