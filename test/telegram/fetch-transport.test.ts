import { expect, test } from "bun:test";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { HttpReply, HttpRequest } from "../../src/telegram/exchange.ts";
import { createFetchTransport, failureOf } from "../../src/telegram/fetch-transport.ts";
import type { Fetch } from "../../src/telegram/fetch-transport.ts";
import { transportContract } from "../contract/transport.ts";
import { FakeClock } from "../support/fake-clock.ts";

transportContract("fetch", {
  create: ({ ca, ...parts }) => {
    const withCa: Fetch = (url, init) => fetch(url, { ...init, tls: { ca } } as RequestInit);
    return createFetchTransport({ ...parts, fetch: ca === undefined ? fetch : withCa });
  },
});

const clock = new FakeClock();
const deadlines = createDeadlines({ clock, tickMs: 100 });
const listeners = createAbortListeners();

function post(url: string, fetchWith: Fetch): Promise<HttpReply> {
  const request: HttpRequest = { url, body: '{"a":1}', contentType: "application/json", maxMs: 60_000 };
  return createFetchTransport({ fetch: fetchWith, deadlines, listeners, answerMaxBytes: 1_000 }).exchange(request);
}

test.each([
  ["ECONNREFUSED", "unreachable"],
  ["ENOTFOUND", "unreachable"],
  ["EAI_AGAIN", "unreachable"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "unreachable"],
  ["CERT_HAS_EXPIRED", "unreachable"],
  ["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unreachable"],
  ["ECONNRESET", "closed"],
  ["ETIMEDOUT", "closed"],
  ["EPIPE", "closed"],
])("an error with the code %s means %s", (code, why) => {
  expect(failureOf(Object.assign(new Error("x"), { code }))).toEqual({ kind: "failed", why: why as "closed", code });
});

test("of an error nothing but a word goes on", () => {
  for (const error of [null, "text", new Error("with a url"), { code: "a sentence with a url" }, { code: 20 }]) {
    expect(failureOf(error)).toEqual({ kind: "failed", why: "closed", code: "" });
  }
});

test("an answer that comes together with the abort is an answer, and the next request is not aborted by it", async () => {
  const stop = new AbortController();
  const aborted: (boolean | undefined)[] = [];
  const transport = createFetchTransport({
    fetch: (_, { signal }) => {
      aborted.push(signal?.aborted);
      stop.abort();
      return Promise.resolve(new Response("{}", { headers: { "content-length": "2" } }));
    },
    deadlines,
    listeners,
    answerMaxBytes: 1_000,
  });
  const request = { url: "http://telegram.example", body: "{}", contentType: "application/json", maxMs: 5_000 };
  expect(await transport.exchange({ ...request, signal: stop.signal })).toMatchObject({ text: "{}" });
  await transport.exchange(request);
  expect(aborted).toEqual([false, false]);
});

test("an answer in chunks is put together, characters that span two of them too", async () => {
  const bytes = new TextEncoder().encode("aé");
  const chunks = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  expect(await post("http://telegram.example", () => Promise.resolve(new Response(chunks)))).toEqual({
    kind: "answered",
    status: 200,
    text: "aé",
  });
});
