/** The shipped configurations of NGINX and HAProxy, under the real programs, over three servers that do as they are told. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:tls";
import type { Balancer } from "./balancer-process.ts";
import { type BalancerKind, haproxy, nginx } from "./balancer.ts";
import { describeLive } from "./live.ts";
import { opensslProgram } from "./programs.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const open: AsyncDisposable[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each[Symbol.asyncDispose]();
});

/** What it was asked, apart from `/ready`. */
interface Stub {
  readonly port: number;
  readonly requests: Request[];
  status: number;
}

function startStub(): Stub {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request, self) {
      const { pathname } = new URL(request.url);
      if (pathname === "/ready") return new Response("");
      stub.requests.push(request.clone() as Request);
      if (pathname === "/hang") return new Promise<Response>(() => {});
      if (self.upgrade(request)) return undefined;
      return new Response("", { status: stub.status });
    },
    websocket: { message: (socket, text) => void socket.send(`echo ${String(text)}`) },
  });
  open.push({ [Symbol.asyncDispose]: () => server.stop(true) });
  const stub: Stub = { port: server.port ?? 0, requests: [], status: 200 };
  return stub;
}

async function overStubs(kind: BalancerKind): Promise<{ balancer: Balancer; stubs: readonly [Stub, Stub, Stub] }> {
  const stubs = [startStub(), startStub(), startStub()] as const;
  const balancer = await kind.start(stubs.map(({ port }) => port));
  open.push(balancer);
  return { balancer, stubs };
}

for (const kind of [nginx, haproxy]) {
  describeLive(`${kind.name} as shipped`, [kind.program, opensslProgram], () => {
    test("spreads requests over three servers, and sends none to one that is busy while others are not", async () => {
      const { balancer, stubs } = await overStubs(kind);
      for (let n = 0; n < 30; n++) expect((await balancer.fetch("/")).status).toBe(200);
      for (const { requests } of stubs) expect(requests.length).toBeGreaterThanOrEqual(7);
      expect(await balancer.counts()).toEqual(stubs.map(({ requests }) => requests.length));
      const hanging = new AbortController();
      const hangs = balancer.fetch("/hang", { signal: hanging.signal }).catch(() => undefined);
      const busy = (): Stub | undefined =>
        stubs.find(({ requests }) => requests.some(({ url }) => url.endsWith("/hang")));
      await until(() => busy() !== undefined);
      const before = busy()?.requests.length;
      for (let n = 0; n < 20; n++) await balancer.fetch("/");
      expect(busy()?.requests.length).toBe(before);
      hanging.abort();
      await hangs;
    });

    test("a refusal is passed on to another server and not to the client, unless what was asked may have had an effect", async () => {
      const { balancer, stubs } = await overStubs(kind);
      stubs[0].status = 503;
      for (let n = 0; n < 6; n++) expect((await balancer.fetch("/")).status).toBe(200);
      expect(stubs[0].requests.length).toBeGreaterThan(0);
      for (const stub of stubs) Object.assign(stub, { status: 503, requests: [] });
      expect((await balancer.fetch("/", { method: "POST", body: "x" })).status).toBe(503);
      expect(stubs.flatMap(({ requests }) => requests)).toHaveLength(1);
    });

    test("three that refuse for a while, one after the other, cost no request, then or afterwards", async () => {
      const { balancer, stubs } = await overStubs(kind);
      const ask = async (): Promise<void> => expect((await balancer.fetch("/")).status).toBe(200);
      for (const stub of stubs) {
        stub.status = 503;
        const before = stub.requests.length;
        // NGINX leaves it alone from then on.
        for (let n = 0; n < 60 && stub.requests.length < before + 3; n++) await ask();
        stub.status = 200;
      }
      for (let n = 0; n < 10; n++) await ask();
    });

    test("says who asked and for what host, and upgrades what is to be upgraded alone", async () => {
      const { balancer, stubs } = await overStubs(kind);
      await balancer.fetch("/", { headers: { host: "botfleet.example.com" } });
      const socket = new WebSocket(`wss://127.0.0.1:${balancer.port}/socket`, { tls: { ca: balancer.ca } });
      const answer = new Promise((resolve, reject) => {
        socket.addEventListener("message", ({ data }) => resolve(data));
        for (const end of ["error", "close"]) socket.addEventListener(end, reject);
      });
      socket.addEventListener("open", () => socket.send("hello"));
      expect(await answer).toBe("echo hello");
      socket.close();
      const requests = stubs.flatMap(({ requests: some }) => some);
      const seen = (path: string) => requests.find(({ url }) => new URL(url).pathname === path)?.headers;
      expect(seen("/socket")?.get("upgrade")).toBe("websocket");
      expect(seen("/")?.get("upgrade")).toBeNull();
      expect(seen("/")?.get("connection") ?? "keep-alive").toBe("keep-alive");
      expect(seen("/")?.get("host")).toBe("botfleet.example.com");
      expect(seen("/")?.get("x-forwarded-for")).toBe("127.0.0.1");
      expect(seen("/")?.get("x-forwarded-proto")).toBe("https");
    });

    test("`/health` is in no log, `/metrics` is not to be had, and HTTP/2 is spoken", async () => {
      const { balancer, stubs } = await overStubs(kind);
      expect((await balancer.fetch("/health")).status).toBe(200);
      expect((await balancer.fetch("/metrics")).status).toBe(404);
      expect((await balancer.fetch("/last")).status).toBe(200);
      await until(() => balancer.log().includes("/last"));
      expect(balancer.log()).not.toContain("/health");
      expect(stubs.flatMap(({ requests }) => requests.map(({ url }) => new URL(url).pathname))).not.toContain(
        "/metrics",
      );
      const protocol = await new Promise((resolve, reject) => {
        const { port, ca } = balancer;
        const socket = connect({ port, host: "127.0.0.1", ca, ALPNProtocols: ["h2", "http/1.1"] }, () => {
          resolve(socket.alpnProtocol);
          socket.destroy();
        });
        socket.on("error", reject);
      });
      expect(protocol).toBe("h2");
    });
  });
}
