/** What becomes of the work on a partition whose claim lapses, is lost, or is given back. */
import { describe, expect, test } from "bun:test";
import { Fault, faultOf } from "../src/faults.ts";
import { toBotId, toSeq } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { FakePartition } from "./support/fake-partition.ts";
import { gated, rig, type Rig } from "./support/pipeline-rig.ts";

const bot = toBotId(1);

async function change(at: Rig, claim: Partial<Rig["claim"]>): Promise<void> {
  Object.assign(at.claim, claim);
  at.work.changed();
  await settled();
}

function givingBack(at: Rig): () => boolean {
  let isOver = false;
  void at.work.giveBack().then(() => (isOver = true));
  return () => isOver;
}

describe("while a claim is not confirmed", () => {
  test("nothing starts, and with it everything goes on where it was", async () => {
    const at = rig();
    const { handler, open, end } = gated();
    at.handle(1, handler);
    await change(at, { isValid: false });
    at.say(1, 7, "a");
    at.say(1, 8, "b");
    await at.clock.advance(600_000);
    expect(open.size).toBe(0);
    await change(at, { isValid: true });
    expect([...open.keys()]).toEqual(["a", "b"]);
    await end("a");
    await end("b");
    expect(at.ends).toEqual(["done", "done"]);
  });

  test("that is found at the next start, before anybody tells: a process that was paused", async () => {
    const at = rig();
    const { handler, open } = gated();
    at.handle(1, handler);
    at.claim.isValid = false;
    at.say(1, 7, "a");
    await settled();
    expect(open.size).toBe(0);
    await change(at, { isValid: true });
    expect([...open.keys()]).toEqual(["a"]);
  });

  test("no effect of what is in work begins: it waits as in an outage, nothing is counted", async () => {
    const at = rig();
    const gate = Promise.withResolvers<void>();
    const sent: string[] = [];
    at.handle(1, async ({ attempt }) => {
      await gate.promise;
      await attempt.send("sendMessage", "hello", async () => {
        sent.push("hello");
        return { ok: true };
      });
    });
    const seq = at.say(1, 7, "a");
    await settled();
    await change(at, { isValid: false });
    gate.resolve();
    await settled();
    expect([sent, at.ends]).toEqual([[], ["outage"]]);
    await change(at, { isValid: true });
    await at.clock.advance(30_000);
    expect([sent, at.ends]).toEqual([["hello"], ["outage", "done"]]);
    expect(at.partition.journal).toEqual([`done ${seq}`]);
  });

  test("what has ended is settled all the same: the store knows whose the partition is", async () => {
    const at = rig();
    const { handler, end } = gated();
    at.handle(1, handler);
    const seq = at.say(1, 7, "a");
    await settled();
    await change(at, { isValid: false });
    await end("a");
    expect(at.partition.journal).toEqual([`done ${seq}`]);
  });
});

describe("once a claim is lost", () => {
  test("its lanes are forgotten, what is in work is given up, and its calls are aborted", async () => {
    const at = rig({ slotsPerBot: 2 });
    const faults: unknown[] = [];
    at.handle(1, async ({ attempt, text }) => {
      await new Promise((_, reject) =>
        attempt.signal.addEventListener("abort", () => reject(new Error("aborted"))),
      ).catch(() => {});
      await attempt.effect(() => Promise.resolve(text)).catch((error: unknown) => faults.push(faultOf(error)?.code));
    });
    for (const [chat, text] of [
      [7, "a"],
      [7, "b"],
      [8, "c"],
      [9, "d"],
    ] as const) {
      at.say(1, chat, text);
    }
    await settled();
    expect(at.pipeline.backlog(bot)).toBe(4);
    await change(at, { isLost: true });
    await at.work.over;
    expect([at.started, faults]).toEqual([
      ["a", "c"],
      ["attempt_revoked", "attempt_revoked"],
    ]);
    expect([at.pipeline.backlog(bot), at.pipeline.oldestReceivedAt(bot), at.pipeline.status().working]).toEqual([
      0,
      undefined,
      0,
    ]);
    expect(at.partition.journal).toEqual([]);
  });

  test("a handler that never ends does not keep the work from being over", async () => {
    const at = rig();
    at.handle(1, () => new Promise(() => {}));
    at.say(1, 7, "a");
    await settled();
    await change(at, { isLost: true });
    await at.work.over;
    expect(at.pipeline.status().working).toBe(0);
  });

  test("a refused write says so as well: it is counted, and nothing more is started", async () => {
    const at = rig({ slotsPerBot: 1 });
    const { handler, end, open } = gated();
    at.handle(1, handler);
    at.say(1, 7, "a");
    at.say(1, 8, "b");
    await settled();
    at.partition.fail("settle", new Fault("inbox_fenced", "another instance has it"));
    await end("a");
    expect(at.fenced).toBe(1);
    open.get("b")?.resolve();
    await at.work.over;
    at.say(1, 9, "c");
    await settled();
    expect(at.started).toEqual(["a", "b"]);
  });

  test("a refused read says so as well", async () => {
    const at = rig();
    const { handler } = gated();
    at.handle(1, handler);
    at.partition.fail("next", new Fault("inbox_fenced", "another instance has it"));
    at.say(1, 7, "a");
    await at.work.over;
    expect([at.fenced, at.started]).toEqual([1, []]);
  });

  test("what waits for a retry or an outage is forgotten too", async () => {
    const at = rig();
    at.handle(1, () => Promise.reject(new Error("no")));
    at.say(1, 7, "a");
    await settled();
    await change(at, { isLost: true });
    await at.work.over;
    await at.clock.advance(600_000);
    expect([at.started, at.pipeline.backlog(bot), at.clock.pending()]).toEqual([["a"], 0, 0]);
  });
});

describe("a partition that is given back", () => {
  test("starts nothing more, and is free when what was in work is durable", async () => {
    const at = rig();
    const { handler, end } = gated();
    at.handle(1, handler);
    const seq = at.say(1, 7, "a");
    at.say(1, 7, "b");
    await settled();
    at.partition.hold("settle");
    const isFree = givingBack(at);
    await end("a");
    expect(isFree()).toBe(false);
    at.partition.release("settle");
    await settled();
    expect([isFree(), at.started, at.partition.journal, at.pipeline.backlog(bot)]).toEqual([
      true,
      ["a"],
      [`done ${seq}`],
      0,
    ]);
  });

  test("keeps nobody longer than a drain may take: then calls are aborted, and their updates stay", async () => {
    const at = rig({ drainMaxMs: 5_000 });
    at.handle(1, () => new Promise(() => {}));
    at.say(1, 7, "a");
    await settled();
    const isFree = givingBack(at);
    await at.clock.advance(4_999);
    expect(isFree()).toBe(false);
    await at.clock.advance(1);
    await settled();
    expect([isFree(), at.ends, at.partition.stored.size]).toEqual([true, ["kept"], 1]);
  });

  test("lets the others of this instance go on, and can be opened again", async () => {
    const at = rig();
    const { handler, open, end } = gated();
    at.handle(1, handler);
    const other = new FakePartition();
    const claim = { token: "", valid: () => true, lost: () => false };
    at.pipeline.open(other, { claim: { ...claim, partition: 1 } });
    at.say(1, 7, "a");
    await settled();
    const isFree = givingBack(at);
    const say = (partition: FakePartition, chat: number, text: string): unknown =>
      partition.add({ bot, update: { update_id: 99, message: { chat: { id: chat }, text } } as never, receivedAt: 0 });
    say(other, 8, "b");
    await settled();
    expect([...open.keys()]).toEqual(["a", "b"]);
    await end("a");
    expect(isFree()).toBe(true);
    const again = new FakePartition();
    at.pipeline.open(again, { claim: { ...claim, partition: 0 } });
    say(again, 7, "c");
    await settled();
    expect([...open.keys()]).toEqual(["b", "c"]);
    expect(at.pipeline.backlog(bot)).toBe(2);
    await end("b");
    await end("c");
    expect([other.journal, again.journal]).toEqual([["done 1"], ["done 1"]]);
  });

  test("an update that was to run alone does not keep the others from running", async () => {
    const at = rig();
    const { handler, open, end } = gated();
    at.handle(1, handler);
    const other = new FakePartition();
    at.pipeline.open(other, { claim: { partition: 1, token: "", valid: () => true, lost: () => false } });
    other.add({ bot, update: { update_id: 5, message: { chat: { id: 8 }, text: "b" } } as never, receivedAt: 0 });
    await settled();
    at.say(1, 7, "a", { suspicion: "alone" });
    await settled();
    other.add({ bot, update: { update_id: 6, message: { chat: { id: 9 }, text: "c" } } as never, receivedAt: 0 });
    await settled();
    expect([...open.keys()]).toEqual(["b"]);
    const isFree = givingBack(at);
    await settled();
    expect([isFree(), [...open.keys()]]).toEqual([true, ["b", "c"]]);
    await end("b");
    await end("c");
    expect(at.partition.stored.has(toSeq(1))).toBe(true);
  });
});

test("the oldest update of a bot is known whatever the numbers of the partitions that its updates are in", async () => {
  const at = rig();
  const { handler, end } = gated();
  at.handle(1, handler);
  const other = new FakePartition();
  at.pipeline.open(other, { claim: { partition: 1, token: "", valid: () => true, lost: () => false } });
  const add = (partition: FakePartition, chat: number, text: string, receivedAt: number): unknown =>
    partition.add({ bot, update: { update_id: chat, message: { chat: { id: chat }, text } } as never, receivedAt });
  // The other partition has given out more numbers than this one.
  for (let chat = 101; chat <= 103; chat++) add(other, chat, String(chat), 0);
  await settled();
  for (let chat = 101; chat <= 103; chat++) await end(String(chat));
  add(other, 1, "new", 500_000);
  await settled();
  add(at.partition, 2, "old", 100_000);
  await settled();
  expect(at.pipeline.oldestReceivedAt(bot)).toBe(100_000);
  await end("new");
  expect(at.pipeline.oldestReceivedAt(bot)).toBe(100_000);
  await end("old");
  expect(at.pipeline.oldestReceivedAt(bot)).toBeUndefined();
});

test("what was received before the partition came here may have been begun by its owner before", async () => {
  const at = rig();
  const found: [string, boolean][] = [];
  at.handle(1, async ({ text, attempt }) => void found.push([text, attempt.mayRepeat]));
  await at.clock.advance(60_000);
  const other = new FakePartition();
  at.pipeline.open(other, { claim: { partition: 1, token: "", valid: () => true, lost: () => false } });
  const add = (text: string, receivedAt: number): unknown =>
    other.add({ bot, update: { update_id: 1, message: { chat: { id: 1 }, text } } as never, receivedAt });
  add("begun", at.clock.now() - 1_000);
  add("new", at.clock.now() + 1_000);
  await settled();
  expect(found).toEqual([
    ["begun", true],
    ["new", false],
  ]);
});
