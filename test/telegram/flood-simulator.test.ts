/** Flood control in the client, before the simulated Bot API with its sending limits switched on, on virtual time. */
import { expect, test } from "bun:test";
import { Api } from "grammy";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { createAttemptScope } from "../../src/attempts.ts";
import { createBotApi } from "../../src/simulator/bot-api.ts";
import type { SendLimits } from "../../src/simulator/send-limits.ts";
import { createFetch } from "../../src/simulator/fetch.ts";
import { createClient } from "../../src/telegram/client.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import { createFetchTransport } from "../../src/telegram/fetch-transport.ts";
import { createFloodControl } from "../../src/telegram/flood-control.ts";
import { createFloodRoom } from "../../src/telegram/flood-port.ts";
import { limits } from "../../config/limits.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { usual } from "./flood-rig.ts";
import type { Limits } from "./flood-rig.ts";

interface World {
  readonly clock: FakeClock;
  /** Sends one message; resolves with how long that took, ms. */
  readonly send: (chat: number, text?: string) => Promise<number>;
  readonly refusals: string[];
  readonly simulated: ReturnType<typeof createBotApi>;
}

function world(engine: Limits["engine"], telegram: SendLimits = {}): World {
  const clock = new FakeClock();
  const simulated = createBotApi({ clock, random: () => 0.5, anyChat: true, historyPerChat: 1_000 });
  const { token } = simulated.addBot({ id: 4_242, limits: telegram });
  const listeners = createAbortListeners();
  const deadlines = createDeadlines({ clock, tickMs: 200 });
  const refusals: string[] = [];
  const fetch = createFetch(simulated, { wayMs: 20 });
  const client = createClient({
    token,
    apiRoot: "http://telegram.example",
    transport: createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: 1_000_000 }),
    flood: createFloodControl({
      limits: { ...usual, engine },
      waitMaxMs: limits.client.floodWaitMaxMs,
      chatsMax: limits.flood.chatsMax,
      room: createFloodRoom({ waitingMax: 100_000, reservedPerBot: 100 }),
      clock,
      listeners,
      events: { onWaited: () => {}, onRefused: (whom) => refusals.push(whom) },
    }),
    fetch,
    deadlines,
    listeners,
    clock,
    random: () => 0.5,
    scope: createAttemptScope(),
    limits: limits.client,
    events: { onCall: () => {}, onRetry: () => {} },
  });
  const api = new Api(token, client.apiOptions);
  api.config.use(client.transformer);
  return {
    clock,
    refusals,
    simulated,
    send: async (chat, text = "hello") => {
      const startedAt = clock.monotonic();
      await api.sendMessage(chat, text);
      return clock.monotonic() - startedAt;
    },
  };
}

/** Twenty messages a second over twenty chats and two groups, of which one and one are busier than they may be. */
async function steady({ clock, send }: World): Promise<void> {
  const sent: Promise<number>[] = [];
  for (let at = 0; at < 600; at++) {
    const busy = at % 10 === 0 ? 1 : at % 30 === 5 ? -1 : undefined;
    sent.push(send(busy ?? (at % 20) + 2));
    if (at % 20 === 0) sent.push(send(1), send(-2));
    await clock.advance(50);
  }
  await clock.advance(120_000);
  await Promise.all(sent);
}

test("meets no 429 in steady state, where nothing held back beforehand meets some", async () => {
  const held = world("built-in");
  await steady(held);
  expect(held.refusals).toEqual([]);
  const free = world("off");
  await steady(free);
  expect(free.refusals.length).toBeGreaterThan(10);
  expect(new Set(free.refusals)).toEqual(new Set(["chat"]));
});

test("a chat under 429 for a minute delays no other chat, and has all its messages in order after it", async () => {
  for (const engine of ["built-in", "off"] as const) {
    const { clock, send, simulated, refusals } = world(engine);
    simulated.faults.add({ kind: "429", chat: 7, retryAfter: 60, times: 5 });
    const flooded = Array.from({ length: 5 }, (_, at) => send(7, `m${at}`).catch(() => -1));
    const others: Promise<number>[] = [];
    for (let at = 0; at < 590; at++) {
      await clock.advance(100);
      others.push(send(100 + (at % 25)));
    }
    await clock.advance(30_000);
    const calm = 40;
    expect(Math.max(...(await Promise.all(others)))).toBeLessThanOrEqual(calm + 20);
    expect((await Promise.all(flooded)).every((ms) => ms > 59_000)).toBe(true);
    expect(new Set(refusals)).toEqual(new Set(["chat"]));
    const texts = simulated
      .bot(4_242)
      .chats.get(7)
      ?.history.map(({ text }) => text);
    expect(texts).toEqual(["m0", "m1", "m2", "m3", "m4"]);
  }
});

test("a thousand replies at once, far over what Telegram takes, are all sent, with little more than one 429 each", async () => {
  const { clock, send, refusals } = world("built-in", { botPerSecond: 30 });
  const sent = Array.from({ length: 1_000 }, (_, at) => send(at + 1));
  await clock.advance(50_000);
  await Promise.all(sent);
  expect(refusals.length).toBeLessThan(1_100);
});
