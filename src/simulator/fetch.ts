/** The core as a function like `fetch`, for deterministic simulations: no socket, no real time, only promises and the given clock. */
import type { BotApi } from "./bot-api.ts";
import { formFields } from "./body.ts";
import type { Answer, Payload } from "./wire.ts";

export interface FetchOptions {
  /** Time for the request and again for the answer to get there, ms; default 0. */
  readonly wayMs?: number;
}

/** Bodies: JSON text, a form or FormData. */
export type FetchLike = (url: string, init?: RequestInit) => Promise<Response>;

/** An error as Bun's fetch throws it: `code` is `ECONNRESET` or `ECONNREFUSED`; like it, `path` holds the token. */
export class ConnectionError extends Error {
  readonly code: "ECONNRESET" | "ECONNREFUSED";
  readonly path: string;

  constructor(code: "ECONNRESET" | "ECONNREFUSED", path: string) {
    super(code === "ECONNRESET" ? "The socket connection was closed unexpectedly." : "Unable to connect.");
    this.code = code;
    this.path = path;
  }
}

/**
 * `fetch` over the core, for urls `<any root>/bot<token>/<method>`. Rejects as Bun's fetch does: with the signal's reason when it aborts
 * (an answer on its way is then lost, its effect is not), with `ConnectionError` for resets and refusals.
 */
export function createFetch(api: BotApi, { wayMs = 0 }: FetchOptions = {}): FetchLike {
  return (url, init = {}) =>
    new Promise((resolve, reject) => {
      const signal = init.signal ?? undefined;
      const target = targetOf(url);
      let cancel = (): void => undefined;
      const onAbort = (): void => {
        cancel();
        reject(signal?.reason as Error);
      };
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      const start = (): void => {
        cancel = api.serve(target.token, target.method, payloadOf(init.body), (reply) =>
          later(api, wayMs, () => {
            if (reply.kind === "hang") return;
            signal?.removeEventListener("abort", onAbort);
            if (reply.kind === "reset") reject(new ConnectionError("ECONNRESET", url));
            else if (reply.kind === "refused") reject(new ConnectionError("ECONNREFUSED", url));
            else resolve(fetched(reply, url));
          }),
        );
      };
      const timer = wayMs === 0 ? undefined : api.clock.setTimer(start, wayMs);
      if (timer === undefined) start();
      else cancel = () => timer.cancel();
    });
}

function later(api: BotApi, ms: number, run: () => void): void {
  if (ms === 0) run();
  else api.clock.setTimer(run, ms);
}

function targetOf(url: string): { readonly token: string; readonly method: string } {
  const found = /\/bot([^/]+)\/(?:test\/)?([^/?]+)/.exec(url);
  return { token: found?.[1] ?? "", method: found?.[2] ?? "" };
}

function payloadOf(body: unknown): Payload {
  if (typeof body === "string") {
    return body.startsWith("{") ? (JSON.parse(body) as Payload) : formFields(body);
  }
  if (body instanceof URLSearchParams || body instanceof FormData) return Object.fromEntries<unknown>(body.entries());
  if (body instanceof Uint8Array) return payloadOf(Buffer.from(body).toString());
  return {};
}

function fetched(reply: Omit<Answer, "kind"> & { readonly kind: "answer" | "truncated" }, path: string): Response {
  const headers = { ...reply.headers, "Content-Length": String(Buffer.byteLength(reply.body)) };
  const init = { status: reply.status, headers };
  const response = new Response(reply.kind === "answer" ? reply.body : "", init);
  if (reply.kind === "answer") return response;
  // The headers came, the body did not.
  const cut = (): Promise<never> => Promise.reject(new ConnectionError("ECONNRESET", path));
  return Object.assign(response, { text: cut, json: cut, arrayBuffer: cut, bytes: cut });
}
