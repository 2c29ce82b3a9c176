/** How a call gets past flood control: at once, or after a wait that its handler's clock does not see. */
import { type Attempt, mayGoOn } from "../attempts.ts";
import type { FloodCall } from "./flood-call.ts";
import type { FloodControl } from "./flood-port.ts";

/** Why a call was not made: it was cut short, has to wait longer than a call waits itself, or found no room to wait. */
export interface Held {
  readonly kind: "held";
  readonly why: "ended" | "later" | "full";
  /** What a `retry_after` still asks for, ms; 0 where none does. */
  readonly waitMs: number;
}

export interface Passing {
  readonly flood: FloodCall;
  readonly attempt: Attempt | undefined;
  /** The caller's own. */
  readonly signal: AbortSignal | undefined;
}

/** Undefined where the call may go now; else resolves with undefined when it may, or with why it may not. */
export function passFlood(control: FloodControl, call: Passing): undefined | Promise<Held | undefined> {
  const { flood, attempt, signal } = call;
  const held = control.admit(flood, [attempt?.waitSignal, attempt?.signal, signal]);
  if (held === undefined) return undefined;
  if (typeof held === "string") return Promise.resolve({ kind: "held", why: held, waitMs: control.waitMs(flood) });
  attempt?.pause();
  return held.then((end) => {
    attempt?.resume();
    const why = end === "go" && isGivenUp(call) ? "ended" : end;
    return why === "go" ? undefined : { kind: "held", why, waitMs: control.waitMs(flood) };
  });
}

/** Whether a call that has waited must not be made any more. */
export function isGivenUp({ attempt, signal }: Pick<Passing, "attempt" | "signal">): boolean {
  return !mayGoOn(attempt) || attempt?.waitSignal.aborted === true || signal?.aborted === true;
}
