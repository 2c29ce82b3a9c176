/** What becomes of an update after an attempt: the rules of retry and death, without any I/O. */
import type { AttemptEnd } from "./attempt-run.ts";
import { type Fault, faultOf, isOutage } from "./faults.ts";

export interface VerdictLimits {
  readonly attemptsMax: number;
  readonly attemptWaitsMs: readonly number[];
  readonly handlerMaxMs: number;
  readonly errorMaxChars: number;
}

export type Verdict =
  | { readonly kind: "done" }
  /** A handler fault that may still go better: run again after `waitMs`. `attempts` includes the one that just ended. */
  | { readonly kind: "retry"; readonly attempts: number; readonly waitMs: number; readonly error: string }
  | { readonly kind: "dead"; readonly attempts: number; readonly error: string }
  /** Something outside is unavailable: run again, nothing is counted. `retryAfterMs` where the other side said how long. */
  | { readonly kind: "outage"; readonly retryAfterMs: number | undefined; readonly fault: Fault }
  /** A shutdown: the update stays in the inbox as it is. */
  | { readonly kind: "kept" };

/**
 * Only a fault of the handler itself counts as an attempt. `isStopping`: from a shutdown on, what was cut short is kept, never
 * counted, because the shutdown may be the reason.
 */
export function judge(end: AttemptEnd, attemptsBefore: number, isStopping: boolean, limits: VerdictLimits): Verdict {
  if (end.kind === "returned") return { kind: "done" };
  if (end.kind === "revoked") {
    if (end.by === "shutdown") return { kind: "kept" };
    return handlerFault(`the handler did not end within ${limits.handlerMaxMs} ms`, attemptsBefore, limits);
  }
  const fault = faultOf(end.error);
  if (fault !== undefined && isOutage(fault)) {
    return isStopping ? { kind: "kept" } : { kind: "outage", retryAfterMs: fault.retryAfterMs, fault };
  }
  return handlerFault(describe(end.error, limits.errorMaxChars), attemptsBefore, limits);
}

function handlerFault(error: string, attemptsBefore: number, limits: VerdictLimits): Verdict {
  const attempts = attemptsBefore + 1;
  if (attempts >= limits.attemptsMax) return { kind: "dead", attempts, error };
  const waits = limits.attemptWaitsMs;
  return { kind: "retry", attempts, error, waitMs: waits[Math.min(attempts, waits.length) - 1] ?? 0 };
}

/** Text of whatever was thrown, for an operator; never throws itself. */
function describe(error: unknown, maxChars: number): string {
  try {
    // grammY wraps what a handler threw in a BotError; the wrapped error is the one worth reading.
    const inner = error instanceof Error && "error" in error && error.error instanceof Error ? error.error : error;
    const text = inner instanceof Error ? `${inner.name}: ${inner.message}` : `thrown: ${String(inner)}`;
    return text.slice(0, maxChars);
  } catch {
    return "thrown: something that cannot be shown";
  }
}
