import { describe, expect, test } from "bun:test";
import { BotError, type Context, GrammyError } from "grammy";
import { limits } from "../config/limits.ts";
import { Fault } from "../src/faults.ts";
import { toLaneKey } from "../src/ids.ts";
import { type Ended, giveUp, judge, type Verdict } from "../src/verdict.ts";

const ended = (attemptsBefore = 0, isStopping = false, lane: number | string = 7): Ended => ({
  lane: toLaneKey(lane),
  attemptsBefore,
  isStopping,
  redact: (text) => text.replaceAll("hunter2", "<redacted>"),
});

const threw = (error: unknown, attemptsBefore = 0, isStopping = false): Verdict =>
  judge({ kind: "threw", error }, ended(attemptsBefore, isStopping), limits.pipeline);

test("a handler that returns is done, also during a shutdown", () => {
  for (const isStopping of [false, true]) {
    expect(judge({ kind: "returned" }, ended(4, isStopping), limits.pipeline)).toEqual({ kind: "done" });
  }
});

test("a handler's own fault waits 1, 4, 15 and 60 s, and is dead at the fifth", () => {
  const verdicts = [0, 1, 2, 3, 4, 5].map((before) => threw(new Error("broken"), before));
  const waits = verdicts.map((verdict) =>
    verdict.kind === "retry" ? [verdict.attempts, verdict.waitMs] : verdict.kind,
  );
  expect(waits).toEqual([[1, 1_000], [2, 4_000], [3, 15_000], [4, 60_000], "dead", "dead"]);
  expect(verdicts[4]).toEqual({ kind: "dead", attempts: 5, error: "Error: broken", effectsUnknown: false });
});

test("a handler that outlives its deadline has failed, and the error says so", () => {
  const verdict = judge({ kind: "revoked", by: "deadline" }, ended(), limits.pipeline);
  expect(verdict).toMatchObject({ kind: "retry", attempts: 1, error: "the handler did not end within 30000 ms" });
});

test("a shutdown counts nothing: neither what it revoked nor the outage that it is", () => {
  expect(judge({ kind: "revoked", by: "shutdown" }, ended(4, true), limits.pipeline)).toEqual({ kind: "kept" });
  expect(threw(new Fault("unavailable", "shutdown"), 4, true)).toEqual({ kind: "kept" });
});

test("an outage is never an attempt, however often it comes, and carries how long to wait", () => {
  const fault = new Fault("unavailable", "flood", { retryAfterMs: 7_000 });
  expect(threw(new BotError(fault, {} as Context), 4)).toEqual({ kind: "outage", retryAfterMs: 7_000, fault });
  const refused = new Fault("token_refused", "401");
  expect(threw(refused, 4)).toEqual({ kind: "outage", retryAfterMs: undefined, fault: refused });
});

test("a fault of botfleet that is no outage, and a refusal of Telegram, are the handler's", () => {
  const refusal = new GrammyError("m", { ok: false, error_code: 400, description: "Bad Request" }, "sendMessage", {});
  expect(threw(new Fault("settings_invalid", "x")).kind).toBe("retry");
  expect(threw(refusal).kind).toBe("retry");
});

test("the error of a dead letter is that of the handler, not of its wrapper, and short", () => {
  const errorOf = (thrown: unknown): string => (threw(thrown, 4) as { error: string }).error;
  expect(errorOf(new BotError(new TypeError("x is undefined"), {} as Context))).toBe("TypeError: x is undefined");
  expect(errorOf("just text")).toBe("thrown: just text");
  expect(errorOf(undefined)).toBe("thrown: undefined");
  expect(errorOf(new Error("long ".repeat(10_000)))).toHaveLength(limits.pipeline.errorMaxChars);
});

test("whatever was thrown, a verdict is found", () => {
  const hostile = new Proxy(new Error("x"), {
    get: () => {
      throw new Error("get");
    },
    has: () => {
      throw new Error("has");
    },
  });
  const noText = { toString: null, valueOf: null };
  for (const thrown of [hostile, noText, Object.create(null), Symbol("s"), () => {}, 10n]) {
    expect(threw(thrown).kind).toBe("retry");
  }
  expect(threw(hostile)).toMatchObject({ error: "thrown: something that cannot be shown" });
});

describe("an uncaught refusal to write to the update's own chat", () => {
  const refusal = (code: number, description: string, method: string, chat: unknown): GrammyError =>
    new GrammyError("m", { ok: false, error_code: code, description }, method, { chat_id: chat });
  const of = (error: unknown, lane: number | string = 7): Verdict["kind"] =>
    judge({ kind: "threw", error }, ended(0, false, lane), limits.pipeline).kind;

  test.each([
    [403, "Forbidden: bot was blocked by the user"],
    [403, "Forbidden: user is deactivated"],
    [403, "Forbidden: bot was kicked from the supergroup chat"],
    [400, "Bad Request: chat not found"],
  ])("settles the update as undeliverable: %d %s", (code, description) => {
    for (const method of ["sendMessage", "sendDocument", "editMessageText", "copyMessage", "forwardMessage"]) {
      expect(of(refusal(code, description, method, 7))).toBe("undeliverable");
    }
    expect(of(refusal(code, description, "sendMessage", "7"))).toBe("undeliverable");
    expect(of(new BotError(refusal(code, description, "sendMessage", 7), {} as Context))).toBe("undeliverable");
  });

  test("is the handler's fault where it is about something else", () => {
    const blocked = "Forbidden: bot was blocked by the user";
    expect(of(refusal(403, blocked, "sendMessage", 8))).toBe("retry");
    expect(of(refusal(403, blocked, "banChatMember", 7))).toBe("retry");
    expect(of(refusal(403, blocked, "sendMessage", undefined))).toBe("retry");
    expect(of(refusal(403, blocked, "sendMessage", "@shop"), "@shop")).toBe("retry");
    expect(of(refusal(400, "Bad Request: message text is empty", "sendMessage", 7))).toBe("retry");
    expect(of(refusal(404, "Not Found", "sendMessage", 7))).toBe("retry");
    expect(of(Object.assign(new Error("x"), { error_code: 403 }))).toBe("retry");
  });

  test.each([
    ["copyMessage", { from_chat_id: -100 }],
    ["forwardMessages", { from_chat_id: "@shop" }],
    ["sendMessage", { reply_parameters: { message_id: 1, chat_id: -100 } }],
  ])("is the handler's fault where another chat that %s reads from may be meant", (method, other) => {
    const end = (code: number, description: string, chat: number): Verdict["kind"] =>
      of(new GrammyError("m", { ok: false, error_code: code, description }, method, { chat_id: chat, ...other }), chat);
    expect(end(403, "Forbidden: bot was kicked from the channel chat", 7)).toBe("retry");
    expect(end(403, "Forbidden: bot is not a member of the supergroup chat", -7)).toBe("retry");
    expect(end(400, "Bad Request: chat not found", 7)).toBe("retry");
    expect(end(403, "Forbidden: bot was blocked by the user", 7)).toBe("undeliverable");
  });

  test("is undeliverable where it reads from the chat itself", () => {
    const payload = { chat_id: 7, from_chat_id: 7, reply_parameters: { message_id: 1, chat_id: "7" } };
    const refused = { ok: false, error_code: 400, description: "Bad Request: chat not found" } as const;
    expect(of(new GrammyError("m", refused, "copyMessage", payload))).toBe("undeliverable");
  });
});

test("an update given up for its unknown outcomes says how often, and that its effects are not known", () => {
  const fault = new Fault("unavailable", "x".repeat(10_000), { effect: "unknown" });
  const verdict = giveUp(fault, 100, 2, limits.pipeline) as Extract<Verdict, { kind: "dead" }>;
  expect(verdict).toMatchObject({ kind: "dead", attempts: 2, effectsUnknown: true });
  expect(verdict.error).toStartWith("100 times in a row Telegram gave no usable answer");
  expect(verdict.error).toHaveLength(limits.pipeline.errorMaxChars);
});

test("a secret in what a handler threw is taken out before the text is cut", () => {
  const cutInHalf = "x".repeat(limits.pipeline.errorMaxChars - "Error: ".length - 3);
  for (const [text, kept] of [
    ["no hunter2 here", "Error: no <redacted> here"],
    [`${cutInHalf}hunter2`, `Error: ${cutInHalf}<re`],
  ] as const) {
    expect(threw(new Error(text))).toMatchObject({ kind: "retry", error: kept });
  }
});
