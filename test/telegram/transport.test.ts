import { afterEach, expect, test } from "bun:test";
import { createServer as createTlsServer } from "node:tls";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { HttpReply } from "../../src/telegram/exchange.ts";
import type { PoolLimits } from "../../src/telegram/pool.ts";
import { createOwnTransport } from "../../src/telegram/transport.ts";
import type { OwnTransport } from "../../src/telegram/transport.ts";
import { transportContract } from "../contract/transport.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { answer, listenRaw, makeCertificate, until } from "../support/raw-server.ts";
import type { RawServer } from "../support/raw-server.ts";

const limits: PoolLimits = {
  callsMaxPerHost: 1_000,
  pollsMaxPerHost: 1_000,
  waitingMaxPerHost: 1_000,
  dialsMaxPerHost: 100,
  connectMaxMs: 5_000,
  idleMaxMs: 15_000,
  answerHeadMaxBytes: 16_384,
  answerMaxBytes: 1_000,
};

transportContract("sockets of its own", {
  create: ({ answerMaxBytes, ...parts }) => createOwnTransport({ ...parts, limits: { ...limits, answerMaxBytes } }),
});

const opened: { close(): void }[] = [];
afterEach(() => {
  for (const each of opened.splice(0)) each.close();
});

async function listen(...args: Parameters<typeof listenRaw>): Promise<RawServer> {
  const server = await listenRaw(...args);
  opened.push(server);
  return server;
}

interface Rig {
  readonly clock: FakeClock;
  readonly transport: OwnTransport;
  readonly post: (server: { readonly root: string }, body?: string, path?: string) => Promise<HttpReply>;
}

function rig(more: { readonly ca?: string; readonly limits?: Partial<PoolLimits> } = {}): Rig {
  const clock = new FakeClock();
  const deadlines = createDeadlines({ clock, tickMs: 100 });
  const all = { ...limits, ...more.limits };
  const transport = createOwnTransport({ ...more, clock, deadlines, listeners: createAbortListeners(), limits: all });
  opened.push({ close: () => void transport.stop() });
  const contentType = "application/json";
  return {
    clock,
    transport,
    post: ({ root }, body = "{}", path = "/bot1:x/getMe") =>
      transport.exchange({ url: root + path, body, contentType, maxMs: 60_000 }),
  };
}

test("requests one after the other go over one connection", async () => {
  const server = await listen((socket) => socket.write(answer("{}")));
  const { post, transport } = rig();
  for (let at = 0; at < 10; at++) expect(await post(server)).toMatchObject({ text: "{}" });
  expect(server.connections()).toBe(1);
  expect(transport.stats()).toMatchObject({ open: 1, idle: 1, opened: 1, calls: 0 });
});

const bomb = gzipSync(Buffer.alloc(100_000));
const closing = "HTTP/1.1 200 OK\r\nConnection: close\r\n";
const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

test.each([
  ["that closes", `${closing}Content-Length: 2\r\n\r\n{}`, { text: "{}" }],
  ["of an older server", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", { text: "{}" }],
  ["that is followed by a byte", `${answer("{}")}x`, { text: "{}" }],
  ["that is followed by another", answer("{}") + answer("not yours"), { text: "{}" }],
  ["with both kinds of length", `${chunked}Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n`, { text: "{}" }],
  ["that is malformed", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", { why: "closed", code: "EBADMSG" }],
  ["that is too large", "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", { why: "too_large" }],
  ["whose head is too large", `HTTP/1.1 200 OK\r\nA: ${"b".repeat(16_384)}\r\n\r\n`, { why: "too_large" }],
])("after an answer %s the connection is not used again", async (_, text, expected) => {
  const server = await listen((socket, request, number) => {
    if (number === 1) socket.write(text);
    else socket.write(answer(request.slice(-3)));
  });
  const { post, transport } = rig();
  expect(await post(server)).toMatchObject(expected);
  expect(transport.stats().open).toBe(0);
  expect(await post(server, '"2"')).toMatchObject({ text: '"2"' });
  expect(server.connections()).toBe(2);
  await until(() => server.open() === 1);
});

test.each([
  ["in a way that nobody knows", answer("{}", "Content-Encoding: x\r\n"), { why: "closed", code: "EBADMSG" }],
  ["in another way than it says", answer("{}", "Content-Encoding: gzip\r\n"), { why: "closed", code: "EBADMSG" }],
  [
    "and far too large",
    Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}\r\n\r\n`),
      bomb,
    ]),
    { why: "too_large" },
  ],
])("an answer that is packed %s is no answer", async (_, packed, expected) => {
  const server = await listen((socket) => socket.write(packed));
  expect(await rig().post(server)).toMatchObject(expected);
});

test("what a server sends without being asked is given to no request", async () => {
  let speak = (): void => {};
  const server = await listen((socket, request, number) => {
    socket.write(answer(request.slice(-3)));
    if (number === 1) speak = () => void socket.write(answer("not yours"));
  });
  const { post, transport } = rig();
  expect(await post(server, '"1"')).toMatchObject({ text: '"1"' });
  speak();
  await until(() => transport.stats().open === 0);
  expect(await post(server, '"2"')).toMatchObject({ text: '"2"' });
});

test("an answer that comes before its request was sent to the end is an answer, and its connection is closed", async () => {
  const accepted: { end(): void }[] = [];
  // Reads nothing, so that the request cannot be sent to the end.
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        accepted.push(socket);
        socket.pause();
        socket.write(answer("too long", "", "413 Content Too Large"));
      },
      data: () => {},
    },
  });
  opened.push({ close: () => server.stop(true) });
  const { post, transport } = rig();
  const reply = await post({ root: `http://127.0.0.1:${server.port}` }, "x".repeat(20_000_000));
  expect(reply).toEqual({ kind: "answered", status: 413, text: "too long" });
  expect(transport.stats()).toMatchObject({ open: 0, idle: 0 });
  expect(accepted).toHaveLength(1);
});

test("a connection that the server closed while nobody used it is replaced without a word", async () => {
  const ends: (() => void)[] = [];
  const server = await listen((socket) => {
    socket.write(answer("{}"));
    ends.push(() => socket.destroy());
  });
  const { post, transport } = rig();
  await Promise.all([post(server), post(server), post(server)]);
  expect(transport.stats().idle).toBe(3);
  for (const end of ends) end();
  await until(() => transport.stats().open === 0);
  expect(await post(server)).toMatchObject({ text: "{}" });
});

test("a connection that nobody uses is closed after the limit, and not before", async () => {
  const server = await listen((socket) => socket.write(answer("{}")));
  const { clock, post, transport } = rig();
  await post(server);
  await clock.advance(14_900);
  expect(transport.stats()).toMatchObject({ open: 1, idle: 1 });
  await clock.advance(1_500);
  expect(transport.stats()).toMatchObject({ open: 0, idle: 0 });
  await until(() => server.open() === 0);
  expect(clock.pending()).toBe(0);
});

test("a connection is closed before the server does it, where the server says when", async () => {
  const server = await listen((socket) => socket.write(answer("{}", "Keep-Alive: timeout=5\r\n")));
  const { clock, post } = rig();
  await post(server);
  await clock.advance(3_900);
  await post(server);
  expect(server.connections()).toBe(1);
  await clock.advance(5_100);
  await until(() => server.open() === 0);
});

test("a connection that is too old is not used, even where nobody has come to close it yet", async () => {
  const server = await listen((socket) => socket.write(answer("{}", "Keep-Alive: timeout=2\r\n")));
  const { clock, post } = rig({ limits: { idleMaxMs: 950 } });
  await post(server);
  await clock.advance(960);
  await post(server);
  expect(server.connections()).toBe(2);
});

test("a server that keeps connections for a moment only is asked over a new one each time", async () => {
  const server = await listen((socket) => socket.write(answer("{}", "Keep-Alive: timeout=1\r\n")));
  const { post, transport } = rig();
  await post(server);
  expect(transport.stats().open).toBe(0);
  await post(server);
  expect(server.connections()).toBe(2);
});

test("a stop ends what is open as aborted, closes every connection and sends nothing any more", async () => {
  let hanging = 0;
  const server = await listen((socket, request) => {
    if (request.endsWith("hang")) hanging++;
    else socket.write(answer("{}"));
  });
  const { clock, post, transport } = rig();
  const open = Promise.all([post(server, "hang"), post(server, "hang"), post(server)]);
  await until(() => hanging === 2 && transport.stats().idle === 1);
  await transport.stop();
  const aborted: HttpReply = { kind: "failed", why: "aborted", code: "" };
  expect(await open).toEqual([aborted, aborted, { kind: "answered", status: 200, text: "{}" }]);
  expect(await post(server)).toEqual(aborted);
  expect(await post({ root: server.root.replace("127.0.0.1", "localhost") })).toEqual(aborted);
  await until(() => server.open() === 0);
  expect(transport.stats()).toMatchObject({ open: 0, idle: 0, calls: 0 });
  expect(clock.pending()).toBe(0);
});

test.each([
  "",
  "telegram.example",
  "ftp://127.0.0.1",
  "http://",
  "http://u:p@127.0.0.1",
  "http://127.0.0.1?x",
  "http://127.0.0.1:99999",
])("%p is no address, and nothing is sent", async (root) => {
  expect(await rig().post({ root })).toEqual({ kind: "failed", why: "unreachable", code: "ERR_INVALID_URL" });
});

test("a line end in a path or a content type begins no second request", async () => {
  const seen: string[] = [];
  const server = await listen((socket, request) => {
    seen.push(request);
    socket.write(answer("{}"));
  });
  const { post, transport } = rig();
  await post(server, "{}", "/bot1:x/get Me\r\nX-Evil: 1\r\n\r\nPOST /é");
  expect(seen).toHaveLength(1);
  expect(seen[0]).not.toContain("\r\nX-Evil");
  const evil = { url: `${server.root}/x`, body: "{}", contentType: "a/b\r\nX-Evil: 1", maxMs: 1_000 };
  expect(await transport.exchange(evil)).toMatchObject({ why: "unreachable" });
  expect(seen).toHaveLength(1);
});

const certificate = makeCertificate("DNS:localhost");

test.skipIf(certificate === undefined)(
  "the name of the server goes with the handshake (skipped where no openssl is installed)",
  async () => {
    const names: (string | false | null)[] = [];
    const server = createTlsServer({ ...certificate }, (socket) => {
      names.push((socket as unknown as { servername: string }).servername);
      socket.on("error", () => {});
      socket.on("data", () => void socket.write(answer("{}")));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    opened.push(server);
    const { port } = server.address() as AddressInfo;
    const { post } = rig({ ca: certificate?.cert ?? "" });
    expect(await post({ root: `https://localhost:${port}` })).toMatchObject({ text: "{}" });
    expect(names).toEqual(["localhost"]);
  },
);

test.skipIf(certificate === undefined)(
  "NODE_TLS_REJECT_UNAUTHORIZED does not make a certificate trusted (skipped where no openssl is installed)",
  async () => {
    const before = process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
    process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = "0";
    try {
      const server = await listen((socket) => socket.write(answer("{}")), certificate);
      const root = server.root.replace("127.0.0.1", "localhost");
      const reply = await rig().post({ root });
      expect(reply).toEqual({ kind: "failed", why: "unreachable", code: "DEPTH_ZERO_SELF_SIGNED_CERT" });
      const other = makeCertificate("DNS:telegram.example")?.cert ?? "";
      expect(await rig({ ca: other }).post({ root })).toMatchObject({ kind: "failed", why: "unreachable" });
    } finally {
      if (before === undefined) delete process.env["NODE_TLS_REJECT_UNAUTHORIZED"];
      else process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = before;
    }
  },
);
