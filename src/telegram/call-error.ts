/** How a call that got no answer ends for the handler and for the metrics. */
import { HttpError } from "grammy";
import type { Attempt } from "../attempts.ts";
import { Fault } from "../faults.ts";
import type { BotId } from "../ids.ts";
import type { Verdict } from "./answers.ts";
import type { Held } from "./flood-pass.ts";
import type { Redactor } from "./redactor.ts";

/**
 * How a call ended: `ok` · `refused` by the Bot API (400, 403, ...), the handler's business · `too_old` a query that can no longer
 * be answered, told to the handler as a success · `flood` held back for longer than a call waits itself, or with no
 * room to wait · `unreachable` in
 * every try · `unknown` no usable answer, it may have taken effect · `token_refused` · `aborted` by a shutdown, by its caller, or as the claim
 * on its partition may be another instance's ·
 * `file_broken` what was to be uploaded could not be read.
 */
export type CallOutcome =
  "ok" | "refused" | "too_old" | "flood" | "unreachable" | "unknown" | "token_refused" | "aborted" | "file_broken";

/** For metrics; must not throw. `method` is whatever the bot called: not a closed set. */
export interface CallEvents {
  /** A call has ended; `durationMs` holds all its tries and waits. */
  onCall(method: string, outcome: CallOutcome, durationMs: number): void;
  /** A call is made again after `waitMs`. */
  onRetry(method: string, why: "unreachable" | "flood", waitMs: number): void;
}

interface Failed {
  readonly bot: BotId;
  readonly redact: Redactor;
  readonly call: {
    readonly method: string;
    readonly attempt: Attempt | undefined;
    readonly signal: AbortSignal | undefined;
  };
  readonly verdict: Exclude<Verdict, { readonly kind: "answer" }> | Held;
}

/** The error of a call whose last try ended with `verdict`, or whose wait after it was cut short. Never holds the token. */
export function callError({ bot, redact, call, verdict }: Failed): Error {
  const { method, attempt, signal } = call;
  const what = `Bot ${bot}: ${method}`;
  // An outage is told also to an attempt that was given up meanwhile: it decides whether that counts.
  if (attempt?.revoked === true && verdict.kind !== "unknown")
    return new Fault("attempt_revoked", `${what} was given up with its attempt.`);
  if (signal?.aborted === true) {
    const aborted = new DOMException("The call was aborted by its caller's signal.", "AbortError");
    return new HttpError(`Network request for '${method}' failed!`, aborted);
  }
  switch (verdict.kind) {
    case "aborted":
      return new Fault("attempt_revoked", `${what} was given up by a shutdown.`);
    case "token_refused":
      return new Fault("token_refused", `${what}: Telegram refuses the token (${redact.text(verdict.words)}).`);
    case "flood": {
      const options = { retryAfterMs: verdict.waitMs };
      return new Fault("unavailable", `${what}: Telegram asks to wait ${verdict.waitMs / 1_000} s (429).`, options);
    }
    case "held": {
      const options = verdict.waitMs > 0 ? { retryAfterMs: verdict.waitMs } : {};
      return new Fault("unavailable", `${what}: ${heldWords(verdict)}, not sent.`, options);
    }
    case "unreachable":
      return new Fault("unavailable", `${what}: Telegram cannot be reached (${redact.text(verdict.words)}), not sent.`);
    case "unknown":
      return new Fault("unavailable", `${what}: no usable answer (${redact.text(verdict.words)}), outcome unknown.`, {
        effect: "unknown",
      });
  }
}

function heldWords({ why, waitMs }: Held): string {
  switch (why) {
    case "ended":
      return "a shutdown, or a claim that may be another instance's, ended its wait in flood control";
    case "later":
      return `Telegram asks to wait ${Math.ceil(waitMs / 1_000)} s (429)`;
    case "full":
      return "too many calls wait in flood control already";
  }
}
