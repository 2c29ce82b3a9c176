/** What becomes of an update after an attempt: the rules of retry and death, without any I/O. */
import type { AttemptEnd } from "./attempt-run.ts";
import { type Fault, faultOf, isOutage } from "./faults.ts";
import type { LaneKey } from "./ids.ts";

export interface VerdictLimits {
  readonly attemptsMax: number;
  readonly attemptWaitsMs: readonly number[];
  readonly handlerMaxMs: number;
  readonly errorMaxChars: number;
}

/** What the attempt that has ended belongs to. */
export interface Ended {
  readonly lane: LaneKey;
  /** Handler faults before it. */
  readonly attemptsBefore: number;
  readonly isStopping: boolean;
  /** Takes secrets out of what a handler threw. */
  readonly redact: (text: string) => string;
}

export type Verdict =
  | { readonly kind: "done" }
  /** The chat that the update came from cannot be written to any more: nobody is there to be answered, so nothing is run again. */
  | { readonly kind: "undeliverable"; readonly error: string }
  /** A handler fault that may still go better: run again after `waitMs`. `attempts` includes the one that just ended. */
  | { readonly kind: "retry"; readonly attempts: number; readonly waitMs: number; readonly error: string }
  | { readonly kind: "dead"; readonly attempts: number; readonly error: string; readonly effectsUnknown: boolean }
  /** Something outside is unavailable: run again, nothing is counted. `retryAfterMs` where the other side said how long. */
  | { readonly kind: "outage"; readonly retryAfterMs: number | undefined; readonly fault: Fault }
  /** A shutdown: the update stays in the inbox as it is. */
  | { readonly kind: "kept" };

/**
 * Only a fault of the handler itself counts as an attempt. From a shutdown on, what was cut short is kept, never counted, because the
 * shutdown may be the reason.
 */
export function judge(end: AttemptEnd, ended: Ended, limits: VerdictLimits): Verdict {
  const { lane, attemptsBefore, isStopping, redact } = ended;
  if (end.kind === "returned") return { kind: "done" };
  if (end.kind === "revoked") {
    if (end.by === "shutdown") return { kind: "kept" };
    return handlerFault(`the handler did not end within ${limits.handlerMaxMs} ms`, attemptsBefore, limits);
  }
  const fault = faultOf(end.error);
  if (fault !== undefined && isOutage(fault)) {
    return isStopping ? { kind: "kept" } : { kind: "outage", retryAfterMs: fault.retryAfterMs, fault };
  }
  // Before it is cut: half a secret would no longer be known as one.
  const error = redact(describe(end.error)).slice(0, limits.errorMaxChars);
  return isShutOut(end.error, lane) ? { kind: "undeliverable", error } : handlerFault(error, attemptsBefore, limits);
}

/**
 * Whether Telegram has refused to write to the chat of the update itself: blocked, kicked, left, deactivated, deleted (403), or unknown
 * to the bot (400). Handlers rarely catch that, and no later attempt would go better. To any other chat it is a fault of the handler.
 */
function isShutOut(thrown: unknown, lane: LaneKey): boolean {
  try {
    if (!(thrown instanceof Error)) return false;
    // grammY's GrammyError, perhaps in its BotError; of a library that is not known here.
    const refusal = "error" in thrown && thrown.error instanceof Error ? thrown.error : thrown;
    const { error_code: code, description = "", method = "", payload } = refusal as Error & Partial<Refused>;
    const isShut = code === 403 || (code === 400 && description.includes("chat not found"));
    // A lane that is no number stands for something else than a chat.
    if (!isShut || !isWrite.test(method) || typeof lane !== "number" || Number(payload?.["chat_id"]) !== lane)
      return false;
    // Else it may be the other chat that cannot be read; of users Telegram speaks only where it writes to them.
    return !namesAnotherChat(payload, lane) || description.includes("user");
  } catch {
    return false; // What throws when it is looked at is no refusal of Telegram's.
  }
}

interface Refused {
  readonly error_code: number;
  readonly description: string;
  readonly method: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** Whether the call takes something from another chat than it writes to. */
function namesAnotherChat(payload: Refused["payload"] | undefined, lane: number): boolean {
  const replied = payload?.["reply_parameters"] as Refused["payload"] | undefined;
  return [payload?.["from_chat_id"], replied?.["chat_id"]].some((chat) => chat !== undefined && Number(chat) !== lane);
}

const isWrite = /^(send|edit|copy|forward)/;

/** The end of an update that alone met an outage `times` in a row: what Telegram made of its calls nobody knows. */
export function giveUp(fault: Fault, times: number, attempts: number, limits: VerdictLimits): Verdict {
  const words = `${times} times in a row Telegram gave no usable answer, while it answered other updates of the bot. Last: `;
  return {
    kind: "dead",
    attempts,
    error: (words + fault.message).slice(0, limits.errorMaxChars),
    effectsUnknown: true,
  };
}

function handlerFault(error: string, attemptsBefore: number, limits: VerdictLimits): Verdict {
  const attempts = attemptsBefore + 1;
  if (attempts >= limits.attemptsMax) return { kind: "dead", attempts, error, effectsUnknown: false };
  const waits = limits.attemptWaitsMs;
  return { kind: "retry", attempts, error, waitMs: waits[Math.min(attempts, waits.length) - 1] ?? 0 };
}

/** Text of an error that is looked through for secrets, characters. */
const errorReadMaxChars = 100_000;

/** Text of whatever was thrown, for an operator; never throws itself. */
function describe(error: unknown): string {
  try {
    // grammY wraps what a handler threw in a BotError; the wrapped error is the one worth reading.
    const inner = error instanceof Error && "error" in error && error.error instanceof Error ? error.error : error;
    const text = inner instanceof Error ? `${inner.name}: ${inner.message}` : `thrown: ${String(inner)}`;
    return text.slice(0, errorReadMaxChars);
  } catch {
    return "thrown: something that cannot be shown";
  }
}
