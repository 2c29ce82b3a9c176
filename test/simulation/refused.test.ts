/** The whole pipeline with its own flood control on virtual time, before a Telegram that refuses with 429. */
import { expect, test } from "bun:test";
import { limits } from "../../config/limits.ts";
import type { FloodControl } from "../../src/telegram/flood-port.ts";
import { defaultRoom, floodBuiltIn } from "../support/flood-built-in.ts";
import { type Answered, SteadyWorld } from "./steady-world.ts";

const refusedChat = 1_000_000;

/**
 * 150 chats write every 5 s for two minutes, and one more writes 60 messages from the 20th second on, when `refusal` begins. The moments are
 * the same in every run.
 */
async function run(refusal: (world: SteadyWorld) => void): Promise<SteadyWorld> {
  const world = new SteadyWorld({
    flood: floodBuiltIn(defaultRoom()),
    // One handler at a time is as many as these chats need: a slot held in vain would stop them all.
    pipelineLimits: { slotsPerBot: 1 },
    // Polls take no time: by their round trips the moment at which one goes out delays whoever comes next, whatever else happens.
    apiDelayMs: 0,
  });
  world.api.faults.add({ kind: "delay", method: "sendMessage", when: "after", delayMs: 10 });
  await world.start();
  await world.pass(1_000);
  for (let at = 0; at < 24; at++) {
    for (let chat = 1; chat <= 150; chat++) {
      world.scheduler.at(at * 5_000 + ((chat * 331 + at * 101) % 5_000), () => world.say(0, chat, `m${at}`));
    }
  }
  world.scheduler.at(20_000, () => refusal(world));
  for (let at = 0; at < 60; at++) world.scheduler.at(20_000 + at * 500, () => world.say(0, refusedChat, `r${at}`));
  await world.pass(150_000);
  return world;
}

const ordinary = (world: SteadyWorld): Map<string, Answered> =>
  new Map(
    world.answers.flatMap((each) => (each.chat === refusedChat ? [] : [[`${each.chat} ${each.text}`, each] as const])),
  );

test("a chat under 429 for 60 s delays no message of any other chat by more than 20 ms", async () => {
  const calm = ordinary(await run(() => {}));
  const world = await run((made) => {
    made.api.faults.add({ kind: "429", chat: refusedChat, method: "sendMessage", retryAfter: 60, times: 1 });
  });
  const refused = ordinary(world);
  expect([calm.size, refused.size]).toEqual([24 * 150, 24 * 150]);
  const delays = [...refused].map(([key, { afterMs }]) => afterMs - (calm.get(key)?.afterMs ?? NaN));
  console.log("longest delay of another chat's message, ms", Math.max(...delays));
  expect(Math.max(...delays)).toBeLessThanOrEqual(20);
  // What the chat itself wrote is held back for the minute, and then answered in order.
  const own = world.answers.filter(({ chat }) => chat === refusedChat);
  expect(own[0]?.afterMs).toBeGreaterThan(60_000);
  expect(own.map(({ text }) => text)).toEqual(own.map((_, at) => `r${at}`));
  expect(own.length).toBeGreaterThan(5);
  expect([world.ends.retry, world.ends.dead, world.ends.outage]).toEqual([0, 0, 0]);
}, 60_000);

test("more chats than may wait in flood control: the bounds hold, the rest waits in its lanes, and every update is answered", async () => {
  const bots = 2;
  const chatsPerBot = 55_000;
  const room = defaultRoom();
  const controls: FloodControl[] = [];
  const calls = { flood: 0, ok: 0 };
  const world = new SteadyWorld({
    bots,
    flood: (clock, listeners) => {
      const made = floodBuiltIn(room)(clock, listeners);
      controls.push(made);
      return made;
    },
    callEvents: { onCall: (_, outcome) => void (outcome in calls && calls[outcome as "flood" | "ok"]++) },
  });
  await world.start();
  await world.pass(1_000);
  const refusal = world.api.faults.add({ kind: "429", method: "sendMessage", retryAfter: 59 });
  for (let bot = 0; bot < bots; bot++) for (let chat = 1; chat <= chatsPerBot; chat++) world.say(bot, chat, "hello");
  const most = { room: 0, chats: 0, known: 0, attempts: 0, working: 0 };
  for (let second = 0; second < 58; second++) {
    await world.pass(1_000);
    const status = controls.map((each) => each.status());
    most.room = Math.max(most.room, room.waiting);
    most.chats = Math.max(most.chats, sum(status.map(({ waitingChats }) => waitingChats)));
    most.known = Math.max(most.known, sum(status.map(({ knownChats }) => knownChats)));
    const { floodWaiting, working } = world.running.pipeline.status();
    most.attempts = Math.max(most.attempts, floodWaiting);
    most.working = Math.max(most.working, working);
  }
  refusal.remove();
  console.log("at most", most, "sent back to their lanes", calls.flood);
  const { waitingMax, waitingReservedPerBot } = limits.flood;
  expect(most.room).toBeWithin(waitingMax, waitingMax + bots * waitingReservedPerBot + 1);
  expect(most.chats).toBeLessThanOrEqual(most.room);
  expect(most.attempts).toBeLessThanOrEqual(limits.pipeline.floodWaitingMax);
  expect(most.working - most.attempts).toBeLessThanOrEqual(bots * limits.pipeline.slotsPerBot);
  expect(calls.flood).toBeGreaterThanOrEqual(bots * chatsPerBot - most.room);
  expect(world.answers.length).toBe(0);
  expect(await world.until(() => world.isQuiet, 600_000)).toBe(true);
  expect(new Set(world.answers.map(({ bot, chat }) => `${bot}/${chat}`)).size).toBe(bots * chatsPerBot);
  expect([world.answers.length, world.durable.letters.size, room.waiting]).toEqual([bots * chatsPerBot, 0, 0]);
  expect(world.ends).toMatchObject({ done: bots * chatsPerBot, retry: 0, dead: 0 });
}, 120_000);

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
