/** What the bots of several instances tell each other. */
import { expect, test } from "bun:test";
import { Api } from "grammy";
import { limits } from "../config/limits.ts";
import { readSettings, type Settings } from "../config/settings.ts";
import { createAttemptScope } from "../src/attempts.ts";
import { loadModule } from "../src/bots/catalog.ts";
import { systemClock } from "../src/clock.ts";
import { createFleetBots, type FleetBots } from "../src/main-bots.ts";
import { createMetrics } from "../src/ops/metrics.ts";
import { startSimulator } from "../src/simulator/server.ts";

async function createInstance(settings: Settings, tell: (text: string) => void): Promise<FleetBots> {
  const quiet = { trace() {}, debug() {}, info() {}, warn() {}, error() {}, child: () => quiet };
  const source = {
    status: () => ({
      version: "1",
      startedAt: 0,
      state: "running" as const,
      bots: [],
      inbox: { state: "ok" as const, deadLetters: 0 },
      pipeline: { inWork: 0, waiting: 0 },
    }),
  };
  return createFleetBots({
    settings,
    limits,
    modules: new Map([["echo", await loadModule("echo", process.cwd())]]),
    users: undefined,
    sessions: undefined,
    clock: systemClock,
    random: Math.random,
    log: quiet,
    scope: createAttemptScope(),
    metrics: createMetrics({
      version: "1",
      histograms: false,
      slowMs: 100,
      source,
      calls: () => undefined,
      cache: () => undefined,
      leases: () => undefined,
      now: () => systemClock.now(),
    }),
    tell,
    onMalformed: () => {},
  });
}

test("a bot that Telegram refuses as a whole is held back by every instance, and by none for what is not understood", async () => {
  const simulator = await startSimulator({ bots: 2, anyChat: true });
  const BOT_TOKENS = simulator.tokens.join(",");
  const read = readSettings({ BOT_TOKENS, BOT_MODULE: "echo", TELEGRAM_API_ROOT: simulator.url }, () => "");
  if ("faults" in read) throw new Error(read.faults.join());
  const told: string[] = [];
  const instances = [
    await createInstance(read.settings, (text) => void told.push(text)),
    await createInstance(read.settings, () => {}),
  ] as const;
  const [one, other] = instances;
  const send = (instance: FleetBots, at: number, chat: number): Promise<unknown> => {
    const { client } = instance.bots[at] ?? {};
    if (client === undefined) throw new Error("no such bot");
    const api = new Api(client.token, client.apiOptions);
    api.config.use(client.transformer);
    return api.sendMessage(chat, "hello");
  };
  const bot = simulator.botIds[0] ?? 0;
  try {
    for (const text of ["", "{}", JSON.stringify({ kind: "bot_refused", bot: 1, waitMs: 7_200_000 })]) other.hear(text);
    await send(other, 0, 1);
    simulator.api.faults.add({ kind: "429", method: "sendMessage", bot, when: "before", retryAfter: 30 });
    // It takes a second to tell it from refusals of chats.
    for (let chat = 1; told.length === 0; chat++) {
      send(one, 0, chat).catch(() => {});
      await Bun.sleep(20);
    }
    for (const text of told) other.hear(text);
    send(other, 0, 2).catch(() => {});
    expect(other.callStatus().flood.waitingReplies).toBe(1);
    await send(other, 1, 2);
  } finally {
    for (const instance of instances) await instance.stop();
    await simulator.stop();
  }
}, 30_000);
