/** Outages on virtual time: whatever is down, for however long, nothing dies of it, nothing is counted, and order is kept. */
import { describe, expect, test } from "bun:test";
import { Composer } from "grammy";
import type { Context } from "grammy";
import { type Clock, sleep } from "../../src/clock.ts";
import { limits } from "../../config/limits.ts";
import type { FaultSpec } from "../../src/simulator/faults.ts";
import { type SteadyOptions, SteadyWorld } from "./steady-world.ts";

const bots = 4;
const chatsPerBot = 250;
const perChat = 20;
const updates = bots * chatsPerBot * perChat;
const outageMs = 600_000;

/** What each chat was answered, in the order of its answers, must be what it wrote, each once. */
function expectAllAnsweredInOrder(world: SteadyWorld): void {
  expect(world.answers.length).toBe(updates);
  const chats = Map.groupBy(world.answers, ({ bot, chat }) => `${bot}/${chat}`);
  expect(chats.size).toBe(bots * chatsPerBot);
  const wanted = Array.from({ length: perChat }, (_, at) => `m${at}`);
  const wrong = [...chats].filter(
    ([, answers]) =>
      !Bun.deepEquals(
        answers.map(({ text }) => text),
        wanted,
      ),
  );
  expect(wrong).toEqual([]);
}

/** Every chat writes its messages `from` to `to`. */
function write(world: SteadyWorld, from: number, to: number): void {
  for (let at = from; at < to; at++) {
    for (let chat = 1; chat <= chatsPerBot; chat++) for (let bot = 0; bot < bots; bot++) world.say(bot, chat, `m${at}`);
  }
}

interface Bounds {
  timers: number;
  connections: number;
  working: number;
}

/** Lets the time of the outage pass and watches what grows. */
async function suffer(world: SteadyWorld, ms: number): Promise<Bounds> {
  const most: Bounds = { timers: 0, connections: 0, working: 0 };
  for (let passed = 0; passed < ms; passed += 1_000) {
    await world.pass(1_000);
    most.timers = Math.max(most.timers, world.timers.mostPending);
    most.connections = Math.max(most.connections, world.connections.size);
    most.working = Math.max(most.working, world.running.pipeline.status().working);
  }
  return most;
}

/**
 * Half of the updates is in the inbox and half at Telegram when everything fails. `strike` begins the outage; `recoverMs` after its end
 * everything must be answered.
 */
async function outage(
  strike: (world: SteadyWorld) => () => void,
  recoverMs: number,
  options: SteadyOptions = {},
): Promise<SteadyWorld> {
  const world = new SteadyWorld({ bots, ...options });
  await world.start();
  await world.pass(1_000);
  const sending = world.api.faults.add({ kind: "500", method: "sendMessage" });
  write(world, 0, perChat / 2);
  await world.pass(2_000);
  expect(world.durable.entries.size).toBe(updates / 2);
  sending.remove();
  const end = strike(world);
  write(world, perChat / 2, perChat);
  const most = await suffer(world, outageMs);
  expect(world.answers.length).toBe(0);
  // One for each waiting lane; a poll, a call or a commit here and there.
  expect(most.timers).toBeLessThan(bots * chatsPerBot + 3 * bots + 10);
  expect(most.connections).toBeLessThanOrEqual(bots * (limits.pipeline.slotsPerBot + 1));
  expect(most.working).toBeLessThanOrEqual(bots * limits.pipeline.slotsPerBot);
  end();
  expect(await world.until(() => world.isQuiet, recoverMs)).toBe(true);
  expectAllAnsweredInOrder(world);
  expect(world.durable.letters.size).toBe(0);
  expect(world.ends).toMatchObject({ done: updates, retry: 0, dead: 0, kept: 0, expired: 0 });
  expect(world.ends.outage).toBeGreaterThan(0);
  await world.stop();
  expect([world.timers.pending, world.connections.size]).toEqual([0, 0]);
  return world;
}

const everything = (fault: FaultSpec) => (world: SteadyWorld) => {
  const planned = world.api.faults.add(fault);
  return () => planned.remove();
};
/** The longest wait of a lane or a poller, and some time to work off what waits. */
const recoverMs = limits.pipeline.outageCapMs + 15_000;

describe("10 minutes without Telegram, 20,000 updates waiting: none dies, no attempt is counted, all are answered in order", () => {
  test("while it answers 500 to everything", async () => {
    await outage(everything({ kind: "500" }), recoverMs);
  }, 60_000);

  test("while it cannot be reached", async () => {
    await outage(everything({ kind: "refused" }), recoverMs);
  }, 60_000);

  test("while every call hangs", async () => {
    await outage(everything({ kind: "hang" }), recoverMs + limits.client.callMaxMs);
  }, 60_000);

  test("while every answer is 429 with retry_after 300", async () => {
    await outage(everything({ kind: "429", retryAfter: 300 }), 300_000 + recoverMs);
  }, 60_000);
});

describe("60 seconds without storage, 20,000 updates waiting", () => {
  test("no handler starts meanwhile, and afterwards all are answered once and in order", async () => {
    const world = new SteadyWorld({ bots });
    await world.start();
    await world.pass(1_000);
    // Slower than updates arrive, so that every chat has some waiting.
    world.api.faults.add({ kind: "delay", method: "sendMessage", when: "after", delayMs: 500 });
    write(world, 0, perChat);
    await world.pass(1_400);
    const before = world.answers.length;
    world.isDiskFailing = true;
    // What had been begun is answered; its outcome waits to be written.
    await world.pass(2_000);
    const begun = world.answers.length;
    expect(world.running.pipeline.status().backlog).toBeGreaterThan(updates / 4);
    expect(begun - before).toBeLessThanOrEqual(bots * chatsPerBot);
    expect(world.running.inbox.state()).toBe("failing");
    const most = await suffer(world, 58_000);
    expect(world.answers.length).toBe(begun);
    expect(most.timers).toBeLessThan(3 * bots + 10);
    expect(world.running.pipeline.status().settling).toBeLessThanOrEqual(limits.pipeline.settlingMax);
    world.isDiskFailing = false;
    expect(await world.until(() => world.isQuiet, recoverMs)).toBe(true);
    expectAllAnsweredInOrder(world);
    expect(world.durable.letters.size).toBe(0);
    expect(world.ends).toMatchObject({ done: updates, retry: 0, dead: 0, outage: 0 });
    await world.stop();
  }, 60_000);
});

describe("an outage is never an attempt", () => {
  /** Shows that it is typing, which must not stop it, before it answers: two calls, each of which may hang. */
  const typing = new Composer<Context>();
  typing.on("message:text", async (ctx) => {
    await ctx.replyWithChatAction("typing").catch(() => {});
    await ctx.reply(ctx.msg.text);
  });
  /** Does not wait for its answer at all. */
  const hasty = new Composer<Context>();
  hasty.on("message:text", (ctx) => void ctx.reply(ctx.msg.text).catch(() => {}));
  /** Tells of the failure in its own words. */
  const wordy = new Composer<Context>();
  wordy.on("message:text", async (ctx) => {
    await ctx.reply(ctx.msg.text).catch(() => {
      throw new Error("the customer was not answered");
    });
  });
  /** Works long enough that a call which hangs outlasts its deadline. */
  const busy = (clock: Clock): Composer<Context> => {
    const composer = new Composer<Context>();
    composer.on("message:text", async (ctx) => {
      await sleep(clock, 20_000);
      await ctx.reply(ctx.msg.text);
    });
    return composer;
  };

  test.each([
    ["goes on after a call that failed", () => typing],
    ["does not wait for its call", () => hasty],
    ["throws an error of its own", () => wordy],
    ["has little time left for its call", busy],
  ])("while every call hangs for 10 minutes, of a handler that %s", async (_, bot) => {
    const world: SteadyWorld = new SteadyWorld({
      module: () => ({ updates: ["message"], create: () => bot(world.timers) }),
    });
    await world.start();
    await world.pass(1_000);
    const fault = world.api.faults.add({ kind: "hang", method: "sendMessage" });
    const other = world.api.faults.add({ kind: "hang", method: "sendChatAction" });
    for (let chat = 1; chat <= 50; chat++) for (let at = 0; at < 3; at++) world.say(0, chat, `m${at}`);
    await world.pass(outageMs);
    fault.remove();
    other.remove();
    expect(await world.until(() => world.isQuiet, 120_000)).toBe(true);
    expect([...world.durable.letters.values()].map(({ error }) => error)).toEqual([]);
    expect(world.ends).toMatchObject({ done: 150, retry: 0, dead: 0 });
    expect(world.answers.length).toBe(150);
    await world.stop();
  });

  test("while botfleet starts in it, with updates from its last life in the inbox", async () => {
    const world = new SteadyWorld({ bots });
    await world.start();
    await world.pass(1_000);
    const sending = world.api.faults.add({ kind: "500", method: "sendMessage" });
    write(world, 0, perChat / 2);
    await world.pass(2_000);
    await world.stop();
    sending.remove();
    expect(world.durable.entries.size).toBe(updates / 2);
    const down = world.api.faults.add({ kind: "refused" });
    write(world, perChat / 2, perChat);
    await world.start();
    await suffer(world, outageMs);
    expect(world.answers.length).toBe(0);
    down.remove();
    expect(await world.until(() => world.isQuiet, recoverMs)).toBe(true);
    expectAllAnsweredInOrder(world);
    expect(world.ends).toMatchObject({ done: updates, retry: 0, dead: 0 });
    await world.stop();
  }, 60_000);
});
