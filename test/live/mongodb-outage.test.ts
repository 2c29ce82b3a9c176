/** A MongoDB that dies under a running botfleet: what users and operators see. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { isIdle } from "../chaos/rig.ts";
import { createStage, type Stage } from "../start/stage.ts";
import { describeLive } from "./live.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own } from "./programs.ts";
import { until } from "./redis-rig.ts";

setDefaultTimeout(60_000);

const bots = [{ name: "points", module: "referral" }];

async function ask({ simulator: { api, botIds } }: Stage, person: number, text = "/points"): Promise<string> {
  api.people.person(person).say(botIds[0] ?? 0, text);
  return (await api.people.waitForAnswer(botIds[0] ?? 0, person, undefined, { maxMs: 20_000 })).text ?? "";
}

describeLive("botfleet on MongoDB", [own(mongodbServer)], () => {
  test("a MongoDB that dies is waited for: who is in memory is answered, the others once it is back, and nothing is lost or dead", async () => {
    await using mongodb = await startMongodbServer();
    await using stage = await createStage(bots);
    const { api, botIds } = stage.simulator;
    const [bot = 0] = botIds;
    const botfleet = await stage.spawn({ MONGODB_URI: mongodb.url }).started;
    for (let person = 1; person <= 20; person++) await ask(stage, person, "/start");
    expect(await ask(stage, 1)).toContain("0");
    await mongodb.kill();
    expect(await ask(stage, 1)).toContain("0");
    for (let person = 1; person <= 20; person++) api.people.person(person).say(bot, "/daily");
    for (let person = 101; person <= 120; person++) api.people.person(person).say(bot, "/start");
    await botfleet.line(({ msg }) => msg.startsWith("MongoDB cannot be reached"));
    await until(async () => (await botfleet.page("/ready")).status === 503);
    const { status, text } = await botfleet.page("/ready");
    expect([status, text]).toEqual([503, expect.stringContaining("storage")]);
    expect((await botfleet.page("/health")).status).toBe(200);
    await mongodb.restart();
    await botfleet.line(({ msg }) => msg === "the users can be written again");
    await until(() => isIdle(stage, botfleet));
    for (const person of [1, 20]) expect(await ask(stage, person)).toContain("10");
    expect(await ask(stage, 101)).toContain("0");
    expect((await botfleet.page("/ready")).status).toBe(200);
    const metrics = (await botfleet.page("/metrics")).text;
    expect(/^botfleet_dead_letters 0$/m.test(metrics)).toBe(true);
    expect(/^botfleet_mongodb_documents_total\{what="returned"\} \d+$/m.test(metrics)).toBe(true);
    expect(/^botfleet_mongodb_failures_total\S* [1-9]/m.test(metrics)).toBe(true);
    botfleet.kill("SIGTERM");
    expect(await botfleet.exited).toBe(0);
  });
});
