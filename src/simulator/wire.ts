/** What the simulated Bot API puts on the wire. */

/** An HTTP answer, or one of the ways in which none arrives. */
export type Reply =
  | Answer
  /** The headers promise `body`, but the connection closes after half of it. */
  | (Omit<Answer, "kind"> & { readonly kind: "truncated" })
  /** The connection stays open and nothing ever comes. */
  | { readonly kind: "hang" }
  /** The connection is destroyed without an answer. */
  | { readonly kind: "reset" }
  /** The connection cannot be opened, so nothing was delivered; over real sockets the same as `reset`. */
  | { readonly kind: "refused" };

export interface Answer {
  readonly kind: "answer";
  readonly status: number;
  /** Without Content-Length, which belongs to the transport. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a call carries, as decoded from JSON, a form or multipart: form values are text, uploads are `Upload`. */
export type Payload = Readonly<Record<string, unknown>>;

/** A file in a multipart body; its content is not kept. */
export interface Upload {
  readonly fileName: string;
  readonly bytes: number;
}

export interface RefusalParameters {
  /** Seconds. */
  readonly retry_after?: number;
  readonly migrate_to_chat_id?: number;
}

const jsonHeaders = { "Content-Type": "application/json" };

/** `{"ok":true,"result":...}`, where `result` is JSON text. */
export function ok(result: string): Answer {
  return { kind: "answer", status: 200, headers: jsonHeaders, body: `{"ok":true,"result":${result}}` };
}

/** An error as Telegram words it. With `retry_after` also the header of that name. */
export function refusal(status: number, description: string, parameters?: RefusalParameters): Answer {
  const headers =
    parameters?.retry_after === undefined
      ? jsonHeaders
      : { ...jsonHeaders, "Retry-After": String(parameters.retry_after) };
  const body = JSON.stringify({ ok: false, error_code: status, description, parameters });
  return { kind: "answer", status, headers, body };
}

export function tooManyRequests(retryAfterS: number, description?: string): Answer {
  const words = description ?? `Too Many Requests: retry after ${retryAfterS}`;
  return refusal(429, words, { retry_after: retryAfterS });
}

/** Descriptions used in more than one place, word for word. */
export const words = {
  otherPoll: "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
  setWebhook: "Conflict: terminated by setWebhook request",
  webhookActive:
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
  unauthorized: "Unauthorized",
  notFound: "Not Found",
  blocked: "Forbidden: bot was blocked by the user",
  restart: "Internal Server Error: restart",
} as const;

const gateway = "<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx/1.18.0</center>";

/** What a proxy in front of Telegram answers. */
export const badGateway: Answer = {
  kind: "answer",
  status: 502,
  headers: { "Content-Type": "text/html" },
  body: `<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n${gateway}\r\n</body>\r\n</html>\r\n`,
};
