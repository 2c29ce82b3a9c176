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
  // Making a controller and its signal for each request is the half of what this transport adds to a bare `fetch`.
  const idle: AbortController[] = [];

  return {
    async exchange({ url, body, contentType, maxMs, signal }: HttpRequest): Promise<HttpReply> {
      const controller = idle.pop() ?? new AbortController();
      let why: ExchangeFailure | undefined;
      const end = (reason: ExchangeFailure): void => {
        why ??= reason;
        controller.abort();
      };
      const release = deadlines.add(maxMs, () => end("deadline"));
      const unlisten = signal === undefined ? undefined : listeners.add(signal, () => end("aborted"));
      try {
        const headers =
          contentType === "application/json" ? jsonHeaders : { ...jsonHeaders, "content-type": contentType };
        // A redirect would carry the token to a host that nobody has configured.
        const response = await fetch(url, {
          method: "POST",
          headers,
          body,
          signal: controller.signal,
          redirect: "manual",
        });
        const text = await read(response, answerMaxBytes);
        if (text === undefined) end("too_large");
        else if (why === undefined && idle.length < idleMax) idle.push(controller);
        return text === undefined ? failed("too_large") : { kind: "answered", status: response.status, text };
      } catch (error) {
        return why === undefined ? failureOf(error) : failed(why);
      } finally {
        release();
        unlisten?.();
      }
    },
  };
}

/** Controllers kept for the next requests: as many as requests are usually open. */
const idleMax = 1_000;

/** Most answers are a few hundred bytes: to pack and unpack them costs more than it saves. */
const jsonHeaders = { "content-type": "application/json", "accept-encoding": "identity" };

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
