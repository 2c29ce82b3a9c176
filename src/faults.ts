/**
 * Every way in which a part of botfleet can end other than by success. `unavailable` is an outage of something outside (Telegram,
 * storage, Redis) or a shutdown: it is waited out and never counts as an attempt.
 */
export type FaultCode =
  /** The durable store could not take a batch: nothing of it may be confirmed to Telegram. */
  | "inbox_refused"
  /** The claim under which a write was made is no longer the valid one; nothing was written. */
  | "inbox_fenced"
  /** Another process holds `DATA_DIR`. */
  | "inbox_locked"
  /** The store was written by a newer botfleet. */
  | "format_newer"
  /** The file that holds the users is damaged; nothing is written to it (exit 78). */
  | "storage_damaged"
  /** A stored user is not one: a field is missing or of the wrong kind. */
  | "user_invalid"
  /** The same of a session. */
  | "session_invalid"
  /** Something outside cannot be reached or says it cannot serve now; `retryAfterMs` where it said for how long. */
  | "unavailable"
  /** The attempt that made this call was given up (deadline or shutdown); none of its calls takes effect any more. */
  | "attempt_revoked"
  /** Telegram refuses the token (401, or 404 on getUpdates). */
  | "token_refused"
  /** A setting is missing or wrong (exit 78). */
  | "settings_invalid"
  /** A bot module cannot be loaded or does not offer what a module must (exit 78). */
  | "module_invalid"
  /** The command line is wrong (exit 64). */
  | "usage";

export interface FaultOptions {
  readonly cause?: unknown;
  /** For `unavailable`: how long the other side asked us to wait, in ms. */
  readonly retryAfterMs?: number;
  /** For `unavailable`: `unknown` where what was asked may have been done all the same. Default `not_done`. */
  readonly effect?: Effect;
}

export type Effect = "unknown" | "not_done";

/** The one error class of botfleet. The message says what happened, to which bot, and what to do; it never holds a secret. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly retryAfterMs: number | undefined;
  readonly effect: Effect;

  constructor(code: FaultCode, message: string, options: FaultOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "Fault";
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.effect = options.effect ?? "not_done";
  }
}

/**
 * Finds the Fault behind wrappers such as grammY's BotError and HttpError (`error`) or `cause`; undefined where there is none.
 * Never throws, whatever a handler has thrown.
 */
export function faultOf(error: unknown): Fault | undefined {
  try {
    let at: unknown = error;
    for (let depth = 0; depth < 8 && typeof at === "object" && at !== null; depth++) {
      if (at instanceof Fault) return at;
      at = "error" in at && at.error !== undefined ? at.error : "cause" in at ? at.cause : undefined;
    }
  } catch {
    // A getter or proxy that throws when looked at hides no Fault of ours.
  }
  return undefined;
}

/** Whether what ended with `fault` is to be waited out, uncounted: the world outside, a shutdown, a claim lost. */
export function isOutage(fault: Fault): boolean {
  switch (fault.code) {
    case "unavailable":
    case "attempt_revoked":
    case "token_refused":
    case "inbox_refused":
    case "inbox_fenced":
      return true;
    case "inbox_locked":
    case "format_newer":
    case "storage_damaged":
    case "user_invalid":
    case "session_invalid":
    case "settings_invalid":
    case "module_invalid":
    case "usage":
      return false;
  }
}
