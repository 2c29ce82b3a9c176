/** What the referral bot does, seen from outside. Longer than other files: each sentence that is promised of it has a test here. */
import { expect, test } from "bun:test";
import { en } from "../../src/bots/referral/messages/en.ts";
import { ru } from "../../src/bots/referral/messages/ru.ts";
import { faultOf } from "../../src/faults.ts";
import type { User } from "../../src/users/user.ts";
import { type Call, type Guest, type Rig, rig } from "./referral-rig.ts";

const dayMs = 86_400_000;
const evm = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const ton = "EQCD39VS5jcptHL8vMjEXrzGaRcCVYto7HUn4bpAOg8xqB2N";

const firstInteger = (text: string): number => Number(/\d+/.exec(text)?.[0]);
const balanceOf = async (guest: Guest): Promise<number> => firstInteger(await guest.say("/points"));

/** What the invitation link of somebody makes Telegram send. */
async function startOf(guest: Guest): Promise<string> {
  const found = /https:\/\/t\.me\/points_bot\?start=(ref_[A-Za-z0-9]{8,})\s/.exec(await guest.say("/invite"));
  return `/start ${found?.[1] ?? expect.unreachable()}`;
}

function keyboardOf(call: Call | undefined): readonly { text: string; url?: string; callback_data?: string }[] {
  const markup = call?.payload["reply_markup"] as { inline_keyboard: { text: string; url?: string }[][] } | undefined;
  return markup?.inline_keyboard.flat() ?? [];
}

/** Gives a user points without the bot. */
function enrich(world: Rig, id: number, points: number): void {
  world.users.stored.set(id, { ...(world.users.stored.get(id) as User), points });
}

/** Answers to button presses so far. */
const presses = ({ calls }: Rig): readonly Call[] => calls.filter(({ method }) => method === "answerCallbackQuery");

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

test("text that is no command gets one short hint in five minutes", async () => {
  const world = await rig();
  const ann = world.person(5);
  await ann.say("/start");
  expect(await ann.say("hello")).toBe(en.hint);
  for (const text of ["hello?", "/nonsense", "/points@other_bot", "@points_bot", "/"])
    expect(await ann.say(text)).toBe("");
  expect(await world.person(6).say("/nonsense")).toBe(en.hint);
  await world.clock.advance(5 * 60_000);
  expect(await ann.say("hello again")).toBe(en.hint);
  expect(en.hint.length).toBeLessThan(100);
});

test("buttons stand for the common commands, and every press is answered", async () => {
  const world = await rig();
  const ann = world.person(5, { firstName: "Ann" });
  await ann.say("/start");
  const menu = keyboardOf(world.calls.at(-1));
  expect(menu.map((each) => each.callback_data)).toEqual([
    "daily",
    "points",
    "invite",
    "leaderboard",
    "wallet",
    "help",
  ]);
  expect(await ann.press(en.buttonDaily)).toBe(en.dailyGranted(10));
  expect(firstInteger(await ann.press(en.buttonPoints))).toBe(10);
  expect(await ann.press("invite")).toContain("https://t.me/points_bot?start=ref_");
  expect(await ann.press("leaderboard")).toContain("1. Ann: 10 points");
  expect(await ann.press("wallet")).toBe(en.walletNone);
  expect(await ann.press("help")).toBe(en.help);
  expect(presses(world).map(({ payload }) => payload["callback_query_id"])).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("a press on a button that is no more, or in no private chat, is answered too and does nothing", async () => {
  const world = await rig();
  await world.person(5).say("/start");
  const before = world.users.stored.get(5);
  const from = { id: 5, is_bot: false, first_name: "Person 5", language_code: "en" };
  const messageIn = (type: string) => ({ message_id: 1, date: 1, chat: { id: type === "private" ? 5 : -5, type } });
  for (const query of [
    { id: "a", from, data: "gone", message: messageIn("private") },
    { id: "b", from, data: "__proto__", message: messageIn("private") },
    { id: "c", from, message: messageIn("private") },
    { id: "d", from, data: "daily", message: messageIn("group") },
    { id: "e", from, data: "daily", inline_message_id: "x" },
  ])
    world.api.people.deliver(42, { callback_query: query });
  const calls = world.calls.length;
  await world.handleAll();
  expect(world.calls.slice(calls)).toEqual([
    { method: "answerCallbackQuery", payload: { callback_query_id: "a" } },
    { method: "answerCallbackQuery", payload: { callback_query_id: "b" } },
    { method: "answerCallbackQuery", payload: { callback_query_id: "c" } },
    { method: "answerCallbackQuery", payload: { callback_query_id: "d", text: en.writePrivately } },
    { method: "answerCallbackQuery", payload: { callback_query_id: "e", text: en.writePrivately } },
  ]);
  expect(world.users.stored.get(5)).toBe(before);
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

test("a group gets an answer to what names the bot alone: the way to the private chat", async () => {
  const world = await rig();
  const { people } = world.api;
  people.group(42, -7, { title: "G" });
  const ask = async (text: string): Promise<readonly Call[]> => {
    const before = world.calls.length;
    people.person(5).say(42, text, { chat: -7 });
    await world.handleAll();
    return world.calls.slice(before);
  };
  for (const text of ["hello", "/daily", "/daily@other_bot", "hello @points_bot", "hello /daily@points_bot"])
    expect([text, await ask(text)]).toEqual([text, []]);
  for (const text of ["/daily@points_bot", "/START@Points_Bot ref_abcdefgh", "/nonsense@points_bot"]) {
    const [call, ...more] = await ask(text);
    expect([call?.payload["chat_id"], call?.payload["text"], more]).toEqual([-7, en.writePrivately, []]);
    const asked = people.messages(42, -7).findLast(({ from }) => from === 5)?.messageId;
    expect(call?.payload["reply_parameters"]).toEqual({ message_id: asked, allow_sending_without_reply: true });
    const link = text.includes("ref_") ? "?start=ref_abcdefgh" : "";
    expect(keyboardOf(call).map(({ url }) => url)).toEqual([`https://t.me/points_bot${link}`]);
  }
  expect(world.users.stored.size).toBe(0);
});

test("a group that forbids its bots to write fails no update", async () => {
  const world = await rig();
  world.api.people.group(42, -7);
  world.api.people.refuse(42, -7, "kicked");
  world.api.people.person(5).say(42, "/daily@points_bot", { chat: -7 });
  await world.handleAll();
  expect(world.counts.get("group_refused")).toBe(1);
});

for (const text of [
  "/POINTS",
  "/Points",
  "/points@points_bot",
  "/points@Points_BOT",
  "  /points  ",
  "/points\n",
  "/points   x",
]) {
  test(`${JSON.stringify(text)} is /points`, async () => {
    const world = await rig();
    const ann = world.person(5);
    await ann.say("/start");
    expect(await ann.say(text)).toBe(en.points(0, 0));
  });
}

test("a code or an address may have spaces around it", async () => {
  const world = await rig();
  const [ann, bob] = [world.person(5), world.person(6, { firstName: "Bob" })];
  await ann.say("/start");
  expect(await bob.say((await startOf(ann)).replace(" ", " \t\n  ") + "  ")).toBe(en.welcomeInvited("Bob"));
  expect(await bob.say(`/wallet \n ${evm} `)).toBe(en.walletSet(evm));
});

test("who has Telegram in Russian is answered in Russian, everybody else in English", async () => {
  const world = await rig();
  for (const [id, languageCode, words] of [
    [5, "ru", ru],
    [6, "ru-RU", ru],
    [7, "RU", ru],
    [8, "en-GB", en],
    [9, "rup", en],
    [10, "pt-br", en],
    [11, null, en],
    [12, "__proto__", en],
    [13, "", en],
  ] as const) {
    const guest = world.person(id, { firstName: "A", languageCode });
    expect([languageCode, await guest.say("/start")]).toEqual([languageCode, words.welcome("A")]);
    expect(await guest.say("/daily")).toBe(words.dailyGranted(10));
  }
});

test("Russian counts its points rightly", () => {
  const said = [0, 1, 2, 4, 5, 10, 11, 12, 14, 15, 21, 22, 25, 100, 101, 111, 112, 1_000_001].map((count) =>
    ru.leaderboardLine(1, "A", count).replace("1. A: ", ""),
  );
  const words = ["0 баллов", "1 балл", "2 балла", "4 балла", "5 баллов", "10 баллов", "11 баллов", "12 баллов"];
  const more = ["14 баллов", "15 баллов", "21 балл", "22 балла", "25 баллов", "100 баллов", "101 балл", "111 баллов"];
  expect(said).toEqual([...words, ...more, "112 баллов", "1000001 балл"]);
});

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
