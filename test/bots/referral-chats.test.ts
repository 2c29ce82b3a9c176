/** How the bot understands and answers: buttons, groups, spellings, languages. */
import { expect, test } from "bun:test";
import { en } from "../../src/bots/referral/messages/en.ts";
import { ru } from "../../src/bots/referral/messages/ru.ts";
import { type Call, evm, firstInteger, keyboardOf, presses, rig, startOf } from "./referral-rig.ts";

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
