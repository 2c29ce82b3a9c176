/** Poller and client against the simulated Bot API's own rules, on a fake clock. */
import { expect, test } from "bun:test";
import { limits } from "../config/limits.ts";
import { createAbortListeners } from "../src/abort-listeners.ts";
import { createAttemptScope } from "../src/attempts.ts";
import { toBotId } from "../src/ids.ts";
import type { Inbox } from "../src/inbox/inbox.ts";
import { createMemoryInbox } from "../src/inbox/memory.ts";
import { createPoller } from "../src/poller.ts";
import type { Poller } from "../src/poller.ts";
import { faultKinds } from "../src/simulator/faults.ts";
import { createFetch } from "../src/simulator/fetch.ts";
import { createClient } from "../src/telegram/client.ts";
import type { Client } from "../src/telegram/client.ts";
import { createDeadlines } from "../src/telegram/deadlines.ts";
import { createFetchTransport } from "../src/telegram/fetch-transport.ts";
import { core } from "./simulator/core.ts";
import type { Core } from "./simulator/core.ts";
import { settled } from "./support/fake-clock.ts";
import { floodOff } from "./support/flood-off.ts";
import { botClaim, partitionClaim } from "./support/claims.ts";

interface Run extends Core {
  /** Texts as the inbox handed them out. */
  readonly stored: string[];
  /** Updates that came again, as the inbox counted them. */
  again: number;
  /** Outcomes of polls, each once; and restarts, of which there must be none. */
  readonly outcomes: Set<string>;
  /** A poller of this bot over the same inbox. */
  readonly newPoller: () => Poller;
  readonly poller: Poller;
}

async function run(): Promise<Run> {
  const world = core();
  const { clock, bot } = world;
  const inbox = createMemoryInbox({ clock, limits: limits.inbox });
  const client = simulatedClient(world);
  const made = { ...world, stored: [] as string[], again: 0, outcomes: new Set<string>() };
  const newPoller = (): Poller => {
    const poller = createPoller({
      name: "shop",
      client,
      inbox,
      allowedUpdates: ["message"],
      room: { ready: () => true, wait: () => Promise.resolve() },
      clock,
      random: () => 0.5,
      limits: limits.poller,
      events: {
        onPoll: (outcome) => made.outcomes.add(outcome),
        onAppended: ({ known }) => (made.again += known),
        onAppendFailed: () => {},
        onState: () => {},
        onFenced: () => {},
        onRestart: (words) => made.outcomes.add(`restart: ${words}`),
      },
    });
    poller.hold(botClaim(toBotId(bot)));
    return poller;
  };
  void readInto(made.stored, inbox);
  await settled();
  return Object.assign(made, { newPoller, poller: newPoller() });
}

/** Takes everything out of the inbox. */
async function readInto(texts: string[], inbox: Inbox): Promise<void> {
  const partition = await inbox.open(partitionClaim());
  for (;;) {
    const entries = await partition.next(100);
    if (entries.length === 0) return;
    for (const { seq, body } of entries) {
      texts.push(body?.update.message?.text ?? "");
      void partition.settle(seq, { kind: "done", how: "handled" });
    }
  }
}

function simulatedClient({ clock, api, bot }: Core): Client {
  const listeners = createAbortListeners();
  const deadlines = createDeadlines({ clock, tickMs: 200 });
  const fetch = createFetch(api, { wayMs: 20 });
  return createClient({
    token: api.bot(bot).token,
    apiRoot: "http://telegram.example",
    transport: createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: limits.client.answerMaxBytes }),
    fetch,
    deadlines,
    listeners,
    flood: floodOff(clock, listeners),
    clock,
    random: () => 0.5,
    scope: createAttemptScope(),
    limits: limits.client,
    events: { onCall: () => {}, onRetry: () => {} },
  });
}

const texts = (from: number, count: number): string[] => Array.from({ length: count }, (_, at) => `m${from + at}`);

test("updates arrive in order and are confirmed at Telegram once they are stored", async () => {
  const world = await run();
  const { poller, clock, say, stored, api, bot } = world;
  const started = poller.start();
  await clock.advance(1_000);
  expect(await started).toMatchObject({ is_bot: true });
  say(...texts(0, 250));
  await clock.advance(1_000);
  expect(stored).toEqual(texts(0, 250));
  expect(world.again).toBe(0);
  expect(api.journal.counts(bot)).toMatchObject({ confirmed: 250 });
  await poller.stop();
});

test.each(faultKinds)("no update is lost, doubled or out of order while polls end in %s", async (kind) => {
  for (const when of ["before", "after"] as const) {
    const world = await run();
    const { poller, clock, say, stored, api } = world;
    void poller.start();
    await clock.advance(1_000);
    say(...texts(0, 3));
    await clock.advance(200);
    const fault = api.faults.add({ kind, when, method: "getUpdates", times: 4, delayMs: 5_000 });
    say(...texts(3, 3));
    await clock.advance(2_000);
    say(...texts(6, 3));
    await clock.advance(3_600_000);
    expect(fault.struck).toBe(4);
    expect(poller.state()).toMatchObject({ phase: "polling", error: undefined });
    expect(stored).toEqual(texts(0, 9));
    expect(world.again).toBe(0);
    expect([...world.outcomes].filter((outcome) => outcome.startsWith("restart"))).toEqual([]);
    await poller.stop();
  }
});

test("ten minutes of random faults lose nothing", async () => {
  const { poller, clock, say, stored, api, outcomes } = await run();
  void poller.start();
  for (const kind of faultKinds) {
    if (kind !== "401" && kind !== "404") api.faults.add({ kind, method: "getUpdates", probability: 0.1 });
  }
  for (let at = 0; at < 600; at++) {
    say(`m${at}`);
    await clock.advance(1_000);
  }
  api.faults.clear();
  await clock.advance(120_000);
  expect(stored).toEqual(texts(0, 600));
  expect([...outcomes]).toEqual(expect.arrayContaining(["unavailable", "flood", "conflict", "updates"]) as string[]);
  await poller.stop();
});

test("a webhook with waiting updates is deleted and they arrive", async () => {
  const { poller, clock, call, say, stored } = await run();
  await call("setWebhook", { url: "https://shop.example/hook" });
  say(...texts(0, 5));
  void poller.start();
  await clock.advance(5_000);
  expect(stored).toEqual(texts(0, 5));
  expect((await call("getWebhookInfo")).body.result).toMatchObject({ url: "" });
  await poller.stop();
});

test("a revoked token disables the bot, and it goes on with all updates when the token is valid again", async () => {
  const { poller, clock, say, stored, api, bot } = await run();
  void poller.start();
  await clock.advance(1_000);
  api.bot(bot).revoked = true;
  await clock.advance(60_000);
  expect(poller.state().phase).toBe("disabled");
  say(...texts(0, 3));
  api.bot(bot).revoked = false;
  await clock.advance(600_000);
  expect(poller.state().phase).toBe("polling");
  expect(stored).toEqual(texts(0, 3));
  await poller.stop();
});

test("two pollers of one bot survive each other's conflicts, and the one that stays receives everything", async () => {
  const { poller, newPoller, clock, say, stored, outcomes } = await run();
  const other = newPoller();
  void poller.start();
  void other.start();
  await clock.advance(120_000);
  expect(outcomes).toContain("conflict");
  await other.stop();
  await clock.advance(60_000);
  say(...texts(0, 3));
  await clock.advance(1_000);
  expect(stored).toEqual(texts(0, 3));
  await poller.stop();
});

test("what was stored but not confirmed comes again after a restart, from offset 0", async () => {
  const world = await run();
  const { poller, newPoller, clock, say, stored } = world;
  void poller.start();
  await clock.advance(1_000);
  say(...texts(0, 3));
  // The answer is on its way for 20 ms, the append takes 2: stop between the append and the next poll's arrival.
  await clock.advance(30);
  await poller.stop();
  const next = newPoller();
  void next.start();
  say("m3");
  await clock.advance(2_000);
  expect(stored).toEqual(texts(0, 4));
  expect(world.again).toBeGreaterThan(0);
  await next.stop();
});
