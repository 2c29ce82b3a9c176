/** A MongoDB that dies under a running botfleet: what users and operators see. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { isIdle, until } from "../chaos/rig.ts";
import { createStage, type Stage } from "../start/stage.ts";
import { describeLive } from "./live.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own } from "./programs.ts";

setDefaultTimeout(180_000);

const downMs = 60_000;

const bots = [{ name: "points", module: "referral" }];

async function ask({ simulator: { api, botIds } }: Stage, person: number, text = "/points"): Promise<string> {
  api.people.person(person).say(botIds[0] ?? 0, text);
  return (await api.people.waitForAnswer(botIds[0] ?? 0, person, undefined, { maxMs: 20_000 })).text ?? "";
}

describeLive("botfleet on MongoDB", [own(mongodbServer)], () => {
  test("a MongoDB that is dead for a minute is waited for: who is in memory is answered, the others once it is back, and nothing is lost or dead", async () => {
    await using mongodb = await startMongodbServer();
    await using stage = await createStage(bots);
    const { api, botIds } = stage.simulator;
    const [bot = 0] = botIds;
    const botfleet = await stage.spawn({ MONGODB_URI: mongodb.url, METRICS_COLLECTION_INTERVAL: "1000" }).started;
    for (let person = 1; person <= 21; person++) await ask(stage, person, "/start");
    for (const person of [1, 21]) expect(await ask(stage, person)).toContain(": 0 points");
    await mongodb.kill();
    const killedAt = performance.now();
    expect(await ask(stage, 1)).toContain(": 0 points");
    for (let person = 1; person <= 20; person++) api.people.person(person).say(bot, "/daily");
    for (let person = 101; person <= 120; person++) api.people.person(person).say(bot, "/start");
    await botfleet.line(({ msg }) => msg.startsWith("MongoDB cannot be reached"));
    await until("/ready says so", async () => (await botfleet.page("/ready")).status === 503);
    const { status, text } = await botfleet.page("/ready");
    expect([status, text]).toEqual([503, expect.stringContaining("storage")]);
    while (performance.now() - killedAt < downMs) {
      expect((await botfleet.page("/health")).status).toBe(200);
      // Behind their /daily nothing of the others is answered; somebody who only looks is.
      expect(await ask(stage, 21)).toContain(": 0 points");
      await Bun.sleep(2_000);
    }
    await mongodb.restart();
    await botfleet.line(({ msg }) => msg === "the users can be written again");
    await until("every update settled", () => isIdle(stage, botfleet), 60_000);
    for (const person of [1, 20]) expect(await ask(stage, person)).toContain(": 10 points");
    expect(await ask(stage, 101)).toContain(": 0 points");
    expect((await botfleet.page("/ready")).status).toBe(200);
    await until("the server is asked for its counts again", async () => {
      return /^botfleet_mongodb_documents_total\{what="returned"\} \d+$/m.test((await botfleet.page("/metrics")).text);
    });
    const metrics = (await botfleet.page("/metrics")).text;
    expect(/^botfleet_dead_letters 0$/m.test(metrics)).toBe(true);
    expect(/^botfleet_mongodb_failures_total\S* [1-9]/m.test(metrics)).toBe(true);
    botfleet.kill("SIGTERM");
    expect(await botfleet.exited).toBe(0);
  });
});
