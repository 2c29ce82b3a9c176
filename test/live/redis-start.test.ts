/** `bun run start` with a real Redis for its cache: what an operator sees. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createStage, type Stage } from "../start/stage.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(60_000);

const bots = [{ name: "points", module: "referral" }];

/** Asks the bot for the points of a person, and waits for the answer. */
async function ask({ simulator: { api, botIds } }: Stage, person: number, text = "/points"): Promise<string> {
  const bot = botIds[0] ?? 0;
  api.people.person(person).say(bot, text);
  return (await api.people.waitForAnswer(bot, person, undefined, { maxMs: 20_000 })).text ?? "";
}

async function metricsOf(botfleet: BotfleetProcess): Promise<ReadonlyMap<string, number>> {
  const { text } = await botfleet.page("/metrics");
  const lines = Array.from(text.matchAll(/^(botfleet_\S+) (\S+)$/gm));
  return new Map(lines.map(([, series = "", value]) => [series, Number(value)]));
}

describeLive("botfleet with a cache in Redis", [own(redisServer)], () => {
  test("users stand in Redis, and a Redis that dies and comes back costs nobody an answer", async () => {
    const redis = await LiveRedis.start([], "pa/ss");
    try {
      await using stage = await createStage(bots);
      const env = {
        REDIS_CACHE_URL: redis.url,
        REDIS_ENABLED: "true",
        REDIS_MIN_CONNECTIONS: "3",
        REDIS_MAX_CONNECTIONS: "9",
      };
      const botfleet = await stage.spawn(env).started;
      await ask(stage, 5, "/start");
      await ask(stage, 5, "/daily");
      expect(await ask(stage, 5)).toContain("10");
      await until(async () => String(await redis.command("KEYS", "botfleet:u1:*:5")) !== "");
      const listed = async () => String(await redis.command("CLIENT", "LIST")).match(/name=botfleet-/g)?.length;
      await until(async () => (await listed()) === 3);
      await redis.kill();
      for (let person = 10; person < 20; person++) await ask(stage, person, "/start");
      expect(await ask(stage, 5)).toContain("10");
      await botfleet.line(({ msg }) => msg.startsWith("Redis does not serve the cache"));
      expect((await botfleet.page("/ready")).status).toBe(200);
      expect((await metricsOf(botfleet)).get("botfleet_cache_breaker_open")).toBe(1);
      await redis.boot();
      await botfleet.line(({ msg }) => msg === "Redis serves the cache again");
      expect(await ask(stage, 5)).toContain("10");
      const metrics = await metricsOf(botfleet);
      expect(metrics.get("botfleet_cache_breaker_open")).toBe(0);
      expect(metrics.get("botfleet_cache_owed_users")).toBe(0);
      expect(metrics.get('botfleet_cache_hits_total{tier="memory"}')).toBeGreaterThan(0);
      expect(metrics.get('botfleet_cache_read_seconds_count{tier="redis"}')).toBeGreaterThan(0);
      botfleet.kill("SIGTERM");
      expect(await botfleet.exited).toBe(0);
      // It has said goodbye.
      const [registry] = (await redis.command("KEYS", "botfleet:u1:*:fleet")) as string[];
      expect((await redis.command("HKEYS", registry ?? "")) as string[]).toEqual(["g", "r"]);
      expect(botfleet.output.stdout + botfleet.output.stderr).not.toMatch(/pa(?:%2F|\/)ss/);
    } finally {
      await redis.stop();
    }
  });

  test("Redis frozen, full, killed and emptied under load costs nobody an answer, and no update a second attempt", async () => {
    const redis = await LiveRedis.start();
    try {
      await using stage = await createStage(bots);
      // Small, so that Redis is asked all the time.
      const small = { REDIS_MIN_CONNECTIONS: "2", USER_CACHE_SIZE: "10", RATE_LIMIT_ENABLED: "false" };
      const env = { REDIS_CACHE_URL: redis.url, ...small };
      const botfleet = await stage.spawn(env).started;
      const people = Array.from({ length: 60 }, (_, at) => at + 1);
      await Promise.all(people.map((person) => ask(stage, person, "/start")));
      await Promise.all(people.map((person) => ask(stage, person, "/daily")));
      const asking = { isOver: false, answers: 0 };
      const load = people.map(async (person) => {
        while (!asking.isOver) {
          await ask(stage, person);
          asking.answers++;
        }
        expect(/\d+/.exec(await ask(stage, person))?.[0]).toBe("10");
      });
      // How long each trouble lasts.
      const pass = (ms: number) => Bun.sleep(ms);
      redis.signal("SIGSTOP");
      await pass(1_000);
      redis.signal("SIGCONT");
      await pass(1_500);
      await redis.command("CONFIG", "SET", "maxmemory", 1);
      await pass(500);
      await redis.command("CONFIG", "SET", "maxmemory", 0);
      await pass(500);
      await redis.command("FLUSHALL");
      await pass(200);
      await redis.kill();
      await pass(1_000);
      await redis.boot();
      await pass(1_500);
      asking.isOver = true;
      await Promise.all(load);
      expect(asking.answers).toBeGreaterThan(200);
      const { text } = await botfleet.page("/metrics");
      expect(text).not.toMatch(/^botfleet_updates_(?:retried_total|dead_total|postponed_total)\S* [1-9]/m);
      const metrics = await metricsOf(botfleet);
      expect(metrics.get("botfleet_cache_failures_total")).toBeGreaterThan(0);
      expect(metrics.get('botfleet_cache_hits_total{tier="redis"}')).toBeGreaterThan(0);
      expect(botfleet.lines.filter(({ level }) => level === "error")).toEqual([]);
    } finally {
      await redis.stop();
    }
  });

  test("a process that was killed is told to Redis as dead by the next one", async () => {
    const redis = await LiveRedis.start();
    try {
      await using stage = await createStage(bots);
      const env = { REDIS_CACHE_URL: redis.url, REDIS_MIN_CONNECTIONS: "2" };
      const registry = async (): Promise<Readonly<Record<string, string | undefined>>> => {
        const [name = ""] = (await redis.command("KEYS", "botfleet:u1:*:fleet")) as string[];
        const cells = (await redis.command("HGETALL", name)) as string[];
        return Object.fromEntries(cells.flatMap((cell, at) => (at % 2 === 0 ? [[cell, cells[at + 1]]] : [])));
      };
      const sendersIn = (of: object): string[] => Object.keys(of).filter((field) => field.startsWith("s:"));
      const botfleet = await stage.spawn(env).started;
      await ask(stage, 5, "/start");
      const before = await registry();
      botfleet.killGroup("SIGKILL");
      await botfleet.exited;
      await stage.spawn(env).started;
      await until(async () => !Bun.deepEquals(sendersIn(await registry()), sendersIn(before)));
      const after = await registry();
      expect([sendersIn(before).length, sendersIn(after).length]).toEqual([1, 1]);
      expect(after["g"]).not.toBe(before["g"]);
    } finally {
      await redis.stop();
    }
  });

  test("credentials that Redis refuses are a fault that names the variable, and never the secret", async () => {
    const redis = await LiveRedis.start([], "right-secret");
    try {
      await using stage = await createStage(bots);
      const botfleet = stage.spawn({ REDIS_CACHE_URL: redis.url.replace("right-secret", "wrong-secret") });
      botfleet.started.catch(() => {});
      expect(await botfleet.exited).toBe(78);
      const { stdout, stderr } = botfleet.output;
      expect(stderr).toContain("REDIS_CACHE_URL: Redis refuses the user name or password");
      expect(stdout + stderr).not.toContain("wrong-secret");
    } finally {
      await redis.stop();
    }
  });

  test("a Redis that cannot be reached does not stop the start, and is used once it can be", async () => {
    const redis = await LiveRedis.start();
    try {
      await redis.kill();
      await using stage = await createStage(bots);
      const botfleet = await stage.spawn({ REDIS_CACHE_URL: redis.url }).started;
      await botfleet.line(({ msg }) => msg.startsWith("Redis cannot be reached"));
      await ask(stage, 5, "/start");
      expect((await metricsOf(botfleet)).get("botfleet_cache_failures_total")).toBeGreaterThan(0);
      await redis.boot();
      let person = 10;
      await until(async () => {
        await ask(stage, person++, "/start");
        return ((await redis.command("KEYS", "botfleet:u1:*:[0-9]*")) as string[]).length > 0;
      });
    } finally {
      await redis.stop();
    }
  });
});
