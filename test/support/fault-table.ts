/**
 * What a call of a handler comes to when one fault strikes it: the table that `test/telegram/fault-table.test.ts` plays. `before` the call
 * took effect at Telegram it did not, `after` it did and the answer was replaced. Telegram itself answers 401, 404, 409 and 429 only
 * before; a proxy may do anything.
 */
import type { FaultKind } from "../../src/simulator/faults.ts";
import type { HandlerMethod } from "./fault-rig.ts";

/** Words in order, a word that comes n times in a row as `word ×n`. */
export interface Row {
  /** Calls and retries of the client, as counted: `again: <why>` made again within the attempt, else how a call ended. */
  readonly client: string;
  /** What the handler met, once for each attempt. */
  readonly handler: string;
  /** Ends of the attempts; only `retry` and `dead` are counted as attempts. */
  readonly lane: string;
  /** Messages (changes, answers) at Telegram in the end. */
  readonly effects: number;
  /** What the operator is told of each attempt that is no `done`; `""` nothing. */
  readonly told: string;
}

type Rows = { readonly [When in "before" | "after"]: Row };

/** The client itself makes the call again; the handler notices nothing. */
const again = (why: "flood" | "unreachable"): Row => ({
  client: `again: ${why}, ok`,
  handler: "ok",
  lane: "done",
  effects: 1,
  told: "",
});
/** The lane waits and runs the handler again; nothing is counted. */
const waits = (outcome: string, told: string): Row => ({
  client: `${outcome}, ok`,
  handler: `${outcome === "token_refused" ? outcome : "unavailable"}, ok`,
  lane: "outage, done",
  effects: 1,
  told,
});
/** The handler is given the refusal, which is a fault of its own where it does not catch it. */
const fails = (code: number, told: string): Row => ({
  client: "refused, ok",
  handler: `GrammyError ${code}, ok`,
  lane: "retry, done",
  effects: 1,
  told,
});
/** Nobody is left to be answered: nothing is run again. */
const shutOut = (effects: number): Row => ({
  client: "refused",
  handler: "GrammyError 403",
  lane: "undeliverable",
  effects,
  told: "bot was blocked by the user",
});
const fine: Row = { client: "ok", handler: "ok", lane: "done", effects: 1, told: "" };

/** The repetition takes effect a second time. */
const twice = (row: Row): Rows => ({ before: row, after: { ...row, effects: 2 } });
const same = (row: Row): Rows => ({ before: row, after: row });
const unknown = (words: string): Row => waits("unknown", `no usable answer (${words}`);

/** Of a new message, and of every call that has no row of its own below. */
const common: Readonly<Record<FaultKind, Rows>> = {
  "429": twice(again("flood")),
  "500": twice(unknown("500 Internal Server Error: restart), outcome unknown")),
  "502-html": twice(unknown("HTTP 502 without a Bot API answer), outcome unknown")),
  "401": twice(waits("token_refused", "Telegram refuses the token (401 Unauthorized)")),
  "403": { before: shutOut(0), after: shutOut(1) },
  "404": twice(fails(404, "404: Not Found")),
  "409": twice(fails(409, "409: Conflict")),
  hang: twice(unknown("deadline), outcome unknown")),
  reset: twice(unknown("closed, ECONNRESET), outcome unknown")),
  // What cannot be connected has no effect, before or after.
  refused: same(again("unreachable")),
  truncated: twice(unknown("closed")),
  delay: same(fine),
  empty: twice(unknown("HTTP 200 without a Bot API answer), outcome unknown")),
  "not-json": twice(unknown("HTTP 200 without a Bot API answer), outcome unknown")),
};

/** A repetition that Telegram finds done already is a success. */
const editedOnce = { after: { effects: 1 } };
const unchanged = { client: "refused ×5", handler: "GrammyError 400 ×5", lane: "retry ×4, dead", effects: 1 };
const tokenFirst = {
  client: "token_refused, refused ×5",
  handler: "token_refused, GrammyError 400 ×5",
  lane: "outage, retry ×4, dead",
};

type Exceptions = Partial<Record<FaultKind, { readonly [When in "before" | "after"]?: Partial<Row> }>>;

const exceptions: Readonly<Record<HandlerMethod, Exceptions>> = {
  sendMessage: {},
  editMessageText: {
    // Done and yet refused, which Telegram never does: then nothing says that a repetition is one, and it is refused as no change.
    "429": { after: { ...unchanged, client: "again: flood, refused ×5", told: "message is not modified" } },
    "401": { after: { ...unchanged, ...tokenFirst } },
    "404": { after: { ...unchanged, handler: "GrammyError 404, GrammyError 400 ×4" } },
    "409": { after: { ...unchanged, handler: "GrammyError 409, GrammyError 400 ×4" } },
    "500": editedOnce,
    "502-html": editedOnce,
    hang: editedOnce,
    reset: editedOnce,
    truncated: editedOnce,
    empty: editedOnce,
    "not-json": editedOnce,
  },
  // It names no chat, so that a 403 says nothing of whom the handler answers.
  answerCallbackQuery: { "403": twice(fails(403, "403: Forbidden")) },
  getChat: { "403": twice(fails(403, "403: Forbidden")) },
  // A file may be a stream, which can be read only once: the next attempt makes it again, not the client.
  sendDocument: {
    "429": twice(waits("flood", "asks to wait 1 s (429)")),
    refused: same(waits("unreachable", "not sent")),
    // An upload may take longer than a handler: that is given up first, and its lane waits until the upload has ended.
    hang: { before: { handler: "attempt_revoked, ok" }, after: { handler: "attempt_revoked, ok" } },
  },
};

export function rowOf(method: HandlerMethod, kind: FaultKind, when: "before" | "after"): Row {
  const row = { ...common[kind][when], ...exceptions[method][kind]?.[when] };
  // A read has no effect.
  return method === "getChat" ? { ...row, effects: 0 } : row;
}

/** For the check that nothing is missing. */
export const kindsInTable = Object.keys(common);
