import { expect, test } from "bun:test";
import { settled } from "../support/fake-clock.ts";
import { core } from "./core.ts";

async function updates({ call }: ReturnType<typeof core>): Promise<readonly Record<string, unknown>[]> {
  return (await call("getUpdates", { offset: 0 })).body.result as readonly Record<string, unknown>[];
}

test("a person speaks in private and in a group", async () => {
  const sim = core();
  const { api, bot } = sim;
  api.people.group(bot, -1_000_000_000_001, { title: "Club", username: "club" });
  api.people.person(7).say(bot, "/start abc");
  api.people.person(8).say(bot, 'quote " and ü', { chat: -1_000_000_000_001 });
  expect(await updates(sim)).toMatchObject([
    {
      update_id: 100,
      message: {
        message_id: 1,
        from: { id: 7, is_bot: false },
        chat: { id: 7, type: "private" },
        text: "/start abc",
        entities: [{ type: "bot_command", offset: 0, length: 6 }],
      },
    },
    {
      update_id: 101,
      message: {
        from: { id: 8 },
        chat: { type: "supergroup", title: "Club", username: "club" },
        text: 'quote " and ü',
      },
    },
  ]);
  expect((await sim.call("sendMessage", { chat_id: "@club", text: "x" })).status).toBe(200);
});

test("a pressed button is a callback query that can be answered", async () => {
  const sim = core();
  const { api, bot, call } = sim;
  const person = api.people.person(7);
  person.say(bot, "hi");
  const keyboard = { inline_keyboard: [[{ text: "Go", callback_data: "go" }]] };
  await call("sendMessage", { chat_id: 7, text: "choose", reply_markup: keyboard });
  person.press(bot, "Go");
  const [, pressed] = await updates(sim);
  const query = pressed?.["callback_query"] as { readonly id: string };
  expect(query).toMatchObject({
    from: { id: 7 },
    data: "go",
    message: { message_id: 2, text: "choose", chat: { id: 7 } },
  });
  expect((await call("answerCallbackQuery", { callback_query_id: query.id, text: "done" })).body.result).toBe(true);
  expect(api.bot(bot).query(query.id)?.answer).toMatchObject({ text: "done" });
  expect(() => person.press(bot, "Stop")).toThrow('shows no button "Stop"');
});

test("a button of a reply keyboard is spoken", async () => {
  const sim = core();
  sim.say("hi");
  await sim.call("sendMessage", { chat_id: 7, text: "choose", reply_markup: { keyboard: [["Yes", { text: "No" }]] } });
  sim.api.people.person(7).press(sim.bot, "No");
  expect((await updates(sim))[1]).toMatchObject({ message: { text: "No" } });
});

test("a bot that is blocked is told so and can write again once it is unblocked", async () => {
  const sim = core();
  const { api, bot, call } = sim;
  api.people.person(7).block(bot);
  expect((await call("sendMessage", { chat_id: 7, text: "x" })).status).toBe(403);
  api.people.person(7).unblock(bot);
  expect((await call("sendMessage", { chat_id: 7, text: "x" })).status).toBe(200);
  expect(await updates(sim)).toMatchObject([
    { my_chat_member: { old_chat_member: { status: "member" }, new_chat_member: { status: "kicked" } } },
    { my_chat_member: { old_chat_member: { status: "kicked" }, new_chat_member: { status: "member" } } },
  ]);
});

test("waiting for an answer takes one that is there, one that comes and an edit, but none from before the question", async () => {
  const { api, bot, call, clock } = core();
  const person = api.people.person(7);
  person.say(bot, "one");
  await call("sendMessage", { chat_id: 7, text: "1" });
  expect(await api.people.waitForAnswer(bot, 7)).toMatchObject({ text: "1" });
  person.say(bot, "two");
  const coming = api.people.waitForAnswer(bot, 7, ({ text }) => text === "2");
  await call("sendMessage", { chat_id: 7, text: "not yet" });
  await call("editMessageText", { chat_id: 7, message_id: 2, text: "2" });
  expect(await coming).toMatchObject({ messageId: 2, text: "2", edited: true });
  person.say(bot, "three");
  let fault = "";
  api.people.waitForAnswer(bot, 7, undefined, { maxMs: 50 }).catch((error: Error) => (fault = error.message));
  await clock.advance(49);
  expect(fault).toBe("");
  await clock.advance(1);
  await settled();
  expect(fault).toContain("no such answer in chat 7 within 50 ms");
});

test("an injected update goes out as it is, whatever allowed_updates says", async () => {
  const sim = core();
  const { api, bot, call } = sim;
  await call("getUpdates", { offset: 1, allowed_updates: ["message"] });
  api.people.deliver(bot, { brand_new_kind: { id: 5 } });
  api.people.deliver(bot, '{"update_id":"text","message":null}');
  api.people.deliver(bot, "42");
  api.people.deliver(bot, { update_id: 500, message: { chat: { id: -9 }, text: "later" } });
  api.people.deliver(bot, { message: {} });
  expect(await updates(sim)).toEqual([
    { update_id: 100, brand_new_kind: { id: 5 } },
    { update_id: "text", message: null },
    42 as unknown as Record<string, unknown>,
    { update_id: 500, message: { chat: { id: -9 }, text: "later" } },
    { update_id: 501, message: {} },
  ]);
  expect((await call("sendMessage", { chat_id: -9, text: "x" })).status).toBe(200);
});

test("an injected id that Telegram could not give is confirmed by its own number + 1 all the same", async () => {
  const sim = core();
  const { api, bot, ids } = sim;
  api.people.deliver(bot, { message: { chat: { id: 7 } } });
  api.people.deliver(bot, { update_id: 9_000_000_000_000_000, message: { chat: { id: 7 } } });
  api.people.deliver(bot, { update_id: 3, message: { chat: { id: 7 } } });
  api.people.deliver(bot, { message: { chat: { id: 7 } } });
  expect(await ids({ offset: 0 })).toEqual([100, 9_000_000_000_000_000, 3, 103]);
  expect(await ids({ offset: 9_000_000_000_000_001 })).toEqual([3, 103]);
  expect(await ids({ offset: 4 })).toEqual([103]);
  expect(await ids({ offset: 104 })).toEqual([]);
});

test("a person has the names and the language that were given last, in whatever they do", async () => {
  const sim = core();
  const { api, bot } = sim;
  const ann = { id: 7, is_bot: false, first_name: 'A"nn', username: "ann", language_code: "ru" };
  api.people.person(7, { firstName: 'A"nn', username: "ann", languageCode: "ru" });
  api.people.person(7).say(bot, "hi");
  api.people.person(7).block(bot);
  api.people.person(8, { languageCode: null }).say(bot, "hi");
  const [said, blocked, other = {}] = await updates(sim);
  expect(said).toMatchObject({ message: { from: ann } });
  expect(blocked).toMatchObject({ my_chat_member: { from: ann } });
  const { from } = other["message"] as { readonly from?: unknown };
  expect(from).toEqual({ id: 8, is_bot: false, first_name: "Person 8" });
});
