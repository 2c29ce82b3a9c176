/** Port: one HTTP request to a Bot API server and its whole answer. */

export interface HttpRequest {
  /** Holds the token: never enters a message. */
  readonly url: string;
  readonly body: string;
  readonly contentType: string;
  /** Deadline for the whole answer, ms. */
  readonly maxMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Why there is no answer. `unreachable` the connection could not be opened: surely not a byte of the request was sent ·
 * `closed` it broke before the whole answer was there · `deadline` · `aborted` by the signal · `too_large` longer than is read.
 * All but the first leave open whether Telegram has acted.
 */
export type ExchangeFailure = "unreachable" | "closed" | "deadline" | "aborted" | "too_large";

export type HttpReply =
  | {
      readonly kind: "answered";
      readonly status: number;
      readonly text: string;
    }
  | {
      readonly kind: "failed";
      readonly why: ExchangeFailure;
      /** The system's word for it, such as `ECONNREFUSED`; `""` where there is none. Never more than a word: holds no secret. */
      readonly code: string;
    };

export interface Transport {
  /** POSTs once. Never rejects. */
  exchange(request: HttpRequest): Promise<HttpReply>;
}
