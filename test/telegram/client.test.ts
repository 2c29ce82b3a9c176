import { expect, test } from "bun:test";
import { HttpError } from "grammy";
import { Fault } from "../../src/faults.ts";
import type { FloodControl } from "../../src/telegram/flood-port.ts";
import { settled } from "../support/fake-clock.ts";
import type { ClientOptions } from "../../src/telegram/client.ts";
import { done, failed, NotingAttempt, refused, scripted, secret, token } from "./scripted.ts";
import type { Step } from "./scripted.ts";

/** Flood control that says the same to every call. */
function holding(said: ReturnType<FloodControl["admit"]>): FloodControl {
  return {
    admit: () => said,
    refused: () => {},
    ended: () => {},
    setShare: () => {},
    obey: () => {},
    waitMs: () => (said === "later" ? 9_000 : 0),
    status: () => ({ waitingReplies: 0, waitingBroadcasts: 0, waitingChats: 0, knownChats: 0 }),
  };
}

/** The Fault that `call` rejects with, or whatever else. */
function ending(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => "resolved",
    (error: unknown) => error,
  );
}

test("a call is posted once as JSON, without what is null, and ends with Telegram's result", async () => {
  const { call, requests, told } = scripted([done({ message_id: 5 })]);
  const answer = await call("sendMessage", { chat_id: 1, text: "a:null b", parse_mode: null, reply_markup: undefined });
  expect(answer).toEqual({ ok: true, result: { message_id: 5 } });
  expect(requests).toHaveLength(1);
  expect(requests[0]).toMatchObject({
    url: `http://telegram.example/bot${token}/sendMessage`,
    body: '{"chat_id":1,"text":"a:null b"}',
    contentType: "application/json",
    maxMs: 20_000,
  });
  expect(told).toEqual(["sendMessage ok 0"]);
});

test("a refusal goes to the handler", async () => {
  const { call, told } = scripted([refused(400, "Bad Request: chat not found")]);
  expect(await call("sendMessage")).toEqual({ ok: false, error_code: 400, description: "Bad Request: chat not found" });
  expect(told).toEqual(["sendMessage refused 0"]);
});

test("what was surely not sent is tried three times within the call", async () => {
  const { call, clock, requests, told } = scripted([failed("unreachable", "ECONNREFUSED")]);
  const end = ending(call("sendMessage"));
  await clock.advance(10_000);
  expect(await end).toMatchObject({ code: "unavailable", message: expect.stringContaining("not sent") as string });
  expect(requests).toHaveLength(3);
  expect(told).toEqual([
    "sendMessage again: unreachable 100",
    "sendMessage again: unreachable 200",
    "sendMessage unreachable 300",
  ]);
});

test("a call succeeds as soon as the connection opens", async () => {
  const { call, clock } = scripted([failed("unreachable"), done("yes")]);
  const answer = call("sendMessage");
  await clock.advance(1_000);
  expect(await answer).toEqual({ ok: true, result: "yes" });
});

test.each<[string, Step]>([
  ["a connection that breaks", failed("closed", "ECONNRESET")],
  ["a deadline", failed("deadline")],
  ["a 500", refused(500, "Internal Server Error")],
  ["HTML", { kind: "answered", status: 502, text: "<html>" }],
  ["an answer cut off", { kind: "answered", status: 200, text: '{"ok":true,"resu' }],
])("after %s the outcome is unknown and the call is not made again", async (_, step) => {
  const { call, requests, told } = scripted([step]);
  const end = await ending(call("sendMessage"));
  expect(end).toMatchObject({ code: "unavailable", message: expect.stringContaining("outcome unknown") as string });
  expect(requests).toHaveLength(1);
  expect(told).toEqual(["sendMessage unknown 0"]);
});

test("401 says that the token is refused", async () => {
  const { call } = scripted([refused(401, "Unauthorized")]);
  expect(await ending(call("sendMessage"))).toMatchObject({ code: "token_refused" });
});

test("retry_after is waited out and the call made again, while the handler's clock stands still", async () => {
  const { call, clock, scope, requests, told } = scripted([
    refused(429, "Too Many Requests: retry after 3", { retry_after: 3 }),
    done("sent"),
  ]);
  const attempt = new NotingAttempt();
  const answer = scope.run(attempt, () => call("sendMessage"));
  await clock.advance(2_999);
  expect(requests).toHaveLength(1);
  expect(attempt.asked).toEqual(["send sendMessage {}", "pause"]);
  await clock.advance(1);
  expect(await answer).toEqual({ ok: true, result: "sent" });
  expect(attempt.asked).toEqual(["send sendMessage {}", "pause", "resume"]);
  expect(told).toEqual(["sendMessage again: flood 3000", "sendMessage ok 3000"]);
});

test("the handler's clock runs on while a connection is tried again", async () => {
  const { call, clock, scope } = scripted([failed("unreachable"), done()]);
  const attempt = new NotingAttempt();
  const answer = scope.run(attempt, () => call("sendMessage"));
  await clock.advance(1_000);
  await answer;
  expect(attempt.asked).toEqual(["send sendMessage {}"]);
});

test("waits beyond a minute in all go back to the lane with the time Telegram named", async () => {
  const { call, clock, requests } = scripted([refused(429, "Too Many Requests", { retry_after: 40 })]);
  const end = ending(call("sendMessage"));
  await clock.advance(40_000);
  expect(await end).toMatchObject({ code: "unavailable", retryAfterMs: 40_000 });
  expect(requests).toHaveLength(2);
});

test("a wait of hours goes back to the lane at once", async () => {
  const { call } = scripted([refused(429, "Too Many Requests", { retry_after: 7_200 })]);
  expect(await ending(call("sendMessage"))).toMatchObject({ code: "unavailable", retryAfterMs: 7_200_000 });
});

test("a shutdown ends a flood wait at once, as unavailable, and leaves no timer behind", async () => {
  const { call, clock, scope, told } = scripted([refused(429, "Too Many Requests", { retry_after: 30 })]);
  const attempt = new NotingAttempt();
  const end = ending(scope.run(attempt, () => call("sendMessage")));
  await clock.advance(1_000);
  attempt.waiting.abort();
  expect(await end).toMatchObject({ code: "unavailable" });
  expect(attempt.asked).toEqual(["send sendMessage {}", "pause", "resume"]);
  expect(clock.pending()).toBe(0);
  expect(told.at(-1)).toBe("sendMessage aborted 1000");
});

test("a call that finds no room in flood control goes back to the lane, unsent", async () => {
  const { call, requests, told } = scripted([done()], { flood: holding("full") });
  expect(await ending(call("sendMessage", { chat_id: 1 }))).toMatchObject({
    code: "unavailable",
    retryAfterMs: undefined,
    message: expect.stringContaining("too many calls wait") as string,
  });
  expect(requests).toHaveLength(0);
  expect(told).toEqual(["sendMessage flood 0"]);
});

test("a call to a chat that Telegram refuses for hours goes back to the lane, unsent, with the time that is left", async () => {
  const { call, requests } = scripted([done()], { flood: holding("later") });
  expect(await ending(call("sendMessage", { chat_id: 1 }))).toMatchObject({ code: "unavailable", retryAfterMs: 9_000 });
  expect(requests).toHaveLength(0);
});

test("a call that flood control holds back is sent when it is let go, its handler's clock stands still until then", async () => {
  let go = (): void => {};
  const held = new Promise<"go">((resolve) => {
    go = () => resolve("go");
  });
  const { call, scope, requests } = scripted([done()], { flood: holding(held) });
  const attempt = new NotingAttempt();
  const answer = scope.run(attempt, () => call("sendMessage", { chat_id: 1 }));
  await settled();
  expect([requests.length, attempt.asked.at(-1)]).toEqual([0, "pause"]);
  go();
  expect(await answer).toMatchObject({ ok: true });
  expect(attempt.asked.at(-1)).toBe("resume");
});

test("a call whose attempt was given up in flood control is not sent, though it was let go", async () => {
  const { call, scope, requests } = scripted([done()], { flood: holding(settled().then(() => "go" as const)) });
  const attempt = new NotingAttempt();
  const end = ending(scope.run(attempt, () => call("sendMessage", { chat_id: 1 })));
  attempt.revoked = true;
  expect(await end).toMatchObject({ code: "attempt_revoked" });
  expect(requests).toHaveLength(0);
});

test("a connection that is tried again asks flood control no second time, a 429 does", async () => {
  const asked: string[] = [];
  const flood: FloodControl = {
    ...holding(undefined),
    admit: () => void asked.push("admit"),
    refused: () => void asked.push("refused"),
    ended: (_call, accepted) => void asked.push(`ended ${accepted}`),
  };
  const { call, clock } = scripted([failed("unreachable"), refused(429, "", { retry_after: 1 }), done()], { flood });
  const answer = call("sendMessage", { chat_id: 1 });
  await clock.advance(5_000);
  await answer;
  expect(asked).toEqual(["admit", "refused", "admit", "ended true"]);
});

test("an attempt given up while it waits makes no further try", async () => {
  const { call, clock, scope, requests } = scripted([failed("unreachable")]);
  const attempt = new NotingAttempt();
  const end = ending(scope.run(attempt, () => call("sendMessage")));
  await settled();
  attempt.revoked = true;
  await clock.advance(10_000);
  expect(await end).toMatchObject({ code: "attempt_revoked" });
  expect(requests).toHaveLength(1);
});

test.each<[string, Step, Partial<ClientOptions>]>([
  ["a connection is tried again", failed("unreachable"), {}],
  ["a 429 is waited out", refused(429, "Too Many Requests", { retry_after: 3 }), {}],
  ["flood control holds it back", done(), { flood: holding(settled().then(() => "go" as const)) }],
  ["the chat is made another", refused(400, "Bad Request: group chat was upgraded", { migrate_to_chat_id: -100 }), {}],
])("where the claim is in doubt meanwhile, a call goes out no more: %s", async (_, step, options) => {
  const { call, clock, scope, requests } = scripted([step, done()], options);
  const attempt = new NotingAttempt();
  const end = ending(scope.run(attempt, () => call("sendMessage", { chat_id: -1 })));
  const sent = requests.length;
  attempt.isClaimed = false;
  await clock.advance(10_000);
  expect(await end).toMatchObject({ code: "unavailable" });
  expect(requests).toHaveLength(sent);
});

test("a bot's call after its update was settled is tried again, whoever has the claim", async () => {
  const { call, clock, scope } = scripted([failed("unreachable"), done("yes")]);
  const attempt = new NotingAttempt();
  attempt.isClaimed = false;
  attempt.isOver = true;
  const answer = scope.run(attempt, () => call("sendMessage"));
  await clock.advance(1_000);
  expect(await answer).toMatchObject({ result: "yes" });
});

test("a shutdown that has waited long enough aborts the open call", async () => {
  const { call, scope, told } = scripted(["hang"]);
  const attempt = new NotingAttempt();
  const end = ending(scope.run(attempt, () => call("sendMessage")));
  attempt.stopping.abort();
  expect(await end).toMatchObject({ code: "attempt_revoked" });
  expect(told).toEqual(["sendMessage aborted 0"]);
});

test("the caller's own signal ends a call as grammY does, and the attempt's still works beside it", async () => {
  for (const which of ["own", "attempt"] as const) {
    const { call, scope } = scripted(["hang"]);
    const attempt = new NotingAttempt();
    const own = new AbortController();
    const end = ending(scope.run(attempt, () => call("sendMessage", {}, own.signal)));
    (which === "own" ? own : attempt.stopping).abort();
    const error = await end;
    if (which === "own") expect(error).toBeInstanceOf(HttpError);
    else expect(error).toMatchObject({ code: "attempt_revoked" });
  }
});

test("within a handler, reads are effects and everything else is a send", async () => {
  const { call, scope } = scripted([done()]);
  const attempt = new NotingAttempt();
  await scope.run(attempt, async () => {
    await call("getChat", { chat_id: 1 });
    await call("setMyCommands", { commands: [] });
  });
  expect(attempt.asked).toEqual(["effect", 'send setMyCommands {"commands":[]}']);
});

test("an exchange resolves with whatever the Bot API answers, and is never repeated", async () => {
  for (const reply of [refused(500, "Internal Server Error"), refused(429, "Too Many Requests", { retry_after: 1 })]) {
    const { client, requests } = scripted([reply]);
    expect(await client.exchange("getUpdates", { offset: 0 })).toMatchObject({ ok: false });
    expect(requests).toHaveLength(1);
  }
});

test("an exchange passes its deadline on and rejects where there is no answer of the Bot API", async () => {
  const { client, requests } = scripted([failed("deadline"), { kind: "answered", status: 502, text: "<html>" }]);
  expect(await ending(client.exchange("getUpdates", {}, { maxMs: 40_000 }))).toMatchObject({ code: "unavailable" });
  expect(requests[0]?.maxMs).toBe(40_000);
  expect(await ending(client.exchange("getUpdates", {}))).toMatchObject({ code: "unavailable" });
});

test("an exchange ends as revoked when its signal aborts", async () => {
  const { client } = scripted(["hang"]);
  const stop = new AbortController();
  const end = ending(client.exchange("getUpdates", {}, { signal: stop.signal }));
  stop.abort();
  expect(await end).toBeInstanceOf(Fault);
  expect(await end).toMatchObject({ code: "attempt_revoked" });
});

test("a token in Telegram's words is taken out", async () => {
  const { call, client } = scripted([refused(400, `Bad Request: bot${token} (${encodeURIComponent(token)})`)]);
  for (const answer of [await call("sendMessage"), await client.exchange("getMe", {})]) {
    expect(JSON.stringify(answer)).not.toContain(secret);
    expect(JSON.stringify(answer)).toContain("<token>");
  }
});
