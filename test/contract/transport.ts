/**
 * What every transport promises, run on each implementation against real sockets: `transportContract("fetch", ...)`. Longer than other
 * files because it is one contract.
 */
import { afterEach, describe, expect, test } from "bun:test";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import type { AbortListeners } from "../../src/abort-listeners.ts";
import { systemClock } from "../../src/clock.ts";
import type { Clock } from "../../src/clock.ts";
import { faultKinds } from "../../src/simulator/faults.ts";
import type { FaultKind } from "../../src/simulator/faults.ts";
import { startSimulator } from "../../src/simulator/server.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { Deadlines } from "../../src/telegram/deadlines.ts";
import type { HttpReply, HttpRequest, Transport } from "../../src/telegram/exchange.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { answer, listenRaw, makeCertificate, until } from "../support/raw-server.ts";
import type { RawServer } from "../support/raw-server.ts";

export interface TransportParts {
  readonly clock: Clock;
  readonly deadlines: Deadlines;
  readonly listeners: AbortListeners;
  readonly answerMaxBytes: number;
  /** PEM: trusted instead of the usual authorities. */
  readonly ca?: string;
}

export interface TransportHarness {
  create(parts: TransportParts): Transport & { stop?(): Promise<void> };
}

const answerMaxBytes = 1_000;
const certificate = makeCertificate("IP:127.0.0.1");
const elsewhere = makeCertificate("DNS:telegram.example");

export function transportContract(name: string, harness: TransportHarness): void {
  describe(`the transport over ${name}`, () => {
    const opened: { close(): void }[] = [];
    afterEach(() => {
      for (const each of opened.splice(0)) each.close();
    });

    async function listen(...args: Parameters<typeof listenRaw>): Promise<RawServer> {
      const server = await listenRaw(...args);
      opened.push(server);
      return server;
    }

    function open(parts: Partial<TransportParts> = {}): Transport {
      const clock = parts.clock ?? new FakeClock();
      const deadlines = createDeadlines({ clock, tickMs: 100 });
      const listeners = createAbortListeners();
      const transport = harness.create({ clock, deadlines, listeners, answerMaxBytes, ...parts });
      opened.push({ close: () => void transport.stop?.() });
      return transport;
    }

    function request({ root }: { root: string }, more: Partial<HttpRequest> = {}): HttpRequest {
      const url = `${root}/bot1:x/getMe`;
      return { url, body: '{"a":1}', contentType: "application/json", maxMs: 60_000, ...more };
    }

    function post(server: { root: string }, more: Partial<HttpRequest> = {}): Promise<HttpReply> {
      return open().exchange(request(server, more));
    }

    test("one POST with its content type carries the body, and the whole answer comes back", async () => {
      let seen = "";
      const server = await listen((socket, text) => {
        seen = text;
        socket.write(answer("hi", "", "429 Too Many Requests"));
      });
      expect(await post(server)).toEqual({ kind: "answered", status: 429, text: "hi" });
      expect(seen).toStartWith("POST /bot1:x/getMe HTTP/1.1\r\n");
      expect(seen.toLowerCase()).toContain("content-type: application/json\r\n");
      expect(seen.toLowerCase()).toContain(`host: 127.0.0.1:${server.port}\r\n`);
      expect(seen.toLowerCase()).toContain("accept-encoding: identity\r\n");
      expect(seen).toEndWith('\r\n\r\n{"a":1}');
    });

    test.each(["", "plain", "äöü", "сообщение 👋", "half \ud800", "x".repeat(300_000), "я".repeat(300_000)])(
      "a body arrives byte for byte and says its length in bytes (%#)",
      async (body) => {
        let seen = "";
        const server = await listen((socket, text) => {
          seen = text;
          socket.write(answer("{}"));
        });
        expect(await post(server, { body })).toMatchObject({ kind: "answered" });
        expect(seen).toEndWith(`\r\n\r\n${Buffer.from(body).toString("latin1")}`);
      },
    );

    test("a body larger than the socket takes at once arrives whole", async () => {
      const body = "ab👋".repeat(1_000_000);
      let seen = 0;
      const server = await listen((socket, text) => {
        seen = text.length;
        socket.write(answer("{}"));
      });
      expect(await post(server, { body })).toMatchObject({ kind: "answered" });
      expect(seen).toBeGreaterThan(Buffer.byteLength(body));
    });

    test("to a port without a listener surely nothing is sent", async () => {
      const server = await listen(() => {});
      server.close();
      expect(await post(server)).toMatchObject({ kind: "failed", why: "unreachable" });
    });

    test("to a name that does not exist surely nothing is sent", async () => {
      expect(await post({ root: "http://telegram.invalid" })).toMatchObject({ kind: "failed", why: "unreachable" });
    });

    test("a connection that closes after the request leaves the outcome open, and the request is not sent again", async () => {
      const server = await listen((socket, _, number) => {
        // The second request of a kept connection is where an HTTP client may be tempted to send again.
        if (number === 1) socket.write(answer("{}"));
        else socket.destroy();
        requests = number;
      });
      let requests = 0;
      const transport = open();
      expect(await transport.exchange(request(server))).toMatchObject({ kind: "answered" });
      expect(await transport.exchange(request(server))).toMatchObject({ kind: "failed", why: "closed" });
      expect(requests).toBe(2);
    });

    test.each([
      ["before its head ends", "HTTP/1.1 200 OK\r\nContent-Le"],
      ["within its body", 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok":true'],
      ["within a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{}"],
      ["before its last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"],
    ])("an answer that is cut off %s is no answer", async (_, text) => {
      const server = await listen((socket) => socket.end(text));
      expect(await post(server)).toMatchObject({ kind: "failed", why: "closed" });
    });

    test("what is no HTTP is no answer", async () => {
      const server = await listen((socket) => socket.end("SSH-2.0-OpenSSH_9.6\r\n\r\n"));
      expect(await post(server)).toMatchObject({ kind: "failed", why: "closed" });
    });

    test.each([
      ["with a length", answer("aé👋z")],
      [
        "in chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\na\xc3\r\n6\r\n\xa9\xf0\x9f\x91\x8bz\r\n0\r\nT: v\r\n\r\n",
      ],
      ["that ends with its connection", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\naé👋z"],
      [
        "after interim answers",
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n${answer("aé👋z")}`,
      ],
    ])("an answer %s is put together wherever it is split", async (how, text) => {
      const bytes = how === "in chunks" ? Buffer.from(text, "latin1") : Buffer.from(text);
      const server = await listen((socket, _, number) => {
        socket.setNoDelay(true);
        socket.write(bytes.subarray(0, number));
        setTimeout(() => {
          if (how === "that ends with its connection") socket.end(bytes.subarray(number));
          else socket.write(bytes.subarray(number));
        }, 2);
      });
      const transport = open();
      // One after the other, so that the number of the request is where its answer is split.
      for (let at = 1; at < bytes.length; at += 3) {
        expect(await transport.exchange(request(server))).toEqual({ kind: "answered", status: 200, text: "aé👋z" });
      }
    });

    test.each([204, 304])("an answer with status %d has no body, whatever its head says", async (status) => {
      const server = await listen((socket) => socket.write(`HTTP/1.1 ${status} X\r\nETag: "1"\r\n\r\n`));
      expect(await post(server)).toEqual({ kind: "answered", status, text: "" });
    });

    test("the HTML of a proxy in between is an answer like others", async () => {
      const page = "<html><body><h1>502 Bad Gateway</h1></body></html>\r\n";
      const head = `HTTP/1.0 502 Bad Gateway\r\nCache-Control: no-cache\r\nConnection: close\r\nContent-Type: text/html\r\n\r\n`;
      const server = await listen((socket) => socket.end(head + page));
      expect(await post(server)).toEqual({ kind: "answered", status: 502, text: page });
    });

    test("an answer that comes packed although nobody asked for it is unpacked", async () => {
      const packed = gzipSync('{"ok":true}');
      const server = await listen((socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${packed.length}\r\n\r\n`);
        socket.write(packed);
      });
      expect(await post(server)).toEqual({ kind: "answered", status: 200, text: '{"ok":true}' });
    });

    test.each(["", `HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok"`])(
      "a connection that hangs ends at the deadline and is closed (%#)",
      async (head) => {
        const clock = new FakeClock();
        let reached = false;
        const server = await listen((socket) => {
          if (head !== "") socket.write(head);
          reached = true;
        });
        const reply = open({ clock }).exchange(request(server, { maxMs: 3_000 }));
        await until(() => reached);
        await clock.advance(3_100);
        expect(await reply).toEqual({ kind: "failed", why: "deadline", code: "" });
        await until(() => server.open() === 0);
        expect(clock.pending()).toBe(0);
      },
    );

    test("on the system's clock a hanging poll ends too", async () => {
      const server = await listen(() => {});
      const reply = await open({ clock: systemClock }).exchange(request(server, { maxMs: 30 }));
      expect(reply).toMatchObject({ why: "deadline" });
    });

    test("a signal aborts the open exchange and forbids the next", async () => {
      const seen: string[] = [];
      const stop = new AbortController();
      const server = await listen((socket, text) => {
        seen.push(text.slice(-1));
        if (text.endsWith("1")) stop.abort();
        else socket.write(answer("{}"));
      });
      const transport = open();
      const aborted: HttpReply = { kind: "failed", why: "aborted", code: "" };
      expect(await transport.exchange(request(server, { body: "1", signal: stop.signal }))).toEqual(aborted);
      await transport.exchange(request(server, { body: "2" }));
      expect(await transport.exchange(request(server, { body: "3", signal: stop.signal }))).toEqual(aborted);
      await transport.exchange(request(server, { body: "4" }));
      expect(seen).toEqual(["1", "2", "4"]);
    });

    test("a request that was cut short leaves the next ones of its transport alone", async () => {
      const clock = new FakeClock();
      let held: (() => void) | undefined;
      const server = await listen((socket, _, number) => {
        if (number === 1) held = () => void socket.write(answer("late"));
        else socket.write(answer("{}"));
      });
      const transport = open({ clock });
      const first = transport.exchange(request(server, { maxMs: 3_000 }));
      await until(() => held !== undefined);
      await clock.advance(3_100);
      expect(await first).toMatchObject({ why: "deadline" });
      held?.();
      for (let at = 0; at < 3; at++) expect(await transport.exchange(request(server))).toMatchObject({ text: "{}" });
    });

    test("each of many requests at a time gets its own answer", async () => {
      const server = await listen((socket, text) => {
        const body = text.slice(text.indexOf("\r\n\r\n") + 4);
        setTimeout(() => socket.write(answer(body)), Math.random() * 5);
      });
      const transport = open();
      const bodies = Array.from({ length: 200 }, (_, at) => `"${at}"`);
      const replies = await Promise.all(bodies.map((body) => transport.exchange(request(server, { body }))));
      expect(replies.map((reply) => reply.kind === "answered" && reply.text)).toEqual(bodies);
    });

    test("an answer beyond the limit is not read, whether it says its length or not", async () => {
      const long = "x".repeat(answerMaxBytes + 1);
      for (const text of [
        answer(long),
        `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n${long}\r\n0\r\n\r\n`,
        `HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${long}`,
      ]) {
        const server = await listen((socket) => socket.end(text));
        expect(await post(server)).toMatchObject({ kind: "failed", why: "too_large" });
      }
    });

    test("a redirect is not followed: it would carry the token elsewhere", async () => {
      let requests = 0;
      const server = await listen((socket) => {
        requests++;
        socket.write("HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n");
      });
      expect(await post(server)).toMatchObject({ kind: "answered", status: 307 });
      expect(requests).toBe(1);
    });

    describe("over the simulated Bot API", () => {
      const expected: Readonly<Record<FaultKind, object>> = {
        "429": { kind: "answered", status: 429 },
        "500": { kind: "answered", status: 500 },
        "502-html": { kind: "answered", status: 502 },
        "401": { kind: "answered", status: 401 },
        "403": { kind: "answered", status: 403 },
        "404": { kind: "answered", status: 404 },
        "409": { kind: "answered", status: 409 },
        hang: { kind: "failed", why: "deadline" },
        reset: { kind: "failed", why: "closed" },
        // A connection that is destroyed when the request is there: the client cannot know that it had no effect.
        refused: { kind: "failed", why: "closed" },
        truncated: { kind: "failed", why: "closed" },
        delay: { kind: "answered", status: 200 },
        empty: { kind: "answered", status: 200, text: "" },
        "not-json": { kind: "answered", status: 200, text: "<html>Welcome</html>" },
      };

      for (const certified of [undefined, certificate]) {
        const tls = certified === undefined ? {} : { tls: certified };
        const ca = certified === undefined ? {} : { ca: certified.cert };

        test(`each of its faults has its name, and the next call is not touched by it (${certified ? "TLS" : "plain"})`, async () => {
          const simulator = await startSimulator(tls);
          opened.push({ close: () => void simulator.stop() });
          const transport = open({ clock: systemClock, ...ca });
          const url = `${simulator.url}/bot${simulator.tokens[0]}/getMe`;
          for (const kind of faultKinds) {
            for (const when of ["before", "after"] as const) {
              simulator.api.faults.add({ kind, when, times: 1, delayMs: 20 });
              const maxMs = kind === "hang" ? 100 : 20_000;
              const struck = await transport.exchange(request({ root: "" }, { url, body: "{}", maxMs }));
              expect([kind, struck]).toMatchObject([kind, expected[kind]]);
              const next = await transport.exchange(request({ root: "" }, { url, body: "{}", maxMs: 20_000 }));
              expect([kind, next]).toMatchObject([kind, { kind: "answered", status: 200 }]);
            }
          }
        });

        test(`an outage ends what is open, what comes meanwhile is unreachable, and after it all goes on (${certified ? "TLS" : "plain"})`, async () => {
          const simulator = await startSimulator(tls);
          opened.push({ close: () => void simulator.stop() });
          const transport = open({ clock: systemClock, ...ca });
          const root = `${simulator.url}/bot${simulator.tokens[0]}`;
          const call = (method: string, body = "{}"): Promise<HttpReply> =>
            transport.exchange(request({ root: "" }, { url: `${root}/${method}`, body, maxMs: 20_000 }));
          await Promise.all(Array.from({ length: 5 }, () => call("getMe")));
          const poll = call("getUpdates", '{"timeout":50}');
          await until(() => simulator.connections() > 0);
          await call("getMe");
          simulator.pause();
          expect(await poll).toMatchObject({ kind: "failed", why: "closed" });
          // A kept connection whose end is not known yet is `closed`; there were five.
          let meanwhile = await call("getMe");
          for (let kept = 5; kept > 0 && "why" in meanwhile && meanwhile.why === "closed"; kept--) {
            meanwhile = await call("getMe");
          }
          expect(meanwhile).toMatchObject({ kind: "failed", why: "unreachable" });
          simulator.resume();
          expect(await call("getMe")).toMatchObject({ kind: "answered", status: 200 });
        });
      }
    });

    describe.skipIf(certificate === undefined || elsewhere === undefined)(
      "over TLS (skipped where no openssl is installed)",
      () => {
        if (certificate === undefined || elsewhere === undefined) return;
        const onRequest: Parameters<typeof listenRaw>[0] = (socket, _, number) => {
          requests = number;
          socket.write(answer("{}"));
        };
        let requests = 0;

        async function reach(certified: typeof certificate, ca: string | undefined): Promise<HttpReply> {
          requests = 0;
          const server = await listen(onRequest, certified);
          const transport = open(ca === undefined ? {} : { ca });
          return transport.exchange(request(server));
        }

        test("a server whose certificate is trusted and bears its name is called", async () => {
          expect(await reach(certificate, certificate.cert)).toMatchObject({ kind: "answered", text: "{}" });
        });

        test.each([
          ["nobody vouches for", certificate, undefined],
          ["another authority has signed", certificate, elsewhere.cert],
          ["names another host", elsewhere, elsewhere.cert],
        ])("to a server with a certificate that %s not a byte of a request is sent", async (_, certified, ca) => {
          const reply = await reach(certified, ca);
          expect(reply).toMatchObject({ kind: "failed", why: "unreachable" });
          expect(reply.kind === "failed" && reply.code).toMatch(/CERT/);
          expect(requests).toBe(0);
        });

        test("to a port that does not speak TLS not a byte of a request is sent", async () => {
          let seen = "";
          const server = createServer((socket) => {
            socket.on("error", () => {});
            socket.on("data", (data) => {
              seen += data.toString("latin1");
              socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
            });
          });
          await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
          opened.push(server);
          const { port } = server.address() as AddressInfo;
          expect(await post({ root: `https://127.0.0.1:${port}` })).toMatchObject({ kind: "failed" });
          expect(seen).not.toContain("getMe");
        });
      },
    );
  });
}
