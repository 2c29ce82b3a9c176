/** 400 bots in one process, on virtual time. The same as a real process: test/fleet.test.ts. */
import { expect, test } from "bun:test";
import { limits } from "../../config/limits.ts";
import { SteadyWorld } from "./steady-world.ts";

const bots = 400;

const polling = (world: SteadyWorld): number =>
  world.tokens.filter((_, number) => world.api.journal.calls(world.botId(number)).has("getUpdates")).length;

/** Virtual ms until every bot has polled; each is then answered. */
async function allPollAfter(startIntervalMs: number): Promise<number> {
  const world = new SteadyWorld({ bots, pollerLimits: { startIntervalMs } });
  await world.start();
  expect(await world.until(() => polling(world) === bots, 600_000)).toBe(true);
  const ms = world.scheduler.nowMs;
  expect(world.running.fleet.bots().filter(({ poller }) => poller.phase !== "polling")).toEqual([]);
  for (let number = 0; number < bots; number++) world.say(number, 1, "hello");
  expect(await world.until(() => world.answers.length === bots, 5_000)).toBe(true);
  // A poll, and now and then a commit, for each.
  expect(world.timers.mostPending).toBeLessThan(2 * bots + 50);
  await world.stop();
  expect([world.timers.pending, world.connections.size]).toEqual([0, 0]);
  return ms;
}

test("400 bots all poll within 60 s at the default spread, and no earlier than it says", async () => {
  const ms = await allPollAfter(limits.poller.startIntervalMs);
  console.log(`400 bots poll after ${ms} ms of virtual time`);
  expect(ms).toBeLessThan(60_000);
  expect(ms).toBeGreaterThanOrEqual((bots - 1) * limits.poller.startIntervalMs);
});

test("400 bots all poll at once with the spread off", async () => {
  const ms = await allPollAfter(0);
  console.log(`400 bots poll after ${ms} ms of virtual time with the spread off`);
  expect(ms).toBeLessThan(500);
});

test("400 bots of which many are refused, told of conflicts or cannot be reached do not wait for each other", async () => {
  const world = new SteadyWorld({ bots, pollerLimits: { startIntervalMs: 0 } });
  const faults = ["401", "409", "hang", "500", "429"] as const;
  // Every other bot has a trouble of its own, for ever.
  for (let number = 0; number < bots; number += 2) {
    const kind = faults[(number / 2) % faults.length] ?? "500";
    world.api.faults.add({ kind, bot: world.botId(number), retryAfter: 30 });
  }
  await world.start();
  await world.pass(1_000);
  for (let number = 0; number < bots; number++) world.say(number, 1, "hello");
  await world.pass(1_000);
  expect(world.answers.map(({ bot }) => bot - world.botId(0)).toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: bots / 2 }, (_, at) => 2 * at + 1),
  );
  expect(Math.max(...world.answers.map(({ afterMs }) => afterMs))).toBeLessThan(150);
  // Once their troubles are over they are answered as well.
  world.api.faults.clear();
  expect(await world.until(() => world.answers.length === bots, 90_000)).toBe(true);
  await world.stop();
});
