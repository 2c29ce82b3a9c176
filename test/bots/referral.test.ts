/** Who registers, invites and collects points, seen from outside. */
import { expect, test } from "bun:test";
import { en } from "../../src/bots/referral/messages/en.ts";
import { balanceOf, enrich, evm, keyboardOf, rig, startOf } from "./referral-rig.ts";

const dayMs = 86_400_000;

test("/start registers and greets", async () => {
  const world = await rig();
  const ann = world.person(5, { firstName: "Ann", username: "ann" });
  expect(await ann.say("/start")).toBe(en.welcome("Ann"));
  expect(world.users.stored.get(5)).toMatchObject({
    telegramId: 5,
    firstName: "Ann",
    username: "ann",
    languageCode: "en",
    points: 0,
    isActive: true,
    bots: { 42: { state: "active" } },
  });
  expect(await ann.say("/start")).toBe(en.welcomeBack("Ann"));
});

test("/start with a code sets the referrer, who gets 50 points when the first daily points are taken, and never again", async () => {
  const world = await rig();
  const [ann, bob] = [world.person(5), world.person(6, { firstName: "Bob" })];
  await ann.say("/start");
  expect(await bob.say(await startOf(ann))).toBe(en.welcomeInvited("Bob"));
  expect(Number(world.users.stored.get(6)?.referredBy)).toBe(5);
  expect(await balanceOf(ann)).toBe(0);
  await bob.say("/daily");
  expect([await balanceOf(ann), await balanceOf(bob)]).toEqual([50, 10]);
  await world.clock.advance(dayMs);
  await bob.say("/daily");
  expect([await balanceOf(ann), await balanceOf(bob)]).toEqual([50, 20]);
  expect(await ann.say("/points")).toContain(": 1.");
});

test("an unknown code is said politely, and registers all the same", async () => {
  const world = await rig();
  for (const [at, payload] of ["ref_nobody12", "ref_", "ref_a b", "ref_ünknown1", `ref_${"a".repeat(100)}`].entries()) {
    const guest = world.person(10 + at, { firstName: "Cy" });
    expect(await guest.say(`/start ${payload}`)).toBe(en.welcomeUnknownCode("Cy"));
    expect(world.users.stored.get(10 + at)?.referredBy).toBeUndefined();
  }
  // What cannot be a code is never asked for in the store.
  expect(world.users.lookedUp).toEqual(["nobody12"]);
});

test("a payload that is no invitation is a plain /start", async () => {
  const world = await rig();
  expect(await world.person(5, { firstName: "Ann" }).say("/start campaign_7")).toBe(en.welcome("Ann"));
});

test("a link that is opened after registration never counts: not somebody's, not one's own, not round in a circle", async () => {
  const world = await rig();
  const [ann, bob, cy] = [world.person(5, { firstName: "Ann" }), world.person(6), world.person(7, { firstName: "Cy" })];
  for (const guest of [ann, cy]) await guest.say("/start");
  await bob.say(await startOf(ann));
  for (const link of [await startOf(bob), await startOf(ann)]) expect(await ann.say(link)).toBe(en.linkTooLate("Ann"));
  expect(await cy.say(await startOf(ann))).toBe(en.linkTooLate("Cy"));
  for (const guest of [ann, bob, cy]) await guest.say("/daily");
  expect([await balanceOf(ann), await balanceOf(bob), await balanceOf(cy)]).toEqual([60, 10, 10]);
  expect([5, 6, 7].map((id) => Number(world.users.stored.get(id)?.referredBy ?? 0))).toEqual([0, 5, 0]);
});

test("a code counts in every bot of the fleet, and a user is one in all of them", async () => {
  const world = await rig();
  await world.addBot(43);
  const [ann, bob] = [world.person(5), world.person(6, { firstName: "Bob" })];
  await ann.say("/start");
  expect(await bob.say(await startOf(ann), 43)).toBe(en.welcomeInvited("Bob"));
  await bob.say("/daily", 43);
  expect(await bob.say("/daily", 42)).toBe(en.dailyAlready);
  expect(await balanceOf(ann)).toBe(50);
  expect(await ann.say("/start", 43)).toBe(en.welcomeBack("Person 5"));
  expect(await ann.say("/invite", 43)).toContain("https://t.me/points_43_bot?start=ref_");
  expect(Object.keys(world.users.stored.get(5)?.bots ?? {})).toEqual(["42", "43"]);
});

test("/daily gives 10 points once in a day of UTC, and says otherwise when it does not", async () => {
  const world = await rig();
  const ann = world.person(5);
  await ann.say("/start");
  expect(await ann.say("/daily")).toBe(en.dailyGranted(10));
  expect(await ann.say("/daily")).toBe(en.dailyAlready);
  const untilMidnightMs = dayMs - (world.clock.now() % dayMs);
  await world.clock.advance(untilMidnightMs - 1);
  expect(await ann.say("/daily")).toBe(en.dailyAlready);
  await world.clock.advance(1);
  expect(await ann.say("/daily")).toBe(en.dailyGranted(20));
  expect(await balanceOf(ann)).toBe(20);
});

test("the first integer that /points answers is the balance, whatever the name and however large, in each language", async () => {
  const world = await rig();
  for (const [id, languageCode] of [
    [5, "en"],
    [6, "ru"],
    [7, null],
  ] as const) {
    const guest = world.person(id, { firstName: "7 of 9", username: "agent47", languageCode });
    await guest.say("/start");
    for (const points of [0, 1, 1_234_567, 999_999_999_999]) {
      enrich(world, id, points);
      expect(await balanceOf(guest)).toBe(points);
    }
  }
});

test("/invite answers with the link, and a button that shares it", async () => {
  const world = await rig();
  const ann = world.person(5);
  await ann.say("/start");
  const link = `https://t.me/points_bot?${(await startOf(ann)).replace("/start ", "start=")}`;
  const [share] = keyboardOf(world.calls.at(-1));
  const [url, text] = [link, en.shareText].map(encodeURIComponent);
  expect(share?.url).toBe(`https://t.me/share/url?url=${url}&text=${text}`);
  expect(share?.text).toBe(en.buttonShare);
});

test("/leaderboard shows ten lines and the place of who asks, exact among the first and about below", async () => {
  const world = await rig({ exactPlaces: 11 });
  for (let id = 1; id <= 12; id++) {
    await world.person(id, { firstName: `No${id}` }).say("/start");
    enrich(world, id, 1_000 - id);
  }
  const board = await world.person(3, { firstName: "No3" }).say("/leaderboard");
  const expected = Array.from({ length: 10 }, (_, at) => `${at + 1}. No${at + 1}: ${999 - at} points`);
  expect(board.split("\n")).toEqual([en.leaderboardTitle, ...expected, "", en.place(3)]);
  expect(await world.person(11).say("/leaderboard")).toEndWith(`\n${en.place(11)}`);
  expect(await world.person(12).say("/leaderboard")).toEndWith(`\n${en.placeAbout(12)}`);
  await world.person(12).say("/stop");
  expect(await world.person(12).say("/leaderboard")).toEndWith(`\n${en.placeNone}`);
});

test("who is not registered is told to /start, by a button too, and a link opened then still counts", async () => {
  const world = await rig();
  const [ann, bob, cy] = [world.person(5), world.person(6, { firstName: "Bob" }), world.person(7, { firstName: "Cy" })];
  await ann.say("/start");
  for (const command of ["/daily", "/points", "/invite", "/leaderboard", "/wallet", `/wallet ${evm}`, "/stop"]) {
    expect([command, await bob.say(command)]).toEqual([command, en.pleaseStart]);
    expect(keyboardOf(world.calls.at(-1)).map((each) => each.text)).toEqual([en.buttonStart]);
  }
  expect(world.users.stored.has(6)).toBe(false);
  expect(await bob.say(await startOf(ann))).toBe(en.welcomeInvited("Bob"));
  await cy.say("/points");
  expect(await cy.press(en.buttonStart)).toBe(en.welcome("Cy"));
});
