/** The lines about the cache in the environment of the scaling guide, as they are, and what changes with each of them. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createStage, type Stage } from "../start/stage.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(120_000);

const guide = {
  REDIS_ENABLED: "true",
  REDIS_MAX_CONNECTIONS: "500",
  REDIS_MIN_CONNECTIONS: "50",
  USER_CACHE_SIZE: "500000",
  USER_CACHE_TTL_MS: "600000",
  ENABLE_BATCH_PROCESSING: "true",
  BATCH_SIZE: "1000",
  ENABLE_UPDATE_DEDUPLICATION: "true",
  ENABLE_QUERY_BATCHING: "true",
  RATE_LIMIT_ENABLED: "true",
  RATE_LIMIT_WINDOW_MS: "60000",
  RATE_LIMIT_MAX_REQUESTS: "100",
  ENABLE_PERFORMANCE_MONITORING: "true",
  METRICS_COLLECTION_INTERVAL: "60000",
};

const bots = [{ name: "points", module: "referral" }];

class Running {
  readonly #stage: Stage;
  readonly #redis: LiveRedis;
  readonly #botfleet: BotfleetProcess;

  constructor(stage: Stage, redis: LiveRedis, botfleet: BotfleetProcess) {
    this.#stage = stage;
    this.#redis = redis;
    this.#botfleet = botfleet;
  }

  async greet(person: number): Promise<void> {
    const { api, botIds } = this.#stage.simulator;
    const bot = botIds[0] ?? 0;
    const answer = api.people.waitForAnswer(bot, person, undefined, { maxMs: 20_000 });
    api.people.person(person).say(bot, "/start");
    await answer;
  }

  async connections(): Promise<number> {
    const list = String(await this.#redis.command("CLIENT", "LIST"));
    return list.match(/name=botfleet-/g)?.length ?? 0;
  }

  /** Life time of a user in Redis, ms. */
  async ttl(person: number): Promise<number> {
    const keys = (await this.#redis.command("KEYS", `botfleet:u1:*:${person}`)) as string[];
    return Number(await this.#redis.command("PTTL", keys[0] ?? ""));
  }

  async metric(series: string): Promise<number | undefined> {
    const { text } = await this.#botfleet.page("/metrics");
    const line = text.split("\n").find((each) => each.startsWith(`botfleet_cache_${series} `));
    return line === undefined ? undefined : Number(line.split(" ")[1]);
  }
}

describeLive("the guide's settings of the cache", [own(redisServer)], () => {
  async function running(
    changes: Readonly<Record<string, string>>,
    look: (running: Running) => Promise<void>,
  ): Promise<void> {
    const redis = await LiveRedis.start();
    try {
      await using stage = await createStage(bots);
      const botfleet = await stage.spawn({ ...guide, ...changes, REDIS_CACHE_URL: redis.url }).started;
      await look(new Running(stage, redis, botfleet));
    } finally {
      await redis.stop();
    }
  }

  test("start as they are: 50 connections, users in memory and, for a day, in Redis", () =>
    running({}, async (botfleet) => {
      await until(async () => (await botfleet.connections()) === 50);
      await botfleet.greet(1);
      await botfleet.greet(2);
      await until(async () => (await botfleet.ttl(1)) > 86_000_000);
      expect(await botfleet.metric('entries{tier="memory"}')).toBe(2);
      expect(await botfleet.metric('evictions_total{tier="memory"}')).toBe(0);
      await until(async () => {
        await botfleet.greet(1);
        return ((await botfleet.metric('hits_total{tier="memory"}')) ?? 0) > 0;
      });
      expect(await botfleet.metric('read_seconds_count{tier="redis"}')).toBeGreaterThan(0);
    }));

  test("take another size, life time and number of connections", () =>
    running(
      {
        REDIS_MIN_CONNECTIONS: "4",
        REDIS_MAX_CONNECTIONS: "4",
        USER_CACHE_SIZE: "1",
        REDIS_CACHE_TTL_MS: "7000",
        ENABLE_PERFORMANCE_MONITORING: "false",
        METRICS_COLLECTION_INTERVAL: "1000",
      },
      async (botfleet) => {
        await until(async () => (await botfleet.connections()) === 4);
        await botfleet.greet(1);
        await botfleet.greet(2);
        await until(async () => (await botfleet.ttl(2)) > 0);
        expect(await botfleet.ttl(2)).toBeLessThanOrEqual(7_000);
        expect(await botfleet.metric('entries{tier="memory"}')).toBe(1);
        expect(await botfleet.metric('evictions_total{tier="memory"}')).toBeGreaterThan(0);
        expect(await botfleet.metric('read_seconds_count{tier="redis"}')).toBeUndefined();
        // Asked again within a second.
        await until(async () => ((await botfleet.metric('entries{tier="redis"}')) ?? 0) > 1);
      },
    ));

  test("hold a user in memory no longer than they say", () =>
    running({ USER_CACHE_TTL_MS: "1" }, async (botfleet) => {
      await until(async () => {
        await botfleet.greet(1);
        return ((await botfleet.metric('hits_total{tier="redis"}')) ?? 0) > 0;
      });
      expect(await botfleet.metric('hits_total{tier="memory"}')).toBe(0);
    }));

  test("switch Redis off", () =>
    running({ REDIS_ENABLED: "false" }, async (botfleet) => {
      await botfleet.greet(1);
      expect(await botfleet.connections()).toBe(0);
      expect(await botfleet.metric("breaker_open")).toBeUndefined();
      expect(await botfleet.metric('entries{tier="memory"}')).toBe(1);
    }));
});
