/** What waits takes bounded memory: polling stops at the limits, and what is let in costs little (bench/backlog.ts measures a million). */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Composer, Context } from "grammy";
import { limits } from "../config/limits.ts";
import createEcho from "../src/bots/echo.ts";
import { type SteadyOptions, SteadyWorld } from "./simulation/steady-world.ts";

describe("polling stops while too much waits, Telegram keeps the rest, and all is answered once handlers run", () => {
  const perBot = 2_000;

  /** Bots whose modules are not built before the test says so. */
  async function closedWorld(bots: number, pipelineLimits: NonNullable<SteadyOptions["pipelineLimits"]>) {
    const built = Promise.withResolvers<Composer<Context>>();
    const world = new SteadyWorld({
      bots,
      pollerLimits: { startIntervalMs: 0 },
      pipelineLimits,
      module: () => ({ updates: ["message"], create: () => built.promise }),
    });
    await world.start();
    for (let at = 0; at < perBot; at++) for (let bot = 0; bot < bots; bot++) world.say(bot, 1 + (at % 100), `m${at}`);
    await world.pass(60_000);
    return { world, open: () => built.resolve(createEcho()) };
  }

  const backlogs = (world: SteadyWorld): number[] =>
    world.tokens.map((_, number) => world.running.pipeline.backlog(world.botId(number)));

  test("of one bot", async () => {
    const { world, open } = await closedWorld(2, { backlogMaxUpdates: 500 });
    expect(world.running.fleet.bots().map(({ poller }) => poller.phase)).toEqual(["full", "full"]);
    // The poll that fills it may bring a whole batch.
    for (const backlog of backlogs(world)) {
      expect(backlog).toBeGreaterThanOrEqual(500);
      expect(backlog).toBeLessThan(500 + limits.poller.pollMaxUpdates);
    }
    open();
    expect(await world.until(() => world.answers.length === 2 * perBot, 60_000)).toBe(true);
    await world.stop();
  });

  test("of all bots together", async () => {
    const { world, open } = await closedWorld(4, { backlogTotalMaxUpdates: 2_000 });
    const inMemory = backlogs(world).reduce((sum, backlog) => sum + backlog, 0);
    expect(inMemory).toBeGreaterThanOrEqual(2_000);
    expect(inMemory).toBeLessThan(2_000 + 4 * limits.poller.pollMaxUpdates);
    open();
    expect(await world.until(() => world.answers.length === 4 * perBot, 60_000)).toBe(true);
    await world.stop();
  });
});

describe("200,000 unsettled updates in SQLite are read into lanes and handled", () => {
  // Margins of twice what was measured: 33 and 259 bytes of heap; the process as a whole 145 MB at most.
  test.each([
    ["of 20,000 chats", 20_000, 80],
    ["of as many chats", 200_000, 520],
  ])(
    "%s",
    (_, chats, heapMaxBytes) => {
      const { stdout, exitCode } = Bun.spawnSync(
        [
          process.execPath,
          "bench/backlog.ts",
          "--updates",
          "200000",
          "--chats",
          String(chats),
          "--bots",
          "2",
          "--json",
        ],
        { cwd: join(import.meta.dir, ".."), stderr: "inherit" },
      );
      expect(exitCode).toBe(0);
      const figures = JSON.parse(stdout.toString()) as Record<string, number>;
      console.log(figures);
      expect(figures).toMatchObject({ done: 200_000, failed: 0, left: 0 });
      expect(figures["heapBytesPerUpdate"]).toBeLessThan(heapMaxBytes);
      expect(figures["rssAfterMb"]).toBeLessThan(300);
    },
    120_000,
  );
});
