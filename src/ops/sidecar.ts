/**
 * The HTTP side of botfleet for load balancers, Prometheus and people: `/health`, `/ready`, `/metrics`, `/status.json`, `/`.
 * It only reads; there is nothing to sign in for and nothing to change here.
 * While `/ready` answers 503 every route does, but `/health` and `/metrics`: a load balancer that does not ask `/ready` by itself (open-source NGINX)
 * tells by its own requests that they belong elsewhere. The page and `/status.json` have their usual body all the same, for who looks at the instance.
 */
import { Elysia } from "elysia";
import type { Clock } from "../clock.ts";
import { sleep } from "../clock.ts";
import { Fault } from "../faults.ts";
import type { Log } from "../log.ts";
import type { Health, Verdict } from "./health.ts";
import type { Metrics } from "./metrics.ts";
import { pageOf, pagePolicy } from "./page.ts";
import type { StatusSource } from "./status.ts";

export interface SidecarOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Metrics on a listener of their own, and no longer on the main one. */
  readonly metricsPort?: number | undefined;
  readonly health: Health;
  readonly metrics: Pick<Metrics, "text" | "contentType">;
  readonly source: StatusSource;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Sidecar {
  readonly port: number;
  readonly metricsPort: number | undefined;
  /** Takes no new connections, gives answers under way `stopMaxMs`, then cuts what is open. */
  stop(): Promise<void>;
}

/** No route reads a body. */
const requestMaxBytes = 4_096;
/** Time for answers under way when it stops, ms; connections that are merely kept open must not hold the process. */
const stopMaxMs = 500;
/** An idle connection is closed after this, s: longer than the 15 s and 30 s at which Prometheus and load balancers come back. */
const idleMaxS = 60;

const headers = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
} as const;

/** Listens when it returns. Throws `settings_invalid` where a port cannot be listened on, naming the setting. */
export function startSidecar(options: SidecarOptions): Sidecar {
  const { host, port, metricsPort } = options;
  const withMetrics = metricsPort === undefined;
  const main = listen(mainApp(options, withMetrics), host, port, "PORT");
  let metrics: Bun.Server<undefined> | undefined;
  try {
    if (!withMetrics) metrics = listen(metricsApp(options), host, metricsPort, "METRICS_PORT");
  } catch (fault) {
    void main.stop(true); // Nothing is under way yet.
    throw fault;
  }
  const servers = metrics === undefined ? [main] : [main, metrics];
  return {
    port: main.port ?? port,
    metricsPort: metrics?.port,
    async stop() {
      const answered = Promise.all(servers.map((server) => server.stop()));
      // A graceful stop waits for every open connection, for ever.
      await Promise.race([answered, sleep(options.clock, stopMaxMs)]);
      await Promise.all(servers.map((server) => server.stop(true)));
    },
  };
}

type App = Pick<Elysia, "fetch">;

/** Elysia takes three letters without a port (`http://abc/`) for no host at all unless it is told that hosts differ. */
function newApp(log: Log, absent: () => Response) {
  return new Elysia({ handler: { standardHostname: false } }).onError(({ code, error }) => {
    if (code === "NOT_FOUND") return absent();
    // Elysia would answer the message of the error: an inner matter, which belongs into the log.
    log.error("a request to the sidecar failed", { error });
    return json(500, { error: "internal" });
  });
}

function mainApp({ health, source, log, ...rest }: SidecarOptions, withMetrics: boolean): App {
  const policy = { "content-security-policy": pagePolicy() };
  // Where this instance is not ready another one may have the route.
  const absent = (): Response => (health.ready().status === 503 ? json(503, { error: "unavailable" }) : notFound());
  const app = newApp(log, absent)
    .get("/health", () => verdict(health.live()))
    .get("/ready", () => verdict(health.ready()))
    .get("/status.json", () => json(health.ready().status, source.status()))
    .get("/", () => {
      const ready = health.ready();
      return answer(ready.status, "text/html; charset=utf-8", pageOf(source.status(), ready), policy);
    });
  return withMetrics ? app.use(metricsApp({ log, ...rest })) : app;
}

function metricsApp({ metrics, log }: Pick<SidecarOptions, "metrics" | "log">) {
  let scrape: Promise<string> | undefined;
  // Scrapes at the same time share one text: making it is the most costly thing here.
  const text = (): Promise<string> => (scrape ??= metrics.text().finally(() => (scrape = undefined)));
  return newApp(log, notFound).get("/metrics", async () => answer(200, metrics.contentType, await text()));
}

function listen(app: App, hostname: string, port: number, setting: string): Bun.Server<undefined> {
  try {
    return Bun.serve({
      hostname,
      port,
      // Elysia's own `listen` shares the port with whoever has it already: a second botfleet would answer half the probes.
      reusePort: false,
      development: false,
      maxRequestBodySize: requestMaxBytes,
      idleTimeout: idleMaxS,
      fetch: (request) => app.fetch(request),
      error: () => json(500, { error: "internal" }),
    });
  } catch (error) {
    throw new Fault("settings_invalid", `${setting}: cannot listen on ${hostname}:${port}: ${whyNot(error)}`, {
      cause: error,
    });
  }
}

function whyNot(error: unknown): string {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use; stop what uses it (perhaps another botfleet) or choose another port";
    case "EACCES":
      return "not allowed; choose a port above 1023";
    case "EADDRNOTAVAIL":
      return "HOST is no address of this machine";
    default:
      return error instanceof Error ? error.message : "the system refused";
  }
}

function notFound(): Response {
  return json(404, { error: "not_found" });
}

function verdict(of: Verdict): Response {
  return json(of.status, { status: of.state, reasons: of.reasons });
}

function json(status: number, body: unknown): Response {
  return answer(status, "application/json; charset=utf-8", `${JSON.stringify(body)}\n`);
}

function answer(
  status: number,
  contentType: string,
  body: string,
  more: Readonly<Record<string, string>> = {},
): Response {
  return new Response(body, { status, headers: { ...headers, ...more, "content-type": contentType } });
}
