import { afterEach, expect, test } from "bun:test";
import { connect } from "node:net";
import { systemClock } from "../../src/clock.ts";
import { faultOf } from "../../src/faults.ts";
import type { Verdict } from "../../src/ops/health.ts";
import { startSidecar, type Sidecar, type SidecarOptions } from "../../src/ops/sidecar.ts";
import type { Log, LogFields } from "../../src/log.ts";
import { statusOf } from "./fixtures/status.ts";

const started: Sidecar[] = [];
afterEach(async () => {
  await Promise.all(started.splice(0).map((sidecar) => sidecar.stop()));
});

const well: Verdict = { status: 200, state: "ok", reasons: [] };
const ill: Verdict = {
  status: 503,
  state: "unavailable",
  reasons: [{ code: "inbox_lost", what: "<b>lost</b>", remedy: "wait" }],
};

interface Written {
  readonly message: string;
  readonly fields: LogFields | undefined;
}

function start(changes: Partial<SidecarOptions> = {}) {
  const written: Written[] = [];
  const note = (message: string, fields?: LogFields): void => void written.push({ message, fields });
  const log: Log = { debug: note, info: note, warn: note, error: note, child: () => log };
  const sidecar = startSidecar({
    host: "127.0.0.1",
    port: 0,
    health: { live: () => well, ready: () => well },
    metrics: { text: () => Promise.resolve("botfleet_x 1\n"), contentType: "text/plain; version=0.0.4; charset=utf-8" },
    source: { status: () => statusOf() },
    clock: systemClock,
    log,
    ...changes,
  });
  started.push(sidecar);
  const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${sidecar.port}${path}`, init);
  return { sidecar, get, written };
}

test("`/health` and `/ready` answer their verdicts, with the reasons", async () => {
  const { get } = start({ health: { live: () => well, ready: () => ill } });
  const live = await get("/health");
  expect([live.status, await live.json()]).toEqual([200, { status: "ok", reasons: [] }]);
  const ready = await get("/ready");
  expect([ready.status, await ready.json()]).toEqual([503, { status: "unavailable", reasons: ill.reasons }]);
});

test("what is not ready answers 503 on every route but `/health` and `/metrics`, with the body that it has", async () => {
  let now = ill;
  const { get } = start({ health: { live: () => well, ready: () => now } });
  const statuses = (paths: readonly string[], method: string) =>
    Promise.all(paths.map(async (path) => (await get(path, { method })).status));
  const served = ["/", "/ready", "/status.json"];
  for (const method of ["GET", "HEAD"]) {
    expect(await statuses([...served, "/absent"], method)).toEqual(Array(4).fill(503));
    expect(await statuses(["/health", "/metrics"], method)).toEqual([200, 200]);
  }
  expect(await (await get("/status.json")).json()).toEqual(statusOf());
  expect(await (await get("/")).text()).toContain("&lt;b&gt;lost&lt;/b&gt;");
  now = well;
  expect(await statuses(served, "GET")).toEqual([200, 200, 200]);
});

test("a load balancer may ask with HEAD", async () => {
  const { get } = start({ health: { live: () => well, ready: () => ill } });
  expect((await get("/health", { method: "HEAD" })).status).toBe(200);
  expect((await get("/ready", { method: "HEAD" })).status).toBe(503);
});

test("`/metrics` answers in the form of Prometheus", async () => {
  const { get } = start();
  const response = await get("/metrics");
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(await response.text()).toBe("botfleet_x 1\n");
});

test("with a port of its own, `/metrics` is there and no longer on the main one", async () => {
  const { sidecar, get } = start({ metricsPort: 0 });
  expect((await get("/metrics")).status).toBe(404);
  const own = `http://127.0.0.1:${sidecar.metricsPort}`;
  expect(await (await fetch(`${own}/metrics`)).text()).toBe("botfleet_x 1\n");
  expect((await fetch(`${own}/status.json`)).status).toBe(404);
});

test("scrapes at the same time share one text", async () => {
  let made = 0;
  const gate = Promise.withResolvers<string>();
  const text = (): Promise<string> => {
    made++;
    return gate.promise;
  };
  const { get } = start({ metrics: { text, contentType: "text/plain" } });
  const both = [get("/metrics"), get("/metrics")];
  // The third answer comes over a connection of its own: by then the two before it have arrived.
  await get("/health");
  await get("/health");
  gate.resolve("x 1\n");
  for (const response of both) expect(await (await response).text()).toBe("x 1\n");
  expect(made).toBe(1);
});

test("`/status.json` answers the status as it is", async () => {
  const { get } = start();
  expect(await (await get("/status.json")).json()).toEqual(statusOf());
});

test("the page escapes whatever a name or an error holds, and allows no script", async () => {
  const name = `"><script>alert(1)</script>`;
  const bots = [
    { name, id: 1, state: "disabled", since: 0, backlog: 2, error: "<img src=x onerror=alert(1)>" },
  ] as const;
  const { get } = start({
    source: { status: () => statusOf({ bots }) },
    health: { live: () => well, ready: () => ill },
  });
  const response = await get("/");
  const text = await response.text();
  expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(response.headers.get("content-security-policy")).toMatch(
    /^default-src 'none'; style-src 'sha256-[^']+='; base-uri 'none'/,
  );
  expect(text).not.toMatch(/<script|<img|<b>/);
  expect(text).toContain("&lt;script&gt;");
});

test("the page's style is the one that its policy allows", async () => {
  const response = await start().get("/");
  const style = /<style>([^]*)<\/style>/.exec(await response.text())?.[1] ?? "";
  const hash = new Bun.CryptoHasher("sha256").update(style).digest("base64");
  expect(response.headers.get("content-security-policy")).toContain(`'sha256-${hash}'`);
});

test("every answer forbids sniffing, framing, storing and referring", async () => {
  const { get } = start();
  for (const path of ["/", "/health", "/ready", "/metrics", "/status.json", "/absent"]) {
    const { headers } = await get(path);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("content-security-policy")).toStartWith("default-src 'none'");
  }
});

test("what goes wrong inside is a code for the client and a line in the log", async () => {
  const { get, written } = start({
    source: {
      status: () => {
        throw new Error("secret matter");
      },
    },
    metrics: { text: () => Promise.reject(new Error("secret matter")), contentType: "text/plain" },
  });
  for (const path of ["/status.json", "/", "/metrics"]) {
    const response = await get(path);
    expect([response.status, await response.text()]).toEqual([500, '{"error":"internal"}\n']);
  }
  expect(written.map(({ message }) => message)).toEqual(Array(3).fill("a request to the sidecar failed"));
});

test("what is not there is 404, whatever is asked and sent", async () => {
  const { get, written } = start();
  for (const [path, init] of [
    ["/absent", {}],
    ["/health/x", {}],
    ["/%ff", {}],
    ["/health", { method: "POST", body: "{" }],
  ] as const) {
    const response = await get(path, init);
    expect([response.status, await response.text()]).toEqual([404, '{"error":"not_found"}\n']);
  }
  expect(written).toEqual([]);
});

test("a large body is refused", async () => {
  const { get } = start();
  expect((await get("/health", { method: "POST", body: "x".repeat(100_000) })).status).toBe(413);
});

test("hosts with a name of any length and without a port are answered", async () => {
  const { sidecar } = start();
  for (const host of ["a", "abc", "abc:80", "botfleet.test", "[::1]"]) {
    expect(await raw(sidecar.port, `GET /health HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`)).toStartWith(
      "HTTP/1.1 200",
    );
  }
  expect(await raw(sidecar.port, "GET /health HTTP/1.0\r\n\r\n")).toStartWith("HTTP/1.");
});

test("a port in use is a fault that names the setting, and nothing else stays open", async () => {
  const { sidecar } = start();
  expect(() => start({ port: sidecar.port })).toThrow(/^PORT: cannot listen on 127\.0\.0\.1:\d+: the port is in use/);
  const free = start();
  await free.sidecar.stop();
  try {
    start({ port: free.sidecar.port, metricsPort: sidecar.port });
  } catch (error) {
    expect(faultOf(error)?.code).toBe("settings_invalid");
    expect(faultOf(error)?.message).toStartWith("METRICS_PORT: cannot listen");
  }
  expect(start({ port: free.sidecar.port }).sidecar.port).toBe(free.sidecar.port);
});

test("a connection that is merely kept open holds up no stop, nor does an answer that never comes", async () => {
  const { sidecar, get } = start({ metrics: { text: () => new Promise(() => {}), contentType: "text/plain" } });
  const open = connect(sidecar.port, "127.0.0.1");
  await new Promise((resolve) => open.once("connect", resolve));
  const scrape = get("/metrics").catch(() => "cut");
  await get("/health");
  await sidecar.stop();
  expect(await scrape).toBe("cut");
  open.destroy();
  expect(await get("/health").catch(() => "refused")).toBe("refused");
});

/** Sends `request` as it is and resolves with everything that comes back. */
function raw(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(request));
    socket.on("data", (bytes) => (text += bytes.toString()));
    socket.on("close", () => resolve(text));
    socket.on("error", reject);
  });
}
