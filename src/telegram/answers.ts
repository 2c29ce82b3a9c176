/** What an answer of the Bot API means for the call that got it. */
import type { HttpReply } from "./exchange.ts";

/** What the Bot API answered: a result, or a refusal that is the caller's business (400, 403, ...). */
export type Answer = Result | Refusal;

export interface Result {
  readonly ok: true;
  readonly result: unknown;
}

export interface Refusal {
  readonly ok: false;
  readonly error_code: number;
  readonly description: string;
  readonly parameters?: { readonly retry_after?: number; readonly migrate_to_chat_id?: number };
}

/** The Bot API's answer in `text`; undefined where it is none (HTML, nothing, cut off, other JSON). */
export function parseAnswer(text: string): Answer | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // Not JSON is one of the expected ends: the caller decides by the undefined.
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null || !("ok" in parsed)) return undefined;
  if (parsed.ok === true && "result" in parsed) return parsed as Result;
  if (parsed.ok !== false || !("error_code" in parsed) || typeof parsed.error_code !== "number") return undefined;
  const refusal = parsed as Refusal;
  return typeof refusal.description === "string" ? refusal : { ...refusal, description: "" };
}

/** `retry_after` in ms; undefined where the answer names none. At most a day: a timer of over 24.8 days would fire at once. */
export function retryAfterMsOf(refusal: Refusal): number | undefined {
  const seconds: unknown = refusal.parameters?.retry_after;
  if (typeof seconds !== "number" || !Number.isFinite(seconds) || seconds < 0) return undefined;
  return Math.min(seconds, 86_400) * 1_000;
}

/**
 * What becomes of a call:
 * `answer` it is handed to the caller · `flood` Telegram has not acted and asks to wait · `unreachable` it was surely not sent ·
 * `unknown` it may have taken effect · `token_refused` · `aborted` by its signal.
 */
export type Verdict =
  | { readonly kind: "answer"; readonly answer: Answer; readonly how: "ok" | "refused" | "too_old" }
  | { readonly kind: "flood"; readonly waitMs: number }
  | { readonly kind: "unreachable" | "unknown" | "token_refused" | "aborted"; readonly words: string };

/** `mayRepeat`: the same may have been asked before, without an answer. */
export function judge(method: string, reply: HttpReply, mayRepeat = false): Verdict {
  if (reply.kind === "failed") return judgeFailure(reply);
  const answer = parseAnswer(reply.text);
  if (answer !== undefined) return judgeAnswer(method, answer, mayRepeat);
  // The server could not take this very request: waiting changes nothing, and only the handler can make it smaller.
  if (aboutTheRequest.has(reply.status)) {
    const description = `${reply.status} without a Bot API answer (is the request too large?)`;
    return { kind: "answer", answer: { ok: false, error_code: reply.status, description }, how: "refused" };
  }
  return { kind: "unknown", words: `HTTP ${reply.status} without a Bot API answer` };
}

export function judgeAnswer(method: string, answer: Answer, mayRepeat = false): Verdict {
  if (answer.ok) return { kind: "answer", answer, how: "ok" };
  const { error_code: code, description } = answer;
  if (code === 429) return { kind: "flood", waitMs: retryAfterMsOf(answer) ?? 1_000 };
  if (code >= 500) return { kind: "unknown", words: `${code} ${description}` };
  if (code === 401) return { kind: "token_refused", words: `${code} ${description}` };
  if (code === 400 && queryAnswers.has(method) && description.includes("query is too old")) {
    return { kind: "answer", answer: { ok: true, result: true }, how: "too_old" };
  }
  // Else an edit whose answer was lost would be a handler fault in each attempt that follows, and a dead letter although it is done.
  if (code === 400 && mayRepeat && isDoneAlready(method, description)) {
    return { kind: "answer", answer: { ok: true, result: true }, how: "ok" };
  }
  return { kind: "answer", answer, how: "refused" };
}

function judgeFailure(failure: HttpReply & { kind: "failed" }): Verdict {
  const words = failure.code === "" ? failure.why : `${failure.why}, ${failure.code}`;
  switch (failure.why) {
    case "unreachable":
      return { kind: "unreachable", words };
    case "aborted":
      return { kind: "aborted", words };
    case "closed":
    case "deadline":
    case "too_large":
      return { kind: "unknown", words };
  }
}

/** HTTP-level refusals (the Bot API server's have an empty body, a proxy's are HTML) that are about the size or form of the request. */
const aboutTheRequest = new Set([400, 413, 414, 431]);

/** What Telegram says to a call whose wish is fulfilled already. `true` is a result that grammY's types allow for both. */
function isDoneAlready(method: string, description: string): boolean {
  if (method.startsWith("editMessage")) return description.includes("message is not modified");
  return method === "deleteMessage" && description.includes("message to delete not found");
}

const queryAnswers = new Set(["answerCallbackQuery", "answerInlineQuery"]);
