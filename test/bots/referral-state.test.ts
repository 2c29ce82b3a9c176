/** Wallets and states of users, seen from outside. */
import { expect, test } from "bun:test";
import { en } from "../../src/bots/referral/messages/en.ts";
import { evm, rig } from "./referral-rig.ts";

const ton = "EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N";

test("/wallet takes an address, shows it, and changes it; the old one becomes free", async () => {
  const world = await rig();
  const [ann, bob] = [world.person(5), world.person(6)];
  for (const guest of [ann, bob]) await guest.say("/start");
  expect(await ann.say("/wallet")).toBe(en.walletNone);
  expect(await ann.say(`/wallet ${evm.toLowerCase()}`)).toBe(en.walletSet(evm));
  expect(await ann.say("/wallet")).toBe(en.walletShown(evm));
  expect(await bob.say(`/wallet ${evm}`)).toBe(en.walletTaken);
  const canonical = "UQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqEBI";
  expect(await ann.say(`/wallet ${ton}`)).toBe(en.walletReplaced(canonical));
  expect(await bob.say(`/wallet ${evm}`)).toBe(en.walletSet(evm));
  expect(world.users.stored.get(5)?.walletAddress).toBe(canonical);
});

test("another spelling of a wallet is the same one: for its owner and for others", async () => {
  const world = await rig();
  const [ann, bob] = [world.person(5), world.person(6)];
  for (const guest of [ann, bob]) await guest.say("/start");
  await ann.say(`/wallet ${evm}`);
  const upper = `0x${evm.slice(2).toUpperCase()}`;
  expect(await ann.say(`/wallet ${upper}`)).toBe(en.walletSame(evm));
  expect(await bob.say(`/wallet ${upper}`)).toBe(en.walletTaken);
});

test("/wallet refuses what is no address, and what of it is wrong", async () => {
  const world = await rig();
  const ann = world.person(5);
  await ann.say("/start");
  await ann.say(`/wallet ${evm}`);
  const before = world.users.stored.get(5);
  for (const text of [evm.replace("A", "a"), ton.replace("C", "D"), "hello", `${evm} ${evm}`])
    expect(await ann.say(`/wallet ${text}`)).toBe(en.walletWrong);
  expect(world.users.stored.get(5)).toBe(before);
});

test("/help names every command, and each of those works", async () => {
  const world = await rig();
  const ann = world.person(5);
  await ann.say("/start");
  const named = (await ann.say("/help")).match(/^\/\w+/gm) ?? [];
  expect(named).toEqual(["/daily", "/points", "/invite", "/leaderboard", "/wallet", "/stop", "/help"]);
  for (const command of named) expect([command, await ann.say(command)]).not.toEqual([command, en.hint]);
});

test("/stop makes the user inactive in that bot, and /start active again", async () => {
  const world = await rig();
  const ann = world.person(5);
  await ann.say("/start");
  expect(await ann.say("/stop")).toBe(en.stopped);
  expect(world.users.stored.get(5)).toMatchObject({ isActive: false, bots: { 42: { state: "blocked" } } });
  expect(await ann.say("/stop")).toBe(en.stopped);
  await ann.say("/start");
  expect(world.users.stored.get(5)).toMatchObject({ isActive: true, bots: { 42: { state: "active" } } });
});

test("who blocks the bot is inactive in it, who unblocks it active, and who never registered stays unknown", async () => {
  const world = await rig();
  const [ann, bob] = [world.person(5), world.person(6)];
  await ann.say("/start");
  await ann.block();
  expect(world.users.stored.get(5)).toMatchObject({ isActive: false, bots: { 42: { state: "blocked" } } });
  await ann.unblock();
  expect(world.users.stored.get(5)).toMatchObject({ isActive: true, bots: { 42: { state: "active" } } });
  const calls = world.calls.length;
  await bob.block();
  expect([world.users.stored.size, world.calls.length]).toEqual([1, calls]);
});

test("being put out of a group changes nobody's state", async () => {
  const world = await rig();
  await world.person(5).say("/start");
  const before = world.users.stored.get(5);
  const member = (status: string) => ({ status, user: { id: 42, is_bot: true, first_name: "Bot" } });
  const body = {
    chat: { id: -9, type: "group", title: "G" },
    from: { id: 5, is_bot: false, first_name: "A" },
    date: 1,
  };
  world.api.people.deliver(42, {
    my_chat_member: { ...body, old_chat_member: member("member"), new_chat_member: member("kicked") },
  });
  await world.handleAll();
  expect(world.users.stored.get(5)).toBe(before);
});
