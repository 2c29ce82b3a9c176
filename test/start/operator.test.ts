/** What an operator meets at the start and at the end of `bun run start`: exit codes, messages, readiness. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { makeToken } from "../../src/simulator/token.ts";
import { fixture, until } from "../chaos/rig.ts";
import { createStage, expectEcho } from "./stage.ts";

test.concurrent("Ctrl-C, which reaches every process of the terminal's group, is an orderly stop", async () => {
  // Its handlers take up to 2 s.
  await using stage = await createStage([{ name: "slow", module: fixture("by-chat") }]);
  await using process = await stage.spawn().started;
  for (let person = 1; person <= 30; person++) stage.simulator.api.people.person(person).say(stage.botId(0), "hello");
  await until("everything received", () => stage.simulator.api.bot(stage.botId(0)).queue.size === 0);
  expect((await process.status()).pipeline.inWork).toBeGreaterThan(0);
  process.killGroup("SIGINT");
  // What `bun run` passes on may come late; at once the two may be taken for one by the system.
  await Bun.sleep(50);
  process.kill("SIGINT");
  expect(await process.exited).toBe(0);
  expect(process.lines.at(-1)?.msg).toBe("stopped");
  expect(stage.simulator.api.journal.counts().sendEffects).toBe(30);
});

test.concurrent("a bot without updates is ready as soon as Telegram has told who it is", async () => {
  await using stage = await createStage();
  await using process = await stage.spawn().started;
  const started = performance.now();
  await until("ready", async () => (await process.page("/ready")).status === 200);
  // A first poll that brings nothing takes 30 s.
  expect(performance.now() - started).toBeLessThan(10_000);
});

test.concurrent(
  "wrong settings end with 78 and one message that names each of them, without a stack or a secret",
  async () => {
    await using stage = await createStage();
    const secret = makeToken(7).slice(2);
    await using process = stage.spawn({
      BOTS_FILE: join(stage.folder, "absent.json"),
      BOT_TOKENS: `no-token-${secret}`,
      PORT: "many",
      LOG_LEVEL: "loud",
      TELEGRAM_API_ROOT: "nowhere",
      ENABLE_UPDATE_DEDUPLICATION: "perhaps",
    });
    expect(await process.exited).toBe(78);
    const { stderr } = process.output;
    for (const name of [
      "BOTS_FILE",
      "BOT_TOKENS",
      "PORT",
      "LOG_LEVEL",
      "TELEGRAM_API_ROOT",
      "ENABLE_UPDATE_DEDUPLICATION",
    ]) {
      expect(stderr).toContain(`- ${name}`);
    }
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stderr + process.output.stdout).not.toContain(secret);
  },
);

test.concurrent("nothing configured ends with 78 and names both settings that would", async () => {
  await using stage = await createStage();
  await using process = stage.spawn({ BOTS_FILE: "" });
  expect(await process.exited).toBe(78);
  expect(process.output.stderr).toContain("BOT_TOKENS, BOTS_FILE");
});

test.concurrent.each([
  ["a module that is not built in", "shop", "shop"],
  ["a module whose file is absent", "./absent/shop.ts", "absent/shop.ts"],
  ["a module that offers no updates", join(import.meta.dir, "fleet.ts"), "updates"],
])("%s ends with 78 and is named", async (_, module, named) => {
  await using stage = await createStage([{ name: "shop", module }]);
  await using process = stage.spawn();
  expect(await process.exited).toBe(78);
  expect(process.output.stderr).toContain(named);
  expect(process.output.stderr).not.toMatch(/^\s+at /m);
});

test.concurrent("a second botfleet over the same DATA_DIR ends with 78 and names it; the first goes on", async () => {
  await using stage = await createStage();
  await using first = await stage.spawn().started;
  await using second = stage.spawn();
  expect(await second.exited).toBe(78);
  expect(second.output.stderr).toContain(`DATA_DIR ${stage.dataDir} is in use`);
  await expectEcho(stage);
  expect((await first.page("/health")).status).toBe(200);
});

test.concurrent(
  "Telegram out of reach at the start is no fault: not ready, and all is well when it is back",
  async () => {
    await using stage = await createStage();
    stage.simulator.pause();
    await using process = await stage.spawn().started;
    await process.line(({ msg }) => msg === "polling failed");
    expect(await process.page("/ready")).toMatchObject({ status: 503, text: expect.stringContaining("starting") });
    expect((await process.page("/health")).status).toBe(200);
    stage.simulator.resume();
    await until("ready", async () => (await process.page("/ready")).status === 200);
    await expectEcho(stage);
  },
);

test.concurrent(
  "one bot whose token is refused and one whose server is out of reach keep nobody else from being ready",
  async () => {
    await using nowhere = await createStage();
    nowhere.simulator.pause();
    await using stage = await createStage([
      { name: "echo", module: "echo" },
      { name: "refused", module: "echo" },
      { name: "unreachable", module: "echo", apiRoot: nowhere.simulator.url },
    ]);
    stage.simulator.api.bot(stage.botId(1)).revoked = true;
    await using process = await stage.spawn().started;
    await until("ready", async () => (await process.page("/ready")).status === 200);
    await until("the refused one listed", async () => (await process.page("/ready")).text.includes("bot refused"));
    await expectEcho(stage);
  },
);
