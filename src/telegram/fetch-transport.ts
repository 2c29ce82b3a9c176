/** Transport over Bun's `fetch`. */
import type { AbortListeners } from "../abort-listeners.ts";
import type { Deadlines } from "./deadlines.ts";
import type { ExchangeFailure, HttpReply, HttpRequest, Transport } from "./exchange.ts";

export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

export interface FetchTransportOptions {
  readonly fetch: Fetch;
  readonly deadlines: Deadlines;
  readonly listeners: AbortListeners;
  /** Size of an answer that is still read, bytes. */
  readonly answerMaxBytes: number;
}

export function createFetchTransport({
  fetch,
  deadlines,
  listeners,
  answerMaxBytes,
}: FetchTransportOptions): Transport {
  return {
    async exchange({ url, body, contentType, maxMs, signal }: HttpRequest): Promise<HttpReply> {
      const controller = new AbortController();
      let why: ExchangeFailure | undefined;
      const end = (reason: ExchangeFailure): void => {
        why ??= reason;
        controller.abort();
      };
      const release = deadlines.add(maxMs, () => end("deadline"));
      const unlisten = signal === undefined ? undefined : listeners.add(signal, () => end("aborted"));
      try {
        const response = await fetch(url, {
          method: "POST",
          headers:
            contentType === json.headers["content-type"]
              ? json.headers
              : { ...json.headers, "content-type": contentType },
          body,
          signal: controller.signal,
          // A redirect would carry the token to a host nobody has configured.
          redirect: "manual",
        });
        const text = await read(response, answerMaxBytes);
        if (text !== undefined) return { kind: "answered", status: response.status, text };
        end("too_large");
        return failed("too_large");
      } catch (error) {
        return why === undefined ? failureOf(error) : failed(why);
      } finally {
        release();
        unlisten?.();
      }
    },
  };
}

/** Answers are small and the server is near in CPU: unpacking costs more than it saves. */
const json = { headers: { "content-type": "application/json", "accept-encoding": "identity" } };

function failed(why: ExchangeFailure, code = ""): HttpReply {
  return { kind: "failed", why, code };
}

/** The body, or undefined where it is longer than `maxBytes`. */
async function read(response: Response, maxBytes: number): Promise<string | undefined> {
  const length = response.headers.get("content-length");
  if (length !== null) return Number(length) > maxBytes ? undefined : response.text();
  if (response.body === null) return "";
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    bytes += chunk.byteLength;
    if (bytes > maxBytes) return undefined;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

/** Of what `fetch` threw only the system's word goes on: its errors carry the URL, and with it the token. */
export function failureOf(error: unknown): HttpReply {
  const code = typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
  const word = /^[A-Za-z][A-Za-z0-9_]{1,63}$/.test(code) ? code : "";
  return failed(isUnreachable(word) ? "unreachable" : "closed", word);
}

/** What a connection ends with before a byte of the request is sent: no route, no name, no listener, a certificate that is not trusted. */
function isUnreachable(code: string): boolean {
  return connectCodes.has(code) || code.includes("CERT") || code.startsWith("ERR_TLS") || code.startsWith("EAI_");
}

const connectCodes = new Set([
  "ECONNREFUSED",
  "ConnectionRefused",
  "FailedToOpenSocket",
  "ENOTFOUND",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EMFILE",
  "ENFILE",
  "ERR_INVALID_URL",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);
