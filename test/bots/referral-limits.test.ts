/** What holds for every command: replays, outages, the rate limit, counts. */
import { expect, test } from "bun:test";
import { en } from "../../src/bots/referral/messages/en.ts";
import { faultOf } from "../../src/faults.ts";
import { evm, presses, rig, startOf } from "./referral-rig.ts";

test("an update that is handled again answers as the first time, with the same calls, and changes nothing", async () => {
  const world = await rig();
  const [bot = expect.unreachable()] = world.bots;
  const ann = world.person(5, { firstName: "Ann" });
  await ann.say("/start");
  const link = await startOf(ann);
  const bob = world.api.people.person(6);
  const acts = [
    () => bob.say(42, link),
    () => bob.say(42, "/daily"),
    () => bob.press(42, "points"),
    () => bob.press(42, "daily"),
    () => bob.say(42, `/wallet ${evm}`),
    () => bob.say(42, `/wallet ${evm}`),
    () => bob.say(42, "hello"),
    () => bob.say(42, "/stop"),
    () => bob.say(42, "/start"),
  ];
  for (const act of acts) {
    act();
    const before = world.calls.length;
    const [update = expect.unreachable()] = await world.handleAll();
    const calls = world.calls.splice(before);
    const stored = structuredClone([...world.users.stored]);
    await world.handle(bot, update);
    expect(world.calls.splice(before)).toEqual(calls);
    expect([...world.users.stored]).toEqual(stored);
    expect(calls.length).toBeGreaterThan(0);
  }
});

test("while the users cannot be reached nothing is answered, and the update waits", async () => {
  const world = await rig();
  const [bot = expect.unreachable()] = world.bots;
  await world.person(5).say("/start");
  world.users.isLost = true;
  const before = world.calls.length;
  for (const text of ["/start", "/daily", "/points", "/invite", "/leaderboard", "/wallet", `/wallet ${evm}`, "/stop"]) {
    world.api.people.person(5).say(42, text);
    const failure = await world.handleAll().catch((error: unknown) => error);
    expect([text, faultOf(failure)?.code]).toEqual([text, "unavailable"]);
    const { queue } = bot.simulated;
    world.users.isLost = false;
    queue.clear();
    world.users.isLost = true;
  }
  expect(world.calls.length).toBe(before);
});

test("who sends too much gets one polite answer in a window, and the rest is counted", async () => {
  const world = await rig({ rateLimit: { windowMs: 60_000, maxRequests: 3 } });
  const [ann, bob] = [world.person(5), world.person(6)];
  for (const command of ["/start", "/daily", "/points"]) expect(await ann.say(command)).not.toBe(en.tooMany);
  expect(await ann.say("/points")).toBe(en.tooMany);
  for (let at = 0; at < 5; at++) expect(await ann.say("/points")).toBe("");
  expect(world.counts.get("rate_limited")).toBe(6);
  expect(await bob.say("/start")).not.toBe(en.tooMany);
  await world.clock.advance(60_000);
  expect(await ann.say("/points")).toBe(en.points(10, 0));
});

test("a press beyond the limit is answered, the first one politely, and blocking the bot is noted all the same", async () => {
  const world = await rig({ rateLimit: { windowMs: 60_000, maxRequests: 1 } });
  const ann = world.person(5);
  await ann.say("/start");
  for (let at = 0; at < 3; at++) expect(await ann.press("daily")).toBe("");
  expect(presses(world).map(({ payload }) => payload["text"])).toEqual([en.tooMany, undefined, undefined]);
  expect(world.users.stored.get(5)?.points).toBe(0);
  await ann.block();
  expect(world.users.stored.get(5)?.isActive).toBe(false);
});

test("without a rate limit everything is answered", async () => {
  const world = await rig();
  const ann = world.person(5);
  await ann.say("/start");
  for (let at = 0; at < 300; at++) expect(await ann.say("/points")).toBe(en.points(0, 0));
});

test("what it remembers of users, and how often it gives a hint, it is told", async () => {
  const moduleLimits = { limitedUsersMax: 4, hintEveryMs: 1_000, hintedUsersMax: 4 };
  const world = await rig({ rateLimit: { windowMs: 60_000, maxRequests: 2 }, moduleLimits });
  const ann = world.person(5);
  expect([await ann.say("hello"), await ann.say("hello"), await ann.say("/help")]).toEqual([en.hint, "", en.tooMany]);
  for (let other = 6; other < 12; other++) await world.person(other).say("hello");
  // Forgotten, as one of too many: in both.
  expect([await ann.say("hello"), await ann.say("hello")]).toEqual([en.hint, ""]);
  await world.clock.advance(1_000);
  for (let other = 6; other < 12; other++) await world.person(other).say("/help");
  expect(await ann.say("hello")).toBe(en.hint);
});

test("outcomes are counted", async () => {
  const world = await rig();
  const ann = world.person(5);
  for (const text of ["/start", "/daily", "/daily", `/wallet ${evm}`, "/wallet x", "hello"]) await ann.say(text);
  expect(Object.fromEntries(world.counts)).toEqual({
    registered: 1,
    granted: 1,
    already: 1,
    wallet_set: 1,
    wallet_wrong: 1,
    hint: 1,
  });
});

test("previews of links are off in every message", async () => {
  const world = await rig();
  const ann = world.person(5);
  for (const text of ["/start", "/invite", "/leaderboard", "hello"]) await ann.say(text);
  const sent = world.calls.map(({ payload }) => payload["link_preview_options"]);
  expect(sent).toEqual(sent.map(() => ({ is_disabled: true })));
  expect(world.calls.some(({ payload }) => "parse_mode" in payload)).toBe(false);
});
