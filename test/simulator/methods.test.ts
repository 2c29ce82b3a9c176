import { expect, test } from "bun:test";
import { makeToken } from "../../src/simulator/token.ts";
import type { Called } from "./core.ts";
import { core } from "./core.ts";

const described = ({ status, body }: Called): string => `${status} ${body.description}`;

test("a bot says who it is", async () => {
  const { call } = core();
  expect(await call("getMe")).toMatchObject({ status: 200, body: { ok: true, result: { id: 42, is_bot: true } } });
  expect((await call("GETME")).status).toBe(200);
});

test("a token is the same for the same id and has Telegram's form", () => {
  expect(makeToken(42)).toBe(makeToken(42));
  expect(makeToken(42)).not.toBe(makeToken(43));
  expect(makeToken(7_000_000_001)).toMatch(/^7000000001:AA[\w-]{33}$/);
});

test("unknown tokens, revoked bots and unknown methods are refused in Telegram's words", async () => {
  const { api, bot, call } = core();
  const refused = async (token: string): Promise<string> => {
    const reply = await api.call(token, "getMe");
    return reply.kind === "answer" ? reply.body : reply.kind;
  };
  expect(await refused(makeToken(43))).toBe('{"ok":false,"error_code":401,"description":"Unauthorized"}');
  expect(await refused("nonsense")).toContain('"description":"Unauthorized: invalid token specified"');
  expect(described(await call("getMagic"))).toBe("404 Not Found: method not found");
  api.bot(bot).revoked = true;
  expect(described(await call("getMe"))).toBe("401 Unauthorized");
});

test("sendMessage shows the text to the person and answers with the message", async () => {
  const { call, say, api, bot, clock } = core();
  say("hi");
  const keyboard = { inline_keyboard: [[{ text: "Go", callback_data: "go" }]] };
  const { body } = await call("sendMessage", { chat_id: "7", text: "hello", reply_markup: JSON.stringify(keyboard) });
  expect(body.result).toMatchObject({
    message_id: 2,
    from: { id: 42 },
    chat: { id: 7, type: "private" },
    date: Math.floor(clock.now() / 1_000),
    text: "hello",
    reply_markup: keyboard,
  });
  expect(api.people.person(7).messages(bot)).toMatchObject([
    { from: 7, text: "hi" },
    { from: "bot", text: "hello", buttons: [[{ text: "Go", data: "go" }]] },
  ]);
});

test("texts and chats that Telegram refuses are refused in its words", async () => {
  const { call, say, api, bot } = core();
  say("hi");
  const send = async (chatId: unknown, text?: string): Promise<string> =>
    described(await call("sendMessage", { chat_id: chatId, text }));
  expect(await send(7)).toBe("400 Bad Request: message text is empty");
  expect(await send(7, "")).toBe("400 Bad Request: message text is empty");
  expect(await send(7, " \n ")).toBe("400 Bad Request: text must be non-empty");
  expect(await send(7, "x".repeat(4_097))).toBe("400 Bad Request: message is too long");
  expect((await call("sendMessage", { chat_id: 7, text: "😀".repeat(4_096) })).status).toBe(200);
  expect(await send(7, "x".repeat(32_769))).toBe("400 Bad Request: text is too long");
  expect(await send("", "x")).toBe("400 Bad Request: chat_id is empty");
  expect(await send(8, "x")).toBe("400 Bad Request: chat not found");
  expect(await send("@nobody", "x")).toBe("400 Bad Request: chat not found");
  const refusedAs = async (refused: Parameters<typeof api.people.refuse>[2], chat = 7): Promise<string> => {
    api.people.refuse(bot, chat, refused);
    return send(chat, "x");
  };
  expect(await refusedAs("blocked")).toBe("403 Forbidden: bot was blocked by the user");
  expect(await refusedAs("deactivated")).toBe("403 Forbidden: user is deactivated");
  expect(await refusedAs("not_started")).toBe("403 Forbidden: bot can't initiate conversation with a user");
  expect(await refusedAs("kicked", -5)).toBe("403 Forbidden: bot was kicked from the group chat");
  expect(await refusedAs("kicked", -1_000_000_000_005)).toBe("403 Forbidden: bot was kicked from the supergroup chat");
  expect(await refusedAs("deleted", -5)).toBe("403 Forbidden: the group chat was deleted");
  api.people.refuse(bot, -5, { upgradedTo: -1_000_000_000_006 });
  expect((await call("sendMessage", { chat_id: -5, text: "x" })).body).toEqual({
    ok: false,
    error_code: 400,
    description: "Bad Request: group chat was upgraded to a supergroup chat",
    parameters: { migrate_to_chat_id: -1_000_000_000_006 },
  } as Called["body"]);
});

test("a bot may write anywhere where the simulator is told so", async () => {
  const { call } = core({ anyChat: true });
  expect((await call("sendMessage", { chat_id: 99, text: "x" })).status).toBe(200);
});

test("messages are edited and deleted, and an edit that changes nothing is refused", async () => {
  const { call, say, api, bot } = core();
  say("hi");
  await call("sendMessage", { chat_id: 7, text: "one" });
  expect((await call("editMessageText", { chat_id: 7, message_id: 2, text: "two" })).body.result).toMatchObject({
    message_id: 2,
    text: "two",
  });
  expect(described(await call("editMessageText", { chat_id: 7, message_id: 2, text: "two" }))).toStartWith(
    "400 Bad Request: message is not modified: ",
  );
  expect(described(await call("editMessageText", { chat_id: 7, message_id: 3, text: "x" }))).toBe(
    "400 Bad Request: message to edit not found",
  );
  expect(api.people.messages(bot, 7)).toMatchObject([{ text: "hi" }, { text: "two", edited: true }]);
  expect((await call("deleteMessage", { chat_id: 7, message_id: 2 })).body.result).toBe(true);
  expect(api.people.messages(bot, 7)).toMatchObject([{ text: "hi" }]);
});

test("other things to send show their caption and kind", async () => {
  const { call, say, api, bot } = core();
  say("hi");
  const photo = await call("sendPhoto", { chat_id: 7, photo: { fileName: "a.jpg", bytes: 3 }, caption: "look" });
  expect(photo.body.result).toMatchObject({ caption: "look", photo: [{ width: 1 }] });
  await call("sendDocument", { chat_id: 7, document: "file-1" });
  expect(api.people.messages(bot, 7).slice(1)).toMatchObject([
    { kind: "photo", text: "look" },
    { kind: "document", text: "" },
  ]);
});

test("settings and actions of a bot answer true", async () => {
  const { call, say } = core();
  say("hi");
  for (const method of ["setMyCommands", "sendChatAction", "setMessageReaction", "leaveChat", "setChatMenuButton"]) {
    expect((await call(method, { chat_id: 7 })).body.result).toBe(true);
  }
  expect((await call("getChat", { chat_id: 7 })).body.result).toMatchObject({ id: 7, type: "private" });
});

test("a query is answered while Telegram keeps it and is too old afterwards", async () => {
  const { call, api, bot, clock } = core();
  const tooOld = "400 Bad Request: query is too old and response timeout expired or query ID is invalid";
  api.people.person(7).inline(bot, "q");
  expect((await call("answerInlineQuery", { inline_query_id: "1", results: [] })).body.result).toBe(true);
  await clock.advance(30_001);
  expect(described(await call("answerInlineQuery", { inline_query_id: "1", results: [] }))).toBe(tooOld);
  api.people.deliver(bot, { pre_checkout_query: { id: "abc", from: { id: 7 } } });
  expect((await call("answerPreCheckoutQuery", { pre_checkout_query_id: "abc", ok: true })).body.result).toBe(true);
  await clock.advance(150_001);
  expect(described(await call("answerPreCheckoutQuery", { pre_checkout_query_id: "abc", ok: true }))).toBe(tooOld);
  expect(described(await call("answerCallbackQuery", { callback_query_id: "never" }))).toBe(tooOld);
});

test("sending limits are enforced where they are switched on", async () => {
  const { call, say, clock, api, bot } = core({ spec: { limits: {} } });
  say("hi");
  api.people.group(bot, -5);
  const send = async (chat: number): Promise<number> =>
    (await call("sendMessage", { chat_id: chat, text: "x" })).status;
  for (let n = 0; n < 5; n++) expect(await send(7)).toBe(200);
  const refused = await call("sendMessage", { chat_id: 7, text: "x" });
  expect(refused.body).toEqual({
    ok: false,
    error_code: 429,
    description: "Too Many Requests: retry after 1",
    parameters: { retry_after: 1 },
  } as Called["body"]);
  expect(refused.headers["Retry-After"]).toBe("1");
  await clock.advance(1_000);
  expect([await send(7), await send(7)]).toEqual([200, 429]);
  for (let n = 0; n < 20; n++) expect(await send(-5)).toBe(200);
  const group = await call("sendMessage", { chat_id: -5, text: "x" });
  expect(group.body.parameters).toEqual({ retry_after: 3 });
});

test("a bot sends at most 30 a second over all chats where limits are on", async () => {
  const { call, clock } = core({ anyChat: true, spec: { limits: {} } });
  const burst = async (): Promise<number> => {
    let went = 0;
    for (let chat = 1; chat <= 100; chat++) {
      if ((await call("sendMessage", { chat_id: chat, text: "x" })).status === 200) went++;
    }
    return went;
  };
  expect(await burst()).toBe(30);
  await clock.advance(10_000);
  expect(await burst()).toBe(30);
});
