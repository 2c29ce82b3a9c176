/** One call of a bot, with the tries and waits it may take. */
import type { AbortListeners } from "../abort-listeners.ts";
import type { Attempt } from "../attempts.ts";
import { backoffMs } from "../clock.ts";
import type { Clock, Random } from "../clock.ts";
import type { BotId } from "../ids.ts";
import { judge } from "./answers.ts";
import type { Answer, Verdict } from "./answers.ts";
import { callError } from "./call-error.ts";
import type { CallEvents, CallOutcome } from "./call-error.ts";
import type { Transport } from "./exchange.ts";
import type { FloodCall } from "./flood-call.ts";
import { isGivenUp, passFlood } from "./flood-pass.ts";
import type { FloodControl } from "./flood-port.ts";
import type { Redactor } from "./redactor.ts";

export interface CallLimits {
  readonly callMaxMs: number;
  readonly connectTries: number;
  readonly connectRetryFirstMs: number;
  readonly floodWaitMaxMs: number;
}

export interface CallsOptions {
  readonly bot: BotId;
  readonly redact: Redactor;
  readonly transport: Transport;
  readonly flood: FloodControl;
  readonly listeners: AbortListeners;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: CallLimits;
  readonly events: CallEvents;
}

export interface Call {
  readonly method: string;
  readonly url: string;
  readonly body: string;
  readonly flood: FloodCall;
  /** The attempt it belongs to; undefined outside a handler. */
  readonly attempt: Attempt | undefined;
  /** The caller's own. */
  readonly signal: AbortSignal | undefined;
}

/**
 * Makes calls, each when flood control lets it go: what was surely not sent is tried again, `retry_after` is waited out, both within
 * limits. Resolves with the Bot API's
 * answer; rejects with `unavailable`, `token_refused`, `attempt_revoked`, or as grammY does where the caller's own signal aborted.
 */
export function createCalls(options: CallsOptions): (call: Call) => Promise<Answer> {
  const { bot, redact, transport, flood, listeners, clock, random, limits, events } = options;

  function waitAfter(verdict: Verdict, spent: Spent): number | undefined {
    if (verdict.kind === "unreachable" && ++spent.tries < limits.connectTries) {
      return backoffMs(spent.tries - 1, limits.connectRetryFirstMs, limits.callMaxMs, random);
    }
    if (verdict.kind !== "flood" || spent.floodMs + verdict.waitMs > limits.floodWaitMaxMs) return undefined;
    spent.floodMs += verdict.waitMs;
    return verdict.waitMs;
  }

  /** Whatever aborts, the wait ends at once and normally. */
  async function wait(ms: number, signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    const unlisten: (() => void)[] = [];
    await new Promise<void>((resolve) => {
      const timer = clock.setTimer(resolve, ms);
      const end = (): void => {
        timer.cancel();
        resolve();
      };
      for (const signal of signals) if (signal !== undefined) unlisten.push(listeners.add(signal, end));
    });
    for (const stop of unlisten) stop();
  }

  /** Resolves with whether the call may be made again. */
  async function waitAgain({ attempt, signal }: Call, ms: number): Promise<boolean> {
    await wait(ms, [attempt?.waitSignal, attempt?.signal, signal]);
    return !isGivenUp({ attempt, signal });
  }

  return async (call) => {
    const { method, url, body, attempt, signal } = call;
    const startedMs = clock.monotonic();
    const ended = (outcome: CallOutcome): void => events.onCall(method, outcome, clock.monotonic() - startedMs);
    const spent: Spent = { tries: 0, floodMs: 0 };
    const joined = attempt !== undefined && signal !== undefined ? join(listeners, attempt.signal, signal) : undefined;
    const stop = joined?.signal ?? attempt?.signal ?? signal;
    let isThrough = false;
    let accepted = false;
    try {
      for (;;) {
        const passing = isThrough ? undefined : passFlood(flood, call);
        const held = passing === undefined ? undefined : await passing;
        if (held !== undefined) {
          ended(held.why === "ended" ? "aborted" : "flood");
          throw callError({ bot, redact, call, verdict: held });
        }
        isThrough = true;
        const reply = await transport.exchange({ url, body, contentType, maxMs: limits.callMaxMs, signal: stop });
        const verdict = judge(method, reply, attempt?.mayRepeat);
        if (verdict.kind === "answer") {
          accepted = true;
          ended(verdict.how);
          return redact.answer(verdict.answer);
        }
        if (verdict.kind === "flood") {
          flood.refused(call.flood, verdict.waitMs);
          isThrough = false;
        }
        const waitMs = waitAfter(verdict, spent);
        if (waitMs !== undefined) {
          events.onRetry(method, verdict.kind as "unreachable" | "flood", waitMs);
          // A 429 is waited out in flood control; a handler's clock stands still there, but not while a connection is tried again.
          if (verdict.kind === "flood" || (await waitAgain(call, waitMs))) continue;
        }
        ended(waitMs === undefined ? verdict.kind : "aborted");
        throw callError({ bot, redact, call, verdict });
      }
    } finally {
      flood.ended(call.flood, accepted);
      joined?.release();
    }
  };
}

interface Spent {
  tries: number;
  floodMs: number;
}

const contentType = "application/json";

/** A signal that aborts with either. */
export function join(
  listeners: AbortListeners,
  one: AbortSignal,
  other: AbortSignal,
): { readonly signal: AbortSignal; release(): void } {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  const unlisten = [listeners.add(one, abort), listeners.add(other, abort)];
  return {
    signal: controller.signal,
    release: () => {
      for (const stop of unlisten) stop();
    },
  };
}
