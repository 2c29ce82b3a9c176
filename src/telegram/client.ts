/** Every call out to Telegram goes through a client: deadline, retry rules, redaction of the token. One client per bot. */
import type { Transformer } from "grammy";
import type { Token } from "../ids.ts";

/** What the Bot API answered: a result, or a refusal that is the caller's business (400, 403, ...). */
export type Answer =
  | { readonly ok: true; readonly result: unknown }
  | {
      readonly ok: false;
      readonly error_code: number;
      readonly description: string;
      readonly parameters?: { readonly retry_after?: number; readonly migrate_to_chat_id?: number };
    };

export interface CallOptions {
  /** Deadline, ms; default `callMaxMs`. */
  readonly maxMs?: number;
  readonly signal?: AbortSignal;
}

export interface Client {
  readonly token: Token;
  /**
   * One HTTP exchange, no retries of its own: for the poller, which has its own rules for every answer. Resolves with whatever the
   * Bot API answered as JSON. Rejects with `unavailable` (no answer, HTML, deadline, not JSON) or, when `signal` aborted, with `attempt_revoked`.
   */
  exchange(method: string, payload: object, options?: CallOptions): Promise<Answer>;
  /** The innermost transformer of a grammY Api: replaces grammY's own fetch, applies attempts and retry rules. */
  readonly transformer: Transformer;
}
