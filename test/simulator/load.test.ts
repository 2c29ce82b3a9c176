import { expect, test } from "bun:test";
import { startLoad } from "../../src/simulator/generator.ts";
import type { JournalEntry } from "../../src/simulator/journal-entries.ts";
import { Oracle } from "../../src/simulator/oracle.ts";
import { settled } from "../support/fake-clock.ts";
import type { Core } from "./core.ts";
import { core, seeded, watched } from "./core.ts";

interface Pending {
  readonly update_id: number;
  readonly message: { readonly chat: { readonly id: number }; readonly text: string };
}

/** A bot that polls for ever and repeats everything. */
async function echo(sim: Core): Promise<never> {
  for (let offset = 0; ;) {
    const { body } = await sim.call("getUpdates", { offset, timeout: 30 });
    for (const pending of body.result as readonly Pending[]) {
      await answer(sim, pending.message.chat.id, pending.message.text);
      offset = pending.update_id + 1;
    }
  }
}

async function answer(sim: Core, chat: number, text: string): Promise<void> {
  await sim.call("sendMessage", { chat_id: chat, text: `You said ${text}` });
}

test("a load sends at its rate over all chats and its oracle counts every answer", async () => {
  const sim = core();
  const load = startLoad(sim.api, { perSecond: 200, chats: 10, total: 300 }, seeded());
  const report = watched(load.settled(60_000));
  void echo(sim);
  await sim.clock.advance(2_000);
  expect(load.running()).toBe(false);
  expect(report.value).toMatchObject({ sent: 300, answered: 300, lost: 0, reordered: 0, doubled: 0, strange: 0 });
  expect(report.value?.examples).toEqual([]);
  expect(report.value?.latency.maxMs).toBeLessThanOrEqual(2);
  expect(sim.api.journal.counts(sim.bot, 3)).toMatchObject({ created: 30, sendsOk: 30 });
});

test("the rate is what was asked for", async () => {
  const sim = core();
  const load = startLoad(sim.api, { perSecond: 1_000, chats: 10 }, seeded());
  await sim.clock.advance(2_000);
  load.stop();
  await sim.clock.advance(2_000);
  expect(load.oracle.report()).toMatchObject({ sent: 2_000, lost: 2_000 });
});

test("a load in flight sends a message for each answer", async () => {
  const sim = core();
  const load = startLoad(sim.api, { inFlight: 50, chats: 100, total: 500, pick: "random" }, seeded());
  expect(load.oracle.report()).toMatchObject({ sent: 50, lost: 50 });
  void echo(sim);
  for (let ms = 0; load.running(); ms++) {
    expect(ms).toBeLessThan(1_000);
    expect(load.oracle.open).toBe(50);
    await sim.clock.advance(1);
  }
  await sim.clock.advance(10);
  expect(load.oracle.report()).toMatchObject({ sent: 500, answered: 500, lost: 0, reordered: 0, doubled: 0 });
  expect(load.running()).toBe(false);
});

test("a full queue is no loss: what Telegram dropped was not sent", async () => {
  const sim = core({ queueMaxUpdates: 20 });
  const load = startLoad(sim.api, { perSecond: 1_000, chats: 5 }, seeded());
  await sim.clock.advance(500);
  load.stop();
  void echo(sim);
  await sim.clock.advance(10);
  expect(load.oracle.report()).toMatchObject({ sent: 20, answered: 20, lost: 0 });
  expect(sim.api.journal.counts(sim.bot).dropped).toBe(480);
});

test("a load in flight that does not fit the queue sends the rest when there is room", async () => {
  const sim = core({ queueMaxUpdates: 20 });
  const load = startLoad(sim.api, { inFlight: 50, chats: 5, total: 60 }, seeded());
  expect(load.oracle.open).toBe(20);
  void echo(sim);
  await sim.clock.advance(1_000);
  expect(load.oracle.report()).toMatchObject({ sent: 60, answered: 60, lost: 0 });
});

test("the oracle sees what is lost, doubled, out of order and strange", async () => {
  const sim = core({ journal: { full: true } });
  const load = startLoad(sim.api, { inFlight: 10, chats: 2, total: 10 }, seeded());
  for (const n of [0, 2, 1, 1, 4]) await answer(sim, 1, `#1 ${n}`);
  for (const n of [0, 1, 2, 99]) await answer(sim, 2, `#2 ${n}`);
  await sim.call("sendMessage", { chat_id: 2, text: "#1 3" });
  const counted = { sent: 10, answered: 7, lost: 3, reordered: 1, doubled: 1, strange: 2 };
  const report = load.oracle.report();
  expect(report).toMatchObject(counted);
  expect(report.examples).toEqual([
    "bot 42 chat 1 message 1: answered after 2",
    "bot 42 chat 1 message 1: answered again",
    "bot 42 chat 2 message 99: answers nothing that was sent",
    "bot 42 chat 2 message 3: answers nothing that was sent",
    "bot 42 chat 1 message 3: not answered",
    "bot 42 chat 2 message 3: not answered",
    "bot 42 chat 2 message 4: not answered",
  ]);
  expect(new Oracle().read(sim.api.journal.entries).report()).toMatchObject(counted);
});

test("an answer that never took effect is none, one whose reply was lost is one", async () => {
  const sim = core();
  const load = startLoad(sim.api, { inFlight: 2, chats: 2, total: 2 }, seeded());
  sim.api.faults.add({ kind: "500", method: "sendMessage", chat: 1, times: 1 });
  sim.api.faults.add({ kind: "reset", method: "sendMessage", chat: 2, when: "after", times: 1 });
  void echo(sim);
  await sim.clock.advance(10);
  expect(load.oracle.report()).toMatchObject({ sent: 2, answered: 1, lost: 1 });
});

test("settled ends after its time with what is lost", async () => {
  const sim = core();
  const load = startLoad(sim.api, { inFlight: 3, chats: 3, total: 3 }, seeded());
  const report = watched(load.settled(5_000));
  await sim.clock.advance(4_999);
  expect(report.done).toBe(false);
  await sim.clock.advance(1);
  await settled();
  expect(report.value).toMatchObject({ lost: 3 });
});

test("a full journal keeps every entry in order, up to its bound", async () => {
  const sim = core({ journal: { full: true, maxEntries: 3 } });
  sim.say("a");
  await sim.call("sendMessage", { chat_id: 7, text: "b" });
  await sim.call("getUpdates", { offset: 101 });
  sim.say("c", "d", "e");
  const { entries, left } = sim.api.journal;
  expect(entries as readonly JournalEntry[]).toMatchObject([
    { type: "update", updateId: 100, kind: "message", text: "a", state: "confirmed" },
    { type: "send", method: "sendmessage", chat: 7, text: "b", effect: true, outcome: 200 },
    { type: "update", updateId: 101, text: "c", state: "queued", delivered: 0 },
  ]);
  expect(left).toBe(2);
  sim.api.journal.clearEntries();
  expect([entries.length, sim.api.journal.left]).toEqual([0, 0]);
});
