/** What an instance of a fleet keeps itself, and what a fleet has left when its Redis has lost everything. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createStage, type Stage } from "../start/stage.ts";
import { type BotfleetProcess, spawnBotfleet } from "../support/botfleet-process.ts";
import { describeLive } from "./live.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own, redisServer } from "./programs.ts";
import { LiveRedis } from "./redis-server.ts";
import { until } from "./until.ts";

setDefaultTimeout(90_000);

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

interface Fleet {
  readonly stage: Stage;
  readonly redis: LiveRedis;
  /** The next instance, with an empty folder of its own. */
  readonly start: () => Promise<{ readonly instance: BotfleetProcess; readonly folder: string }>;
}

async function createFleet(): Promise<Fleet> {
  const mongodb = await startMongodbServer();
  open.push(mongodb);
  const redis = await LiveRedis.start(["--appendonly", "yes", "--appendfsync", "always"]);
  open.push({ [Symbol.asyncDispose]: () => redis.stop() });
  const stage = await createStage([{ name: "points", module: "referral" }]);
  open.push(stage);
  let instances = 0;
  return {
    stage,
    redis,
    async start() {
      const folder = join(stage.folder, `instance-${++instances}`);
      mkdirSync(folder);
      const env = {
        BOTS_FILE: join(stage.folder, "bots.json"),
        REDIS_URL: redis.url,
        REDIS_MIN_CONNECTIONS: "2",
        MONGODB_URI: mongodb.url,
        MONGODB_DATABASE: "fleet-stores",
        MONGODB_MIN_POOL_SIZE: "2",
      };
      const instance = await spawnBotfleet({ apiRoot: stage.simulator.url, dataDir: folder, env }).started;
      open.push(instance);
      return { instance, folder };
    },
  };
}

async function ask({ simulator: { api, botIds } }: Stage, person: number, text: string): Promise<string> {
  const bot = botIds[0] ?? 0;
  const answer = api.people.waitForAnswer(bot, person, undefined, { maxMs: 30_000 });
  api.people.person(person).say(bot, text);
  return (await answer).text ?? "";
}

/** Its answer hangs: the update is confirmed to Telegram and not settled. */
async function leaveOneUnsettled({ simulator: { api, botIds } }: Stage, person: number): Promise<void> {
  const bot = botIds[0] ?? 0;
  const hanging = api.faults.add({ kind: "hang", method: "sendMessage", chat: person });
  api.people.person(person).say(bot, "/points");
  await until(() => hanging.struck > 0);
  await until(() => api.bot(bot).poll.waiting);
  api.faults.clear();
}

describeLive("a fleet over Redis and MongoDB", [own(mongodbServer), own(redisServer)], () => {
  test("has nothing on the disk of an instance: another one does what a dead one left", async () => {
    const { stage, start } = await createFleet();
    const first = await start();
    await ask(stage, 5, "/start");
    await ask(stage, 5, "/daily");
    await leaveOneUnsettled(stage, 5);
    expect(readdirSync(first.folder)).toEqual([]);
    first.instance.kill("SIGKILL");
    await first.instance.exited;
    const { api, botIds } = stage.simulator;
    const answer = api.people.waitForAnswer(botIds[0] ?? 0, 5, undefined, { maxMs: 30_000 });
    const second = await start();
    expect((await answer).text).toContain("10");
    expect(readdirSync(second.folder)).toEqual([]);
  });

  test("ends where its Redis has lost everything, and started again goes on with users as they were", async () => {
    const { stage, redis, start } = await createFleet();
    const instances = [(await start()).instance, (await start()).instance];
    await ask(stage, 5, "/start");
    await ask(stage, 5, "/daily");
    await redis.command("FLUSHALL");
    await redis.kill();
    await Promise.all(instances.map((each) => until(async () => (await each.page("/ready")).status === 503)));
    await redis.boot();
    expect(await Promise.all(instances.map(({ exited }) => exited))).toEqual([1, 1]);
    const { instance } = await start();
    expect(await ask(stage, 5, "/points")).toContain("10");
    expect(await ask(stage, 6, "/start")).not.toBe("");
    expect((await instance.page("/ready")).status).toBe(200);
  });
});
