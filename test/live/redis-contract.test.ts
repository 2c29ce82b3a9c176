/** The scripts of the real server do what the model does: the simulation shows something of Redis only as far as this holds. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { createRedisCache, type RedisCache } from "../../src/cache/redis.ts";
import { systemClock } from "../../src/clock.ts";
import { ModelCache } from "../support/model-cache.ts";
import { describeLive } from "./live.ts";
import { redisServer } from "./programs.ts";
import { redisLimits, until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

const redisTestUrl = process.env["REDIS_TEST_URL"];

describeLive("Redis and its model", [redisServer], () => {
  let server: LiveRedis | undefined;
  let redis: RedisCache;
  const space = `test_${crypto.randomUUID().replaceAll("-", "")}`;
  const heard: string[] = [];

  beforeAll(async () => {
    server = redisTestUrl === undefined ? await LiveRedis.start() : undefined;
    const url = redisTestUrl ?? server?.url ?? "";
    const [ttlMs, limits] = [60_000, { ...redisLimits, callMaxMs: 5_000 }];
    redis = createRedisCache({ url, space, clock: systemClock, ttlMs, connectionsMax: 2, connectionsMin: 2, limits });
    expect(await redis.firstAnswer(5_000)).toBe("ready");
    const listening = Promise.withResolvers<void>();
    redis.listen({
      onInterrupted: () => {},
      onListening: () => listening.resolve(),
      onMessage: (text) => void heard.push(text),
    });
    await listening.promise;
  });

  afterAll(async () => {
    await redis.stop();
    await server?.stop();
  });

  const key = fc.integer({ min: 1, max: 3 }).map(String);
  const version = fc.integer({ min: 0, max: 4 });
  const token = fc.constantFrom("t1", "t2", "t3");
  const generation = fc.constantFrom("g0", "g1", "g2");
  const row = fc.constantFrom("", "[1]", "Ж \r\n ' ] }", "d g0 9 x", "l t1 0");
  const sender = fc.constantFrom("a", "b");
  const step = fc.oneof(
    fc.record({ kind: fc.constant("get" as const), keys: fc.uniqueArray(key, { minLength: 1 }) }),
    fc.record({
      kind: fc.constant("lease" as const),
      keys: fc.uniqueArray(key, { minLength: 1 }),
      token,
      isFresh: fc.boolean(),
    }),
    fc.record({ kind: fc.constant("fill" as const), fill: fc.record({ key, token, generation, version, row }) }),
    fc.record({ kind: fc.constant("write" as const), change: fc.record({ key, version, row }) }),
    fc.record({
      kind: fc.constant("beat" as const),
      sender,
      candidate: generation,
      replaces: generation,
      dead: fc.uniqueArray(fc.constantFrom("a", "b", "c")),
    }),
    fc.record({ kind: fc.constant("leave" as const), sender }),
  );

  test("answer the same, hold the same and say the same, whatever is done", async () => {
    let rounds = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const model = new ModelCache({ ...redisLimits, ttlMs: 60_000 }, () => 0);
        const said: string[] = [];
        model.onPublish = (text) => void said.push(text);
        heard.length = 0;
        // Nothing is left of the round before.
        await redis.write(
          [1, 2, 3].map((each) => ({ key: String(each), version: 0, row: "" })),
          "clear",
        );
        for (const each of ["a", "b"]) await redis.leave(each, "clear");
        // The generation is the one thing that cannot be cleared: one that is known replaces it.
        rounds++;
        const known = `r${rounds}`;
        const before = await redis.beat({
          sender: "a",
          message: "clear",
          candidate: known,
          replaces: undefined,
          dead: [],
        });
        if (before !== known)
          await redis.beat({ sender: "a", message: "clear", candidate: known, replaces: before, dead: [] });
        model.beat({ sender: "a", message: "clear", candidate: known, replaces: undefined, dead: [] });
        said.length = 0;
        for (const each of steps) {
          switch (each.kind) {
            case "get":
              expect(await redis.get(each.keys)).toEqual(model.get(each.keys));
              break;
            case "lease":
              expect(await redis.lease(each.keys, each.token, each.isFresh)).toEqual(
                model.lease(each.keys, each.token, each.isFresh),
              );
              break;
            case "fill":
              await redis.fillIn([each.fill]);
              model.fillIn([each.fill]);
              break;
            case "write":
              await redis.write([each.change], "written");
              model.write([each.change], "written");
              break;
            case "beat": {
              const beat = {
                sender: each.sender,
                message: "beat ",
                candidate: each.candidate,
                replaces: each.replaces,
                dead: each.dead,
              };
              expect(await redis.beat(beat)).toBe(model.beat(beat));
              break;
            }
            case "leave":
              await redis.leave(each.sender, "left");
              model.leave(each.sender, "left");
          }
        }
        const keys = [1, 2, 3].map(String);
        expect(await redis.get(keys)).toEqual(model.get(keys));
        const own = () => heard.filter((text) => !text.startsWith("clear"));
        await until(() => own().length >= said.length);
        expect(own()).toEqual(said);
      }),
      { numRuns: 200 },
    );
  }, 60_000);
});
