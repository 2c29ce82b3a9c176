import { afterEach, expect, test } from "bun:test";
import { createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { systemClock } from "../../src/clock.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { HttpReply, HttpRequest } from "../../src/telegram/exchange.ts";
import { createFetchTransport, failureOf } from "../../src/telegram/fetch-transport.ts";
import type { Fetch } from "../../src/telegram/fetch-transport.ts";
import { FakeClock } from "../support/fake-clock.ts";

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

/** A raw server; `onRequest` is called once the head of a request is there. Resolves with its URL. */
async function listen(onRequest: (socket: Socket, text: string) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("data", (data) => onRequest(socket, data.toString()));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  opened.push({
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/bot1:x/getMe`;
}

const clock = new FakeClock();
const deadlines = createDeadlines({ clock, tickMs: 100 });
const listeners = createAbortListeners();

function post(url: string, options: Partial<HttpRequest> = {}, fetchWith: Fetch = fetch): Promise<HttpReply> {
  const transport = createFetchTransport({ fetch: fetchWith, deadlines, listeners, answerMaxBytes: 1_000 });
  return transport.exchange({ url, body: '{"a":1}', contentType: "application/json", maxMs: 60_000, ...options });
}

const http = (text: string, more = ""): string =>
  `HTTP/1.1 200 OK\r\n${more}Content-Length: ${text.length}\r\n\r\n${text}`;

test("one POST with its content type carries the body, and the whole answer comes back", async () => {
  let seen = "";
  const url = await listen((socket, text) => {
    seen += text;
    if (seen.endsWith("}")) socket.write(`HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\nhi`);
  });
  expect(await post(url)).toEqual({ kind: "answered", status: 429, text: "hi" });
  expect(seen).toStartWith("POST /bot1:x/getMe HTTP/1.1\r\n");
  expect(seen.toLowerCase()).toContain("content-type: application/json\r\n");
  expect(seen).toEndWith('\r\n\r\n{"a":1}');
});

test("to a port without a listener surely nothing is sent", async () => {
  const closed = await listen(() => {});
  opened.pop()?.close();
  expect(await post(closed)).toMatchObject({ kind: "failed", why: "unreachable" });
});

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

test("a connection that closes after the request leaves the outcome open, and the request is not sent again", async () => {
  let requests = 0;
  const url = await listen((socket) => {
    // The second request of a kept connection is where an HTTP client may be tempted to send again.
    if (++requests === 1) socket.write(http("{}"));
    else socket.destroy();
  });
  expect(await post(url)).toMatchObject({ kind: "answered" });
  expect(await post(url)).toMatchObject({ kind: "failed", why: "closed" });
  expect(requests).toBe(2);
});

test("an answer that is cut off is no answer", async () => {
  const url = await listen((socket) => {
    socket.end(`HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok":true`);
  });
  expect(await post(url)).toMatchObject({ kind: "failed", why: "closed" });
});

test("a connection that hangs ends at the deadline, before the head as well as within the body", async () => {
  for (const head of ["", `HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok"`]) {
    let asked = (): void => {};
    const reached = new Promise<void>((resolve) => (asked = resolve));
    const url = await listen((socket) => {
      if (head !== "") socket.write(head);
      asked();
    });
    const reply = post(url, { maxMs: 5_000 });
    await reached;
    await clock.advance(5_100);
    expect(await reply).toEqual({ kind: "failed", why: "deadline", code: "" });
    expect(clock.pending()).toBe(0);
  }
});

test("a signal aborts the open exchange and forbids the next", async () => {
  let requests = 0;
  const stop = new AbortController();
  const url = await listen(() => {
    requests++;
    stop.abort();
  });
  expect(await post(url, { signal: stop.signal })).toEqual({ kind: "failed", why: "aborted", code: "" });
  expect(await post(url, { signal: stop.signal })).toEqual({ kind: "failed", why: "aborted", code: "" });
  expect(requests).toBe(1);
});

test("a request that was cut short leaves the next ones of its transport alone", async () => {
  let asked = (): void => {};
  const reached = new Promise<void>((resolve) => (asked = resolve));
  let requests = 0;
  const url = await listen((socket) => {
    if (++requests === 1) asked();
    else socket.write(http("{}"));
  });
  const transport = createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: 1_000 });
  const request = { url, body: "{}", contentType: "application/json", maxMs: 5_000 };
  const first = transport.exchange(request);
  await reached;
  await clock.advance(5_100);
  expect(await first).toMatchObject({ why: "deadline" });
  for (let at = 0; at < 3; at++) expect(await transport.exchange(request)).toMatchObject({ text: "{}" });
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

test("an answer beyond the limit is not read, whether it says its length or not", async () => {
  const long = "x".repeat(1_001);
  const announced = await listen((socket) => socket.write(http(long)));
  expect(await post(announced)).toMatchObject({ kind: "failed", why: "too_large" });
  const chunked = await listen((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${long}\r\n0\r\n\r\n`);
  });
  expect(await post(chunked)).toMatchObject({ kind: "failed", why: "too_large" });
});

test("an answer in chunks is put together, characters that span two of them too", async () => {
  const bytes = new TextEncoder().encode("aé");
  const chunks = new ReadableStream({
    start(controller) {
      for (const byte of bytes) controller.enqueue(new Uint8Array([byte]));
      controller.close();
    },
  });
  expect(await post("http://telegram.example", {}, () => Promise.resolve(new Response(chunks)))).toEqual({
    kind: "answered",
    status: 200,
    text: "aé",
  });
});

test("a redirect is not followed: it would carry the token elsewhere", async () => {
  let requests = 0;
  const url = await listen((socket) => {
    requests++;
    socket.write("HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
  });
  expect(await post(url)).toMatchObject({ kind: "answered", status: 307 });
  expect(requests).toBe(1);
});

test("on the system's clock a hanging poll ends too", async () => {
  const url = await listen(() => {});
  const real = createFetchTransport({
    fetch,
    deadlines: createDeadlines({ clock: systemClock, tickMs: 10 }),
    listeners: createAbortListeners(),
    answerMaxBytes: 1_000,
  });
  expect(await real.exchange({ url, body: "{}", contentType: "application/json", maxMs: 30 })).toMatchObject({
    why: "deadline",
  });
});
