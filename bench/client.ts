/**
 * CPU of a call: bare `fetch` against the transport and against a whole call through grammY's Api, within an attempt.
 *
 *     bun run bench:client [--calls 4000] [--json]
 *
 * The server is a process of its own that answers at once; rounds of all variants are interleaved. CPU of this process alone. `ratio` = grammY over
 * the client / stock grammY.
 */
import { parseArgs } from "node:util";
import { Api } from "grammy";
import { createAbortListeners } from "../src/abort-listeners.ts";
import { createAttemptScope } from "../src/attempts.ts";
import type { Attempt } from "../src/attempts.ts";
import { systemClock } from "../src/clock.ts";
import { toBotId, toLaneKey, toSeq, toToken } from "../src/ids.ts";
import { createClient } from "../src/telegram/client.ts";
import { createDeadlines } from "../src/telegram/deadlines.ts";
import type { HttpReply } from "../src/telegram/exchange.ts";
import { createFloodControl } from "../src/telegram/flood-control.ts";
import { createFloodRoom } from "../src/telegram/flood-port.ts";
import { createFetchTransport } from "../src/telegram/fetch-transport.ts";

const { values } = parseArgs({
  options: {
    calls: { type: "string", default: "4000" },
    json: { type: "boolean", default: false },
    // The process that answers.
    serve: { type: "boolean", default: false },
  },
});
const concurrency = 16;
const rounds = 15;
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

if (values.serve) {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      await request.text();
      return new Response(answer, { headers: { "content-type": "application/json" } });
    },
  });
  console.log(server.port);
} else {
  await compare(Number(values.calls));
}

async function compare(calls: number): Promise<void> {
  const server = Bun.spawn([process.execPath, import.meta.path, "--serve"], { stdout: "pipe" });
  const { value } = await server.stdout.getReader().read();
  const spent = new Map<string, number[]>();
  const calling = Object.entries(variants(`http://127.0.0.1:${Number(new TextDecoder().decode(value))}`));
  for (let round = 0; round < rounds; round++) {
    for (const [name, call] of calling) {
      const microseconds = await cpuOf(call, calls);
      // The first rounds warm up.
      if (round >= 3) spent.set(name, [...(spent.get(name) ?? []), microseconds]);
    }
  }
  server.kill();
  const medians: Record<string, number> = {};
  for (const [name, all] of spent) {
    const sorted = all.sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1] ?? 0;
    medians[name] = median;
    console.log(`${name.padEnd(26)} median ${median.toFixed(1)} µs  least ${sorted[0]?.toFixed(1)} µs`);
  }
  const ratio = (medians["grammY over the client"] ?? Number.NaN) / (medians["grammY, stock"] ?? Number.NaN);
  if (values.json) console.log(JSON.stringify({ ratio, cpuUs: medians }));
}

/** CPU of one call, µs. */
async function cpuOf(call: () => Promise<unknown>, calls: number): Promise<number> {
  const before = process.cpuUsage();
  let left = calls;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await call();
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

function variants(apiRoot: string): Record<string, () => Promise<unknown>> {
  const token = toToken("4242:AAsecretsecretsecretsecretsecret_-x");
  if (token === undefined) throw new Error("the token has the wrong form");
  const listeners = createAbortListeners();
  const deadlines = createDeadlines({ clock: systemClock, tickMs: 200 });
  const transport = createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: 1_000_000 });
  const scope = createAttemptScope();
  const client = createClient({
    token,
    apiRoot,
    transport,
    fetch,
    deadlines,
    listeners,
    flood: createFloodControl({
      // As many messages to one chat as can be made.
      limits: { engine: "built-in", chatPerSecond: 1e6, chatBurst: 1e6, groupPerMinute: 20, broadcastPerSecond: 30 },
      waitMaxMs: 60_000,
      chatsMax: 100_000,
      room: createFloodRoom({ waitingMax: 100_000, reservedPerBot: 100 }),
      clock: systemClock,
      listeners,
      events: { onWaited: () => {}, onRefused: () => {} },
    }),
    clock: systemClock,
    random: Math.random,
    scope,
    limits: {
      callMaxMs: 20_000,
      uploadMaxMs: 60_000,
      connectTries: 3,
      connectRetryFirstMs: 100,
      floodWaitMaxMs: 60_000,
    },
    events: { onCall: () => {}, onRetry: () => {} },
  });
  const api = new Api(token, client.apiOptions);
  api.config.use(client.transformer);
  const stock = new Api(token, { apiRoot, fetch: fetch as never });
  const url = `${apiRoot}/bot${token}/sendMessage`;
  const body = JSON.stringify({ chat_id: 77, text });
  const contentType = "application/json";
  const init = { method: "POST", headers: { "content-type": contentType }, body };
  const { signal } = new AbortController();
  return {
    "bare fetch": () => fetch(url, init).then((response) => response.json()),
    "fetch with any + timeout": () =>
      fetch(url, { ...init, signal: AbortSignal.any([signal, AbortSignal.timeout(20_000)]) }).then((response) =>
        response.json(),
      ),
    transport: () => transport.exchange({ url, body, contentType, maxMs: 20_000, signal }).then(parsed),
    "grammY, stock": () => stock.sendMessage(77, text),
    "grammY over the client": () => scope.run(attempt(signal), () => api.sendMessage(77, text)),
  };
}

function parsed(reply: HttpReply): unknown {
  return reply.kind === "answered" ? JSON.parse(reply.text) : undefined;
}

function attempt(signal: AbortSignal): Attempt {
  return {
    bot: toBotId(4242),
    partition: 0,
    seq: toSeq(1),
    updateId: 1,
    mayRepeat: false,
    lane: toLaneKey(77),
    number: 0,
    receivedAt: 0,
    revoked: false,
    isOver: false,
    mayAct: () => true,
    signal,
    waitSignal: signal,
    effect: (run) => run(),
    send: (_method, _payload, run) => run(0),
    pause: () => {},
    resume: () => {},
  };
}
