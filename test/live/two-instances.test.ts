/** Two botfleets, each with a bot of its own, over one MongoDB and one Redis: what one of them changes the other one shows. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createStage, type Stage } from "../start/stage.ts";
import { describeLive } from "./live.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own, redisServer } from "./programs.ts";
import { until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(90_000);

const bots = [{ name: "points", module: "referral" }];

/** What the bot answers; `fits`: of several messages that one. */
async function ask({ simulator: { api, botIds } }: Stage, person: number, text: string, fits: RegExp): Promise<string> {
  const bot = botIds[0] ?? 0;
  const answer = api.people.waitForAnswer(bot, person, ({ text: shown }) => fits.test(shown ?? ""), { maxMs: 20_000 });
  api.people.person(person).say(bot, text);
  return (await answer).text ?? "";
}

describeLive("two instances over MongoDB and Redis", [own(mongodbServer), own(redisServer)], () => {
  test("show each other's changes at once, and go on to when Redis has died and come back", async () => {
    await using mongodb = await startMongodbServer();
    const redis = await LiveRedis.start();
    try {
      await using one = await createStage(bots);
      await using other = await createStage(bots);
      const env = {
        MONGODB_URI: mongodb.url,
        MONGODB_DATABASE: "two-instances",
        MONGODB_MIN_POOL_SIZE: "2",
        REDIS_CACHE_URL: redis.url,
        REDIS_MIN_CONNECTIONS: "2",
      };
      await one.spawn(env).started;
      await other.spawn(env).started;
      const points = async (stage: Stage, person: number): Promise<number> =>
        Number(/\d+/.exec(await ask(stage, person, "/points", /\d/))?.[0]);

      await ask(one, 1, "/start", /./);
      const [, code] = /start=(ref_\w+)/.exec(await ask(one, 1, "/invite", /start=ref_/)) ?? [];
      // Held by the second one from now on.
      expect(await points(other, 1)).toBe(0);
      let friend = 10;
      let wanted = 0;
      const bringFriend = async (): Promise<void> => {
        friend++;
        await ask(one, friend, `/start ${code}`, /./);
        await ask(one, friend, "/daily", /10/);
        wanted += 50;
      };
      for (let round = 0; round < 3; round++) {
        await bringFriend();
        await until(async () => (await points(other, 1)) === wanted);
      }
      await redis.kill();
      await bringFriend();
      await redis.boot();
      await until(async () => (await points(other, 1)) === wanted);
      await bringFriend();
      await until(async () => (await points(other, 1)) === wanted);
    } finally {
      await redis.stop();
    }
  });
});
