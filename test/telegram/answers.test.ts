import { describe, expect, test } from "bun:test";
import { judge, parseAnswer } from "../../src/telegram/answers.ts";
import type { HttpReply } from "../../src/telegram/exchange.ts";

const answered = (status: number, body: unknown): HttpReply => ({
  kind: "answered",
  status,
  text: typeof body === "string" ? body : JSON.stringify(body),
});
const refusal = (code: number, description: string, parameters?: object): HttpReply =>
  answered(code, { ok: false, error_code: code, description, ...(parameters && { parameters }) });
const html = "<html><head><title>502 Bad Gateway</title></head></html>";

describe("a call ends", () => {
  const cases: readonly [string, HttpReply, string][] = [
    ["with the result", answered(200, { ok: true, result: { message_id: 1 } }), "answer ok"],
    ["with a false result", answered(200, { ok: true, result: false }), "answer ok"],
    ["refused where the chat is unknown", refusal(400, "Bad Request: chat not found"), "answer refused"],
    ["refused where the bot is blocked", refusal(403, "Forbidden: bot was blocked by the user"), "answer refused"],
    ["refused on a conflict", refusal(409, "Conflict: terminated by other getUpdates request"), "answer refused"],
    ["refused where the method is unknown", refusal(404, "Not Found: method not found"), "answer refused"],
    ["refused on any 404, which may be a misspelt method", refusal(404, "Not Found"), "answer refused"],
    ["with the token refused on 401", refusal(401, "Unauthorized"), "token_refused"],
    ["in flood control on 429", refusal(429, "Too Many Requests: retry after 35", { retry_after: 35 }), "flood 35000"],
    ["in flood control for a second where 429 names no time", refusal(429, "Too Many Requests"), "flood 1000"],
    ["unknown on 500", refusal(500, "Internal Server Error: restart"), "unknown"],
    ["unknown on HTML", answered(502, html), "unknown"],
    ["unknown on HTML with status 200", answered(200, html), "unknown"],
    ["unknown on HTML with status 403", answered(403, html), "unknown"],
    ["unknown on an empty body", answered(200, ""), "unknown"],
    ["unknown on JSON that was cut off", answered(200, '{"ok":true,"result":{"mess'), "unknown"],
    ["unknown on other JSON", answered(200, '{"hello":1}'), "unknown"],
    ["unknown on a JSON null", answered(200, "null"), "unknown"],
    ["unknown on ok without a result", answered(200, '{"ok":true}'), "unknown"],
    ["unknown on a redirect", answered(302, ""), "unknown"],
    ["refused where a proxy finds it too large", answered(413, html), "answer refused"],
    ["refused where the server finds it malformed and says no more", answered(400, ""), "answer refused"],
    ["unreachable", { kind: "failed", why: "unreachable", code: "ECONNREFUSED" }, "unreachable"],
    ["unknown where the connection broke", { kind: "failed", why: "closed", code: "ECONNRESET" }, "unknown"],
    ["unknown at its deadline", { kind: "failed", why: "deadline", code: "" }, "unknown"],
    ["unknown where the answer is too large", { kind: "failed", why: "too_large", code: "" }, "unknown"],
    ["aborted", { kind: "failed", why: "aborted", code: "" }, "aborted"],
  ];
  test.each(cases)("%s", (_, reply, expected) => {
    const verdict = judge("sendMessage", reply);
    const detail = verdict.kind === "answer" ? ` ${verdict.how}` : verdict.kind === "flood" ? ` ${verdict.waitMs}` : "";
    expect(verdict.kind + detail).toBe(expected);
  });
});

test("a query that is too old to be answered counts as answered", () => {
  const tooOld = "Bad Request: query is too old and response timeout expired or query ID is invalid";
  for (const method of ["answerCallbackQuery", "answerInlineQuery"]) {
    expect(judge(method, refusal(400, tooOld))).toEqual({
      kind: "answer",
      answer: { ok: true, result: true },
      how: "too_old",
    });
  }
  expect(judge("sendMessage", refusal(400, tooOld))).toMatchObject({ kind: "answer", how: "refused" });
});

test("a retry_after of years is a day, and nonsense is a second", () => {
  for (const [after, waitMs] of [
    [3_600, 3_600_000],
    [1e12, 86_400_000],
    [-5, 1_000],
    ["7", 1_000],
    [null, 1_000],
  ] as const) {
    expect(judge("sendMessage", refusal(429, "Too Many Requests", { retry_after: after }))).toEqual({
      kind: "flood",
      waitMs,
    });
  }
});

test("an answer without a description has an empty one", () => {
  expect(parseAnswer('{"ok":false,"error_code":418}')).toEqual({ ok: false, error_code: 418, description: "" });
});

test("what may have been asked before and is done already is a success, and else the refusal that it is", () => {
  const unchanged = refusal(400, "Bad Request: message is not modified: specified new message content is the same");
  const gone = refusal(400, "Bad Request: message to delete not found");
  const success = { kind: "answer", answer: { ok: true, result: true }, how: "ok" };
  expect(judge("editMessageText", unchanged, true)).toEqual(success as ReturnType<typeof judge>);
  expect(judge("deleteMessage", gone, true)).toEqual(success as ReturnType<typeof judge>);
  expect(judge("editMessageText", unchanged, false)).toMatchObject({ how: "refused" });
  expect(judge("deleteMessage", gone)).toMatchObject({ how: "refused" });
  expect(judge("editMessageText", gone, true)).toMatchObject({ how: "refused" });
  expect(judge("sendMessage", unchanged, true)).toMatchObject({ how: "refused" });
});
