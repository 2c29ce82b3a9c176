/** Promise 4 on virtual time: who floods, hangs, fails or is held back delays nobody else. Latency: from a message to its answer. */
import { describe, expect, test } from "bun:test";
import { Composer } from "grammy";
import type { Context, Filter } from "grammy";
import { limits } from "../../config/limits.ts";
import type { BotModule } from "../../src/bots/bot.ts";
import { type Answered, echoModule, type SteadyOptions, SteadyWorld } from "./steady-world.ts";

const ordinaryChats = 200;
const seconds = 60;
/** Chats from here on are those that make trouble. */
const trouble = 1_000_000;
/** The trouble begins after that much of the minute, ms. */
const troubleMs = 5_000;

interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

function latency(answers: readonly Answered[]): Latency {
  const sorted = answers.map(({ afterMs }) => afterMs).toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] ?? NaN;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

interface Run {
  readonly world: SteadyWorld;
  /** Answers to the ordinary chats, since the trouble began. */
  readonly others: readonly Answered[];
}

interface RunOptions extends SteadyOptions {
  readonly chats?: number;
}

/**
 * For a minute each chat of bot 0 writes once a second, at moments that are the same in every run. `disturb` adds the trouble; every
 * ordinary message must be answered.
 */
async function run(options: RunOptions, disturb: (world: SteadyWorld) => void): Promise<Run> {
  const { chats = ordinaryChats } = options;
  const world = new SteadyWorld(options);
  await world.start();
  await world.pass(1_000);
  const startMs = world.scheduler.nowMs;
  for (let at = 0; at < seconds; at++) {
    for (let chat = 1; chat <= chats; chat++) {
      const inMs = at * 1_000 + ((chat * 37 + at * 101) % 1_000);
      world.scheduler.at(inMs, () => world.say(0, chat, `m${at}`));
    }
  }
  world.scheduler.at(troubleMs, () => disturb(world));
  await world.pass(seconds * 1_000 + 5_000);
  const ordinary = world.answers.filter(({ bot, chat }) => chat < trouble && bot === world.botId(0));
  expect(ordinary.length).toBe(chats * seconds);
  return { world, others: ordinary.filter(({ writtenMs }) => writtenMs >= startMs + troubleMs) };
}

/** p99 and maximum of the ordinary chats with the trouble, minus those without it, ms. */
async function growth(options: RunOptions, disturb: (world: SteadyWorld) => void): Promise<Latency> {
  const calm = latency((await run(options, () => {})).others);
  const troubled = latency((await run(options, disturb)).others);
  return { p50: troubled.p50 - calm.p50, p99: troubled.p99 - calm.p99, max: troubled.max - calm.max };
}

/** Handlers at work side by side in these runs: ordinary chats need ten, so that a slot held in vain is felt. */
const fewSlots = { slotsPerBot: 20 };

describe("1,000 updates of one chat, at 50 ms API delay", () => {
  const flood = (perMs: number) => (world: SteadyWorld) => {
    for (let at = 0; at < 1_000; at++)
      world.scheduler.at(Math.floor(at / perMs), () => world.say(0, trouble, `f${at}`));
  };

  test("that come within a second raise the p99 of the other chats by less than 20 ms", async () => {
    const calm = await run({}, () => {});
    const flooded = await run({}, flood(1));
    const inFlood = ({ writtenMs }: Answered): boolean => writtenMs < 1_000 + troubleMs + 1_000;
    for (const when of [() => true, inFlood]) {
      const [before, after] = [latency(calm.others.filter(when)), latency(flooded.others.filter(when))];
      console.log("latency of other chats, ms", { calm: before, flooded: after });
      expect(after.p99 - before.p99).toBeLessThan(20);
    }
    // Meanwhile the flood was worked off, one by one and in order.
    const own = flooded.world.answers.filter(({ chat }) => chat === trouble);
    expect(own.map(({ text }) => text)).toEqual(Array.from({ length: 1_000 }, (_, at) => `f${at}`));
  });

  test("that come at once delay only who stands behind them in Telegram's own queue, for the polls that empty it", async () => {
    const calm = latency((await run({}, () => {})).others);
    const { others } = await run({}, flood(Infinity));
    const pollsMs = (1_000 / limits.poller.pollMaxUpdates) * 60;
    expect(latency(others).max).toBeLessThan(calm.max + pollsMs);
    const later = latency(others.filter(({ writtenMs }) => writtenMs > 1_000 + troubleMs + pollsMs));
    console.log("latency of other chats, ms", { calm, flooded: latency(others), "once it is fetched": later });
    expect(later.p99 - calm.p99).toBeLessThan(20);
    expect(later.max - calm.max).toBeLessThan(20);
  });
});

describe("the p99 of the other chats grows by less than 20 ms", () => {
  /** Each of `count` chats of a bot writes `each` messages. */
  const write = (world: SteadyWorld, bot: number, count: number, each: number): void => {
    for (let chat = trouble; chat < trouble + count; chat++)
      for (let at = 0; at < each; at++) world.say(bot, chat, `t${at}`);
  };

  test("while 50 chats of the bot are held back by 429", async () => {
    const grown = await growth({ pipelineLimits: fewSlots }, (world) => {
      for (let chat = trouble; chat < trouble + 50; chat++) {
        world.api.faults.add({ kind: "429", chat, retryAfter: 7 });
      }
      write(world, 0, 50, 5);
    });
    console.log("grown by, ms", grown);
    expect(grown.p99).toBeLessThan(20);
    // The first of each of these chats takes its turn like any other.
    expect(grown.max).toBeLessThan(150);
  });

  test("while 50 chats of the bot wait for a retry", async () => {
    const module = moduleOf(async (ctx) => {
      if (ctx.chat.id >= trouble) throw new Error("planned");
      await ctx.reply(ctx.msg.text);
    });
    const grown = await growth({ pipelineLimits: fewSlots, module: () => module }, (world) => write(world, 0, 50, 5));
    console.log("grown by, ms", grown);
    expect(grown.p99).toBeLessThan(20);
    // The first of each of these chats takes its turn like any other.
    expect(grown.max).toBeLessThan(150);
  });

  test("while every handler of another bot hangs", async () => {
    const hanging = moduleOf(() => new Promise(() => {}));
    const module = (bot: number): BotModule => (bot === 0 ? echoModule : hanging);
    const grown = await growth({ bots: 2, module }, (world) => write(world, 1, 2_000, 1));
    console.log("grown by, ms", grown);
    expect(grown.max).toBeLessThan(20);
  });

  test("while handlers of other bots hang in all slots that bots share, of a bot that needs no more than its own", async () => {
    const hanging = moduleOf(() => new Promise(() => {}));
    const module = (bot: number): BotModule => (bot === 0 ? echoModule : hanging);
    const pipelineLimits = { slotsTotal: 100, slotsPerBot: 50 };
    const grown = await growth({ bots: 4, chats: 10, module, pipelineLimits }, (world) => {
      for (const bot of [1, 2, 3]) write(world, bot, 200, 1);
    });
    console.log("grown by, ms", grown);
    expect(grown.max).toBeLessThan(20);
  });
});

function moduleOf(handle: (ctx: Filter<Context, "message:text">) => Promise<unknown>): BotModule {
  const composer = new Composer<Context>();
  composer.on("message:text", handle);
  return { updates: ["message"], create: () => composer };
}
