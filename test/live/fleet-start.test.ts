/** Instances of a fleet that start before their Redis or their MongoDB can be reached. */
import { expect, test } from "bun:test";
import { until } from "../chaos/rig.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { createFleetRig, watchReady } from "./fleet-rig.ts";
import { describeLive } from "./live.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own, redisServer } from "./programs.ts";
import { always } from "./redis-inbox-rig.ts";
import { freePort, LiveRedis } from "./redis-server.ts";

/** They have nothing in work: a process ends as soon as it is told to, even on a busy machine, ms. */
const endMaxMs = 5_000;
/** Long enough for tries that fail, ms. */
const absentMs = 3_000;

interface Absent {
  readonly redis: boolean;
  readonly mongodb: boolean;
}

/** Not started yet. */
interface Early extends Pick<BotfleetProcess, "page"> {
  readonly process: BotfleetProcess;
}

async function comeUp(absent: Absent): Promise<void> {
  await using mongodb = await startMongodbServer({ isDurable: false });
  const redis = await LiveRedis.start(always);
  try {
    await using rig = await createFleetRig({ redisUrl: redis.url, bots: 2, module: "referral" });
    if (absent.redis) await redis.kill();
    if (absent.mongodb) await mongodb.kill();
    const begin = async (): Promise<Early> => {
      const port = await freePort();
      const process = rig.begin({ PORT: String(port), MONGODB_URI: mongodb.url, MONGODB_MIN_POOL_SIZE: "2" });
      const page = async (path: string) => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`);
        return { status: response.status, text: await response.text() };
      };
      await until("its sidecar", async () => (await page("/health").catch(() => undefined))?.status === 200);
      return { process, page };
    };
    const early = [await begin(), await begin()];
    const given = await begin();
    const watched = early.map(watchReady);
    const watchedFromMs = performance.now();
    await until("tries that fail", () => performance.now() - watchedFromMs > absentMs);
    for (const { answers } of watched)
      expect(answers.map(({ status, codes }) => [status, codes])).toEqual([[503, ["starting"]]]);
    const toldAtMs = performance.now();
    given.process.kill("SIGTERM");
    expect(await given.process.exited).toBe(0);
    expect(performance.now() - toldAtMs).toBeLessThan(endMaxMs);

    if (absent.redis) await redis.boot();
    if (absent.mongodb) await mongodb.restart();
    const running = await Promise.all(early.map(({ process }) => process.started));
    await until("both ready", () => watched.every(({ answers }) => answers.at(-1)?.status === 200));
    await Promise.all(watched.map((each) => each.stop()));
    await rig.shared(running);
    const { api, botIds } = rig.simulator;
    for (const bot of botIds) {
      api.people.person(5).say(bot, "/start");
      await api.people.waitForAnswer(bot, 5, undefined, { maxMs: 20_000 });
    }
    for (const process of running) process.kill("SIGTERM");
    expect(await Promise.all(running.map(({ exited }) => exited))).toEqual([0, 0]);
  } finally {
    await redis.stop();
  }
}

describeLive("a fleet that starts first", [own(redisServer), own(mongodbServer)], () => {
  test.concurrent.each<readonly [string, Absent]>([
    ["Redis", { redis: true, mongodb: false }],
    ["MongoDB", { redis: false, mongodb: true }],
    ["Redis and MongoDB", { redis: true, mongodb: true }],
  ])(
    "stays while %s cannot be reached, is not ready, ends when it is told to, and comes up by itself",
    (_, absent) => comeUp(absent),
    90_000,
  );
});
