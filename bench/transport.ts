/**
 * CPU of one call over our own transport against Bun's `fetch` and `node:http(s)`.
 *
 *     bun run bench:transport [--calls 20000] [--in-flight 500] [--rounds 5] [--delays 50,0] [--json]
 *
 * Plain and TLS, the server a process of its own that answers after the delay. The variants take turns, round by round; CPU is that of the
 * client's process with all its threads (`fetch` has one of its own). `fetch` and `node` are called bare, without a deadline; `own` and
 * `fetch transport` are what botfleet would call. `ratio` = own / `fetch`, the worst of all cases, of the medians. TLS needs `openssl`.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { limits } from "../config/limits.ts";
import { createAbortListeners } from "../src/abort-listeners.ts";
import { systemClock } from "../src/clock.ts";
import { listenHttp } from "../src/simulator/connection.ts";
import { createDeadlines } from "../src/telegram/deadlines.ts";
import type { Transport } from "../src/telegram/exchange.ts";
import { createFetchTransport } from "../src/telegram/fetch-transport.ts";
import { createOwnTransport } from "../src/telegram/transport.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    calls: { type: "string", default: "20000" },
    "in-flight": { type: "string", default: "500" },
    rounds: { type: "string", default: "5" },
    delays: { type: "string", default: "50,0" },
    json: { type: "boolean", default: false },
  },
});
const calls = Number(values.calls);
const inFlight = Number(values["in-flight"]);

const text = "a message of the usual length, give or take";
const answer = JSON.stringify({
  ok: true,
  result: {
    message_id: 123,
    from: { id: 4242, is_bot: true, first_name: "Shop", username: "shop_bot" },
    chat: { id: 77, type: "private", first_name: "Ada" },
    date: 1_700_000_000,
    text,
  },
});
const body = JSON.stringify({ chat_id: 77, text });
const contentType = "application/json";
const headers = { "content-type": contentType };

/** What the Bot API sends with an answer. */
const answerHeaders = {
  Server: "nginx/1.18.0",
  Date: "Mon, 01 Jan 2029 00:00:00 GMT",
  "Content-Type": contentType,
  "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
  "Access-Control-Allow-Origin": "*",
  "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
  "Access-Control-Expose-Headers": "Content-Length,Content-Type,Date,Server,Connection",
};

type Call = (url: string) => Promise<string>;

if (positionals[0] === "serve") serve(positionals[1] ?? "");
else if (positionals[0] === "client") await compare(positionals.slice(1));
else await main();

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", join(folder, "key.pem")];
  const cert = join(folder, "cert.pem");
  const request = ["req", "-x509", "-nodes", "-days", "2", "-out", cert, ...key, ...subject];
  const secure = Bun.which("openssl") !== null && Bun.spawnSync(["openssl", ...request]).exitCode === 0;
  if (!secure) console.log("openssl is not installed: TLS is left out");
  const server = Bun.spawn([process.execPath, import.meta.path, "serve", secure ? folder : ""], { stdout: "pipe" });
  try {
    const { value } = await server.stdout.getReader().read();
    const urls = new TextDecoder().decode(value).trim().split(" ");
    const env = { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "4096", NODE_EXTRA_CA_CERTS: cert };
    const argv = [...process.argv.slice(2), "client", ...urls];
    const client = Bun.spawn([process.execPath, import.meta.path, ...argv], { env, stdout: "inherit" });
    process.exitCode = await client.exited;
  } finally {
    server.kill();
    rmSync(folder, { recursive: true });
  }
}

function serve(folder: string): void {
  const listen = (tls?: { key: string; cert: string }): number =>
    listenHttp({ hostname: "127.0.0.1", port: 0, ...(tls && { tls }) }, ({ target }, respond) => {
      const reply = (): void => respond({ kind: "answer", status: 200, headers: answerHeaders, body: answer });
      const delayMs = Number(target.slice(1, target.indexOf("/", 1)));
      if (delayMs > 0) setTimeout(reply, delayMs);
      else reply();
      return () => {};
    }).port;
  const urls = [`http://127.0.0.1:${listen()}`];
  if (folder !== "") {
    const read = (name: string): string => readFileSync(join(folder, name), "utf8");
    urls.push(`https://127.0.0.1:${listen({ key: read("key.pem"), cert: read("cert.pem") })}`);
  }
  console.log(urls.join(" "));
}

async function compare(roots: readonly string[]): Promise<void> {
  const results: Record<string, unknown>[] = [];
  for (const root of roots) {
    for (const delayMs of values.delays.split(",").map(Number)) {
      const url = `${root}/${delayMs}/bot4242:AAsecretsecretsecretsecretsecret_-x/sendMessage`;
      const { protocol } = new URL(root);
      const medians = await medianOf(url, variants(protocol === "https:"));
      for (const [name, us] of Object.entries(medians)) {
        console.log(
          `${protocol}  ${String(delayMs).padStart(3)} ms  ${name.padEnd(16)} ${us.toFixed(1).padStart(6)} µs`,
        );
      }
      const { own = NaN, fetch = NaN } = medians;
      console.log(`${protocol}  ${String(delayMs).padStart(3)} ms  ratio ${(own / fetch).toFixed(2)}`);
      results.push({ protocol, delayMs, ratio: own / fetch, us: medians });
    }
  }
  const ratio = Math.max(...results.map((result) => result["ratio"] as number));
  if (values.json) console.log(JSON.stringify({ ratio, results }));
  process.exit();
}

async function medianOf(url: string, called: Readonly<Record<string, Call>>): Promise<Record<string, number>> {
  const spent: Record<string, number[]> = {};
  for (let round = -1; round < Number(values.rounds); round++) {
    for (const [name, call] of Object.entries(called)) {
      const us = await cpuOf(() => call(url));
      // The first round opens the connections and warms up.
      if (round >= 0) (spent[name] ??= []).push(us);
    }
  }
  return Object.fromEntries(Object.entries(spent).map(([name, all]) => [name, median(all)]));
}

function median(all: readonly number[]): number {
  return all.toSorted((a, b) => a - b)[all.length >> 1] ?? NaN;
}

/** CPU of one call, µs. */
async function cpuOf(call: () => Promise<string>): Promise<number> {
  const before = process.cpuUsage();
  let left = calls;
  const worker = async (): Promise<void> => {
    while (left-- > 0) if ((await call()).length !== answer.length) throw new Error("not the answer");
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

function variants(secure: boolean): Record<string, Call> {
  const listeners = createAbortListeners();
  const deadlines = createDeadlines({ clock: systemClock, tickMs: 200 });
  const { signal } = new AbortController();
  const over =
    (transport: Transport): Call =>
    async (url) => {
      const reply = await transport.exchange({ url, body, contentType, maxMs: 20_000, signal });
      if (reply.kind === "failed") throw new Error(`${reply.why} ${reply.code}`);
      return reply.text;
    };
  const own = createOwnTransport({
    deadlines,
    listeners,
    clock: systemClock,
    limits: { ...limits.transport, answerMaxBytes: limits.client.answerMaxBytes },
  });
  return {
    own: over(own),
    fetch: (url) => fetch(url, { method: "POST", headers, body }).then((response) => response.text()),
    "fetch transport": over(createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: 1_000_000 })),
    node: nodeCall(secure),
  };
}

function nodeCall(secure: boolean): Call {
  const options = { keepAlive: true, maxSockets: inFlight, maxFreeSockets: inFlight };
  const agent = secure ? new https.Agent(options) : new http.Agent(options);
  const { request } = secure ? https : http;
  return (url) =>
    new Promise((resolve, reject) => {
      const sent = request(url, { method: "POST", headers, agent }, (response) => {
        let got = "";
        response.setEncoding("utf8");
        response.on("data", (piece: string) => (got += piece));
        response.on("end", () => resolve(got));
      });
      sent.on("error", reject);
      sent.end(body);
    });
}
