import { expect, test } from "bun:test";
import { Api, InputFile } from "grammy";
import type { FloodControl } from "../../src/telegram/flood-port.ts";
import { done, NotingAttempt, refused, scripted, token } from "./scripted.ts";

const moved = (chat: unknown) =>
  refused(400, "Bad Request: group chat was upgraded to a supergroup chat", { migrate_to_chat_id: chat });

test("a call to a group that became a supergroup is made once more, under the new number", async () => {
  const { call, requests, told } = scripted([moved(-1001), done({ message_id: 1 })]);
  expect(await call("sendMessage", { chat_id: -7, text: "hi" })).toEqual({ ok: true, result: { message_id: 1 } });
  expect(requests.map(({ body }) => body)).toEqual(['{"chat_id":-7,"text":"hi"}', '{"chat_id":-1001,"text":"hi"}']);
  expect(told).toEqual(["sendMessage refused 0", "sendMessage ok 0"]);
});

test("a second move in a row is handed to the handler", async () => {
  const { call, requests } = scripted([moved(-1001), moved(-1002)]);
  expect(await call("sendMessage", { chat_id: -7 })).toMatchObject({ parameters: { migrate_to_chat_id: -1002 } });
  expect(requests).toHaveLength(2);
});

test("flood control holds the second call back as one to the new chat", async () => {
  const asked: unknown[] = [];
  const flood: FloodControl = {
    admit: ({ chat, isGroup }) => void asked.push(["admit", chat, isGroup]),
    refused: () => {},
    ended: ({ chat }) => void asked.push(["ended", chat]),
    setShare: () => {},
    obey: () => {},
    waitMs: () => 0,
    status: () => ({ waitingReplies: 0, waitingBroadcasts: 0, waitingChats: 0, knownChats: 0 }),
  };
  const { call } = scripted([moved(-1001), done()], { flood });
  await call("sendMessage", { chat_id: -7 });
  expect(asked).toEqual([
    ["admit", -7, true],
    ["ended", -7],
    ["admit", -1001, true],
    ["ended", -1001],
  ]);
});

test("a move is one send of its attempt, remembered under the number that the handler named", async () => {
  const { call, scope } = scripted([moved(-1001), done()]);
  const attempt = new NotingAttempt();
  await scope.run(attempt, () => call("sendMessage", { chat_id: -7, text: "hi" }));
  expect(attempt.asked).toEqual(['send sendMessage {"chat_id":-7,"text":"hi"}']);
});

test("an attempt given up meanwhile follows nowhere", async () => {
  const attempt = new NotingAttempt();
  const transport = {
    exchange: () => {
      attempt.revoked = true;
      return Promise.resolve(moved(-1001));
    },
  };
  const asked: string[] = [];
  const { call, scope } = scripted([], {
    transport: { exchange: (request) => (asked.push(request.body), transport.exchange()) },
  });
  await scope.run(attempt, () => call("sendMessage", { chat_id: -7 }));
  expect(asked).toEqual(['{"chat_id":-7}']);
});

test.each<[string, object]>([
  ["an edit", { chat_id: -7, message_id: 5, text: "new" }],
  ["a deletion of many", { chat_id: -7, message_ids: [5, 6] }],
  ["a copy of the chat's own message", { chat_id: -7, from_chat_id: -7, message_id: 5 }],
  [
    "a copy of another group's message, which may be the one that moved",
    { chat_id: -7, from_chat_id: -8, message_id: 5 },
  ],
  ["a copy of a group's message to a user", { chat_id: 7, from_chat_id: -8, message_id: 5 }],
  ["a forward of a group's messages to a channel", { chat_id: -1001234567890, from_chat_id: -8, message_ids: [5] }],
  ["a message to a user", { chat_id: 7, text: "for your eyes only" }],
  ["a call without a chat", { user_id: 5 }],
])("%s is not followed: the new chat numbers its messages anew", async (_, payload) => {
  const { call, requests } = scripted([moved(-1001), done()]);
  expect(await call("editMessageText", payload)).toMatchObject({ ok: false, error_code: 400 });
  expect(requests).toHaveLength(1);
});

test("a reply to a message of the old chat is sent as a reply to nothing, and one to another chat's stays one", async () => {
  const { call, requests } = scripted([moved(-1001), done(), moved(-1001), done()]);
  await call("sendMessage", { chat_id: -7, text: "hi", reply_parameters: { message_id: 5 }, reply_to_message_id: 5 });
  await call("sendMessage", { chat_id: -7, text: "hi", reply_parameters: { message_id: 5, chat_id: -1009876543210 } });
  expect(requests.map(({ body }) => body).filter((_, at) => at % 2 === 1)).toEqual([
    '{"chat_id":-1001,"text":"hi"}',
    '{"chat_id":-1001,"text":"hi","reply_parameters":{"message_id":5,"chat_id":-1009876543210}}',
  ]);
});

test("a copy from another chat is followed", async () => {
  const { call } = scripted([moved(-1001), done()]);
  expect(await call("copyMessage", { chat_id: -7, from_chat_id: 3, message_id: 5 })).toMatchObject({ ok: true });
});

test.each([[undefined], ["-1001"], [1.5], [null]])("a move to %p is a refusal like any other", async (chat) => {
  const { call, requests } = scripted([moved(chat), done()]);
  expect(await call("sendMessage", { chat_id: -7 })).toMatchObject({ ok: false });
  expect(requests).toHaveLength(1);
});

test("an upload follows its chat as well", async () => {
  const chats: unknown[] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      chats.push((await request.formData()).get("chat_id"));
      const reply = chats.length === 1 ? moved(-1001) : done({ message_id: 3 });
      return new Response(reply.kind === "answered" ? reply.text : "");
    },
  });
  try {
    const { client } = scripted([], { apiRoot: `http://127.0.0.1:${server.port}`, fetch });
    const api = new Api(token, client.apiOptions);
    api.config.use(client.transformer);
    const sent = await api.sendDocument(-7, new InputFile(new Uint8Array([1]), "one.bin"));
    expect([sent.message_id, chats]).toEqual([3, ["-7", "-1001"]]);
  } finally {
    await server.stop(true);
  }
});
