/** What the referral bot does, seen from outside. */
import { expect, test } from "bun:test";
import { en } from "../../src/bots/referral/messages/en.ts";
import { rig } from "./referral-rig.ts";

const firstInteger = (text: string): number => Number(/\d+/.exec(text)?.[0]);

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

test("/start with a code on registration sets the referrer, who gets 50 points when the first daily points are taken", async () => {
  const world = await rig();
  const [ann, bob] = [world.person(5, { firstName: "Ann" }), world.person(6, { firstName: "Bob" })];
  await ann.say("/start");
  const [, link = ""] =
    /https:\/\/t\.me\/points_bot\?start=(ref_[A-Za-z0-9]{8,})\s/.exec(await ann.say("/invite")) ?? [];
  expect(await bob.say(`/start ${link}`)).toBe(en.welcomeInvited("Bob"));
  expect(world.users.stored.get(6)?.referredBy as number).toBe(5);
  expect(firstInteger(await ann.say("/points"))).toBe(0);
  await bob.say("/daily");
  expect(firstInteger(await ann.say("/points"))).toBe(50);
  expect(firstInteger(await bob.say("/points"))).toBe(10);
});
