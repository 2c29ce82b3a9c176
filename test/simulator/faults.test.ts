import { expect, test } from "bun:test";
import { settled } from "../support/fake-clock.ts";
import type { FaultSpec } from "../../src/simulator/faults.ts";
import { core, watched } from "./core.ts";

const send = { chat_id: 7, text: "x" };

test("each fault puts on the wire what it is named after", async () => {
  const { call, say, api } = core();
  say("hi");
  const struck = async (spec: FaultSpec): Promise<readonly unknown[]> => {
    const fault = api.faults.add(spec);
    const reply = await api.call(api.bot(42).token, "sendMessage", send);
    fault.remove();
    return reply.kind === "answer" ? [reply.status, reply.body, reply.headers["Retry-After"]] : [reply.kind];
  };
  const body = (status: number, description: string, more = ""): string =>
    `{"ok":false,"error_code":${status},"description":"${description}"${more}}`;
  expect(await struck({ kind: "429", retryAfter: 35 })).toEqual([
    429,
    body(429, "Too Many Requests: retry after 35", ',"parameters":{"retry_after":35}'),
    "35",
  ]);
  expect(await struck({ kind: "500" })).toEqual([500, body(500, "Internal Server Error: restart"), undefined]);
  expect(await struck({ kind: "401" })).toEqual([401, body(401, "Unauthorized"), undefined]);
  expect(await struck({ kind: "403" })).toEqual([403, body(403, "Forbidden: bot was blocked by the user"), undefined]);
  expect(await struck({ kind: "404" })).toEqual([404, body(404, "Not Found"), undefined]);
  expect((await struck({ kind: "409" }))[0]).toBe(409);
  const [status, html] = await struck({ kind: "502-html" });
  expect([status, String(html).startsWith("<html>\r\n<head><title>502 Bad Gateway")]).toEqual([502, true]);
  expect(await struck({ kind: "empty" })).toEqual([200, "", undefined]);
  expect(await struck({ kind: "not-json" })).toEqual([200, "<html>Welcome</html>", undefined]);
  for (const kind of ["hang", "reset", "refused", "truncated"] as const) expect(await struck({ kind })).toEqual([kind]);
  expect((await call("sendMessage", send)).status).toBe(200);
});

test("a fault before the effect keeps the message from the person, one after it does not", async () => {
  const { call, say, api, bot } = core();
  say("hi");
  api.faults.add({ kind: "500", times: 1 });
  api.faults.add({ kind: "reset", when: "after", times: 1 });
  api.faults.add({ kind: "refused", when: "after", times: 1 });
  expect((await call("sendMessage", { chat_id: 7, text: "before" })).status).toBe(500);
  expect((await call("sendMessage", { chat_id: 7, text: "after" })).kind).toBe("reset");
  expect((await call("sendMessage", { chat_id: 7, text: "refused" })).kind).toBe("refused");
  expect(api.people.messages(bot, 7).map(({ text }) => text)).toEqual(["hi", "after"]);
  expect(api.journal.counts(bot, 7)).toMatchObject({ sends: 3, sendEffects: 1, sendsOk: 0 });
});

test("a fault strikes only the bot, chat and method it names, as often as it says", async () => {
  const { call, say, api, bot } = core();
  say("hi");
  api.people.person(8).say(bot, "hi");
  const fault = api.faults.add({ kind: "500", bot, chat: 8, method: "sendmessage", times: 2 });
  const other = api.faults.add({ kind: "500", bot: 43 });
  const statusOf = async (method: string, chat: number): Promise<number> =>
    (await call(method, { chat_id: chat, text: "x" })).status;
  expect(await statusOf("sendMessage", 7)).toBe(200);
  expect(await statusOf("sendChatAction", 8)).toBe(200);
  expect([
    await statusOf("sendMessage", 8),
    await statusOf("sendMessage", 8),
    await statusOf("sendMessage", 8),
  ]).toEqual([500, 500, 200]);
  expect([fault.matched, fault.struck, other.matched]).toEqual([2, 2, 0]);
});

test("a fault that is removed strikes no more, and one with a chance strikes that share", async () => {
  const { call, api } = core();
  const fault = api.faults.add({ kind: "500", probability: 0.25 });
  let failed = 0;
  for (let n = 0; n < 2_000; n++) if ((await call("getMe")).status === 500) failed++;
  expect(failed).toBe(fault.struck);
  expect(fault.matched).toBe(2_000);
  expect(Math.abs(failed - 500)).toBeLessThan(100);
  fault.remove();
  expect((await call("getMe")).status).toBe(200);
  expect(fault.matched).toBe(2_000);
});

test("a poll that fails before the effect confirms nothing, one whose answer is lost confirms and delivers", async () => {
  const { call, ids, say, api, bot, clock } = core();
  say("a", "b");
  expect(await ids({ offset: 0 })).toEqual([100, 101]);
  api.faults.add({ kind: "500", method: "getUpdates", times: 1 });
  api.faults.add({ kind: "reset", method: "getUpdates", when: "after", times: 1 });
  await call("getUpdates", { offset: 102 });
  expect(api.journal.counts(bot).confirmed).toBe(0);
  expect((await call("getUpdates", { offset: 101 })).kind).toBe("reset");
  expect(api.journal.counts(bot)).toMatchObject({ confirmed: 1, delivered: 3 });
  await clock.advance(600);
  expect(await ids({ offset: 101 })).toEqual([101]);
});

test("a delay before makes the effect late, a delay after only the answer", async () => {
  const { call, say, api, bot, clock } = core();
  say("hi");
  api.faults.add({ kind: "delay", delayMs: 500, times: 1 });
  const before = watched(call("sendMessage", { chat_id: 7, text: "before" }));
  await settled();
  expect(api.journal.counts(bot).sends).toBe(0);
  await clock.advance(500);
  expect([before.done, api.journal.counts(bot).sends]).toEqual([true, 1]);
  api.faults.add({ kind: "delay", delayMs: 500, when: "after", times: 1 });
  const after = watched(call("sendMessage", { chat_id: 7, text: "after" }));
  await clock.advance(499);
  expect([after.done, api.journal.counts(bot).sends]).toEqual([false, 2]);
  await clock.advance(1);
  expect(after.value?.status).toBe(200);
});

test("a late call takes effect although its caller has gone, a late poll does not", async () => {
  const { say, api, bot, clock } = core();
  say("hi");
  api.faults.add({ kind: "delay", delayMs: 500 });
  for (const method of ["sendMessage", "getUpdates"]) {
    const controller = new AbortController();
    const call = watched(api.call(api.bot(bot).token, method, { ...send, offset: 101 }, { signal: controller.signal }));
    await clock.advance(100);
    controller.abort();
    await settled();
    expect(call.value).toEqual({ kind: "reset" });
  }
  await clock.advance(1_000);
  expect(api.journal.counts(bot)).toMatchObject({ sendEffects: 1, confirmed: 0 });
});

test("every answer is as late as the simulator is told", async () => {
  const { call, clock } = core({ delayMs: 50 });
  const me = watched(call("getMe"));
  await clock.advance(49);
  expect(me.done).toBe(false);
  await clock.advance(1);
  expect(me.done).toBe(true);
});
