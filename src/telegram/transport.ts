/** Transport over keep-alive sockets of our own: HTTP/1.1, plain and TLS. */
import type { AbortListeners } from "../abort-listeners.ts";
import type { Clock } from "../clock.ts";
import type { Connection } from "./connection.ts";
import { failed } from "./connection.ts";
import type { Deadlines } from "./deadlines.ts";
import type { HttpReply, HttpRequest, Transport } from "./exchange.ts";
import { Pool } from "./pool.ts";
import type { Admittable, PoolLimits, PoolStats } from "./pool.ts";
import { connectWithBun } from "./socket.ts";
import type { Connect } from "./socket.ts";

export interface OwnTransportOptions {
  readonly deadlines: Deadlines;
  readonly listeners: AbortListeners;
  readonly clock: Clock;
  readonly limits: PoolLimits;
  /** Default: Bun's sockets. */
  readonly connect?: Connect;
  /** PEM: trusted instead of the usual authorities. */
  readonly ca?: string;
}

export interface OwnTransport extends Transport {
  /** Open exchanges end with `aborted`, connections are closed, and no further request is sent. */
  stop(): Promise<void>;
  /** Of all hosts together. */
  stats(): PoolStats;
}

/**
 * Keeps to the port: `unreachable` only where surely not a byte was delivered. A connection that turns out closed before anything was
 * written is replaced silently; one that breaks later, before the answer, is `closed`, and nothing is ever sent twice. Requests beyond the
 * limits wait on their own deadline. The hosts it is asked for come from the configuration: their number is not bounded here.
 *
 * Does not follow redirects and does not use the proxies that `HTTPS_PROXY` and its kin name: where one is set, Telegram may be
 * reachable through `fetch` only. Idle connections keep the process alive until `stop`.
 */
export function createOwnTransport(options: OwnTransportOptions): OwnTransport {
  const hosts = new Map<string, Host>();
  let isStopped = false;

  function hostOf(origin: string): Host | undefined {
    const known = hosts.get(origin) ?? createHost(origin, options);
    if (known !== undefined) hosts.set(origin, known);
    return known;
  }

  return {
    exchange(request) {
      const { url, signal, contentType } = request;
      if (isStopped || signal?.aborted === true) return Promise.resolve(failed("aborted"));
      const pathAt = url.indexOf("/", "https://".length);
      const origin = pathAt < 0 ? url : url.slice(0, pathAt);
      const host = hosts.get(origin) ?? hostOf(origin);
      const path = pathOf(url, pathAt);
      if (host === undefined || path === undefined || !fieldForm.test(contentType)) {
        return Promise.resolve(failed("unreachable", "ERR_INVALID_URL"));
      }
      return new Promise((resolve) => new Exchange(request, path, host, options, resolve));
    },
    stop() {
      isStopped = true;
      for (const { pool } of hosts.values()) pool.stop();
      return Promise.resolve();
    },
    stats() {
      const sum = { open: 0, dialing: 0, idle: 0, calls: 0, polls: 0, waiting: 0, opened: 0 };
      for (const { pool } of hosts.values()) {
        const stats = pool.stats();
        for (const name of Object.keys(sum) as (keyof PoolStats)[]) sum[name] += stats[name];
      }
      return sum;
    },
  };
}

interface Host {
  readonly pool: Pool;
  /** The lines of a head that all requests to the host have. */
  readonly lines: string;
}

class Exchange implements Admittable {
  readonly text: string;
  readonly bytes: number;
  readonly isPoll: boolean;
  connection: Connection | undefined;
  stopWaiting: (() => void) | undefined;
  isAdmitted = false;
  readonly #pool: Pool;
  readonly #cancelDeadline: () => void;
  readonly #unlisten: (() => void) | undefined;
  #resolve: ((reply: HttpReply) => void) | undefined;

  constructor(
    request: HttpRequest,
    path: string,
    { pool, lines }: Host,
    { deadlines, listeners }: OwnTransportOptions,
    resolve: (reply: HttpReply) => void,
  ) {
    const { url, body, contentType, maxMs, signal } = request;
    const bodyBytes = Buffer.byteLength(body);
    const head = `POST ${path} HTTP/1.1\r\n${lines}Content-Type: ${contentType}\r\nContent-Length: ${bodyBytes}\r\n\r\n`;
    this.text = head + body;
    this.bytes = head.length + bodyBytes;
    this.isPoll = url.endsWith("/getUpdates");
    this.#pool = pool;
    this.#resolve = resolve;
    this.#cancelDeadline = deadlines.add(maxMs, () => this.end(failed("deadline")));
    this.#unlisten = signal === undefined ? undefined : listeners.add(signal, () => this.end(failed("aborted")));
    pool.submit(this);
  }

  end(reply: HttpReply): void {
    const resolve = this.#resolve;
    if (resolve === undefined) return;
    this.#resolve = undefined;
    this.#cancelDeadline();
    this.#unlisten?.();
    this.#pool.leave(this);
    resolve(reply);
  }
}

/** Undefined where `origin` is none of HTTP. */
function createHost(origin: string, options: OwnTransportOptions): Host | undefined {
  const url = URL.parse(origin);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) return undefined;
  if (url.pathname + url.search + url.hash !== "/" || url.username + url.password !== "") return undefined;
  const secure = url.protocol === "https:";
  const port = url.port === "" ? (secure ? 443 : 80) : Number(url.port);
  const target = { hostname: url.hostname.replace(/^\[|\]$/g, ""), port, secure, ca: options.ca };
  const pool = new Pool({ ...options, target, connect: options.connect ?? connectWithBun });
  // Most answers are a few hundred bytes: to pack and unpack them costs more than it saves.
  return { pool, lines: `Host: ${url.host}\r\nUser-Agent: botfleet\r\nAccept-Encoding: identity\r\n` };
}

/** Path and query as they go over the wire: a line end in them would begin a second request. */
function pathOf(url: string, pathAt: number): string | undefined {
  const path = pathAt < 0 ? "/" : url.slice(pathAt);
  if (pathForm.test(path)) return path;
  const parsed = URL.parse(url);
  return parsed === null ? undefined : parsed.pathname + parsed.search;
}

const pathForm = /^[!"$-~]+$/;
const fieldForm = /^[ -~]+$/;
