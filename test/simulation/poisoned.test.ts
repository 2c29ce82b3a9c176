/** On virtual time: a payload that Telegram can never answer, beside an outage in which it answers nothing, or next to nothing. */
import { expect, test } from "bun:test";
import { Composer } from "grammy";
import type { Context } from "grammy";
import type { BotModule } from "../../src/bots/bot.ts";
import { limits } from "../../config/limits.ts";
import type { HttpReply, Transport } from "../../src/telegram/exchange.ts";
import { SteadyWorld } from "./steady-world.ts";

const minuteMs = 60_000;
const restart = '{"ok":false,"error_code":500,"description":"Internal Server Error: restart"}';
const failing: HttpReply = { kind: "answered", status: 500, text: restart };

/** Telegram answers 500 to each message with the word. */
const poisonousTo = (word: string) => (transport: Transport) => ({
  exchange: (request: Parameters<Transport["exchange"]>[0]) =>
    request.body.includes(word) ? Promise.resolve(failing) : transport.exchange(request),
});

/** Other chats write now and then. */
async function pass(world: SteadyWorld, minutes: number, chats = 3): Promise<void> {
  for (let at = 0; at < minutes * 6; at++) {
    for (let chat = 1; chat <= chats; chat++) world.say(0, chat, `m${at}`);
    await world.pass(10_000);
  }
}

test("one poisoned payload, everything else is fine: it is a dead letter after a hundred attempts, and its chat goes on", async () => {
  const world = new SteadyWorld({ transport: poisonousTo("poison") });
  await world.start();
  await world.pass(1_000);
  world.say(0, 7, "poison");
  world.say(0, 7, "and on");
  await pass(world, 30);
  expect([world.durable.letters.size, world.ends.dead]).toEqual([0, 0]);
  expect(world.answers.some(({ chat }) => chat === 7)).toBe(false);
  await pass(world, 25);
  expect([...world.durable.letters.values()].map(({ error }) => error)).toEqual([
    expect.stringMatching(/^100 times in a row Telegram gave no usable answer.*500/) as unknown as string,
  ]);
  expect(world.ends).toMatchObject({ dead: 1, retry: 0 });
  expect(world.ends.outage).toBeWithin(limits.pipeline.unknownsMax - 1, limits.pipeline.unknownsMax + 10);
  expect(world.answers.filter(({ chat }) => chat === 7).map(({ text }) => text)).toEqual(["and on"]);
  await world.stop();
}, 60_000);

test("two hours in which Telegram answers 500 to every call: no dead letter, and all is answered afterwards", async () => {
  const world = new SteadyWorld();
  await world.start();
  await world.pass(1_000);
  const outage = world.api.faults.add({ kind: "500" });
  for (let chat = 1; chat <= 50; chat++) world.say(0, chat, "hello");
  await world.pass(120 * minuteMs);
  outage.remove();
  expect(await world.until(() => world.isQuiet, 60_000)).toBe(true);
  expect([world.durable.letters.size, world.answers.length]).toEqual([0, 50]);
  await world.stop();
}, 60_000);

test("two hours in which no message can be sent, polls and signs of typing go through: no dead letter", async () => {
  const typing = new Composer<Context>();
  typing.on("message:text", async (ctx) => {
    await ctx.replyWithChatAction("typing");
    await ctx.reply(ctx.msg.text);
  });
  const module: BotModule = { updates: ["message"], create: () => typing };
  const world = new SteadyWorld({ module: () => module });
  await world.start();
  await world.pass(1_000);
  for (let chat = 1; chat <= 20; chat++) world.say(0, chat, "before");
  await world.pass(5_000);
  const outage = world.api.faults.add({ kind: "500", method: "sendMessage" });
  for (let chat = 1; chat <= 20; chat++) world.say(0, chat, "hello");
  await pass(world, 120);
  expect(world.ends.outage).toBeGreaterThan(20 * 200);
  outage.remove();
  expect(await world.until(() => world.isQuiet, 600_000)).toBe(true);
  expect(world.durable.letters.size).toBe(0);
  await world.stop();
}, 60_000);

test("two hours in which nine calls of ten fail: no dead letter", async () => {
  const world = new SteadyWorld();
  await world.start();
  await world.pass(1_000);
  const outage = world.api.faults.add({ kind: "500", method: "sendMessage", probability: 0.9 });
  await pass(world, 120, 20);
  outage.remove();
  expect(await world.until(() => world.isQuiet, 600_000)).toBe(true);
  expect([world.durable.letters.size, world.ends.retry]).toEqual([0, 0]);
  await world.stop();
}, 60_000);
