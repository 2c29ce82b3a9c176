import { expect, test } from "bun:test";
import { Fault } from "../src/faults.ts";
import { toBotId } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { gated, rig } from "./support/pipeline-rig.ts";

const bot = toBotId(1);

test("while settling cannot be written no new handler starts; those at work end, and all go on afterwards", async () => {
  const { handle, say, inbox, started } = rig();
  const { handler, end } = gated();
  handle(1, handler);
  say(1, 7, "a1");
  say(1, 7, "a2");
  await settled();
  inbox.set("failing");
  say(1, 8, "b1");
  await settled();
  await end("a1");
  expect(started).toEqual(["a1"]);
  inbox.set("ok");
  await settled();
  expect(started.toSorted()).toEqual(["a1", "a2", "b1"]);
});

test("no handler starts whose body was still being read when the inbox began to fail", async () => {
  const { handle, say, inbox, started, partition } = rig();
  handle(1, async () => {});
  partition.hold("bodies");
  say(1, 7, "a", { withBody: false });
  await settled();
  inbox.set("failing");
  partition.release("bodies");
  await settled();
  expect(started).toEqual([]);
  inbox.set("ok");
  await settled();
  expect(started).toEqual(["a"]);
});

test("an entry that must run alone waits for a failing inbox as well", async () => {
  const { handle, say, inbox, started } = rig();
  handle(1, async () => {});
  inbox.set("failing");
  say(1, 7, "alone", { suspicion: "alone", withBody: false });
  await settled();
  expect(started).toEqual([]);
  inbox.set("ok");
  await settled();
  expect(started).toEqual(["alone"]);
});

test("with a full disk handlers go on", async () => {
  const { handle, say, inbox, started } = rig();
  handle(1, async () => {});
  inbox.set("full");
  say(1, 7, "a");
  await settled();
  expect(started).toEqual(["a"]);
});

test("at most settlingMax outcomes wait to be written before new handlers wait too", async () => {
  const { handle, say, started, partition, pipeline } = rig({ settlingMax: 10, slotsPerBot: 2 });
  handle(1, async () => {});
  partition.hold("settle");
  for (let chat = 0; chat < 100; chat++) say(1, chat % 20, `${chat}`);
  await settled();
  // Those at work when the limit is reached still end: slots bound how many they are.
  expect(started.length).toBeLessThanOrEqual(10 + 2);
  expect(pipeline.status().settling).toBe(started.length);
  partition.release("settle");
  await settled();
  expect([started.length, pipeline.status().settling]).toEqual([100, 0]);
});

test("expired queries keep to settlingMax as well, and do not stop the line", async () => {
  const { handle, add, say, started, partition, pipeline, clock } = rig({ settlingMax: 5 });
  partition.hold("settle");
  for (let query = 0; query < 50; query++) {
    add(1, { inline_query: { id: "q", from: { id: query } } }, { receivedAt: clock.now() - 60_000 });
  }
  say(1, 1_000, "last");
  await settled();
  handle(1, async () => {});
  await settled();
  expect([pipeline.status().settling, started]).toEqual([5, []]);
  partition.release("settle");
  for (let turn = 0; turn < 20; turn++) await settled();
  expect([started, partition.outcomes.size]).toEqual([["last"], 51]);
});

test("an outcome that the inbox rejects is reported, and its lane goes on", async () => {
  const { handle, say, started, partition, troubles, pipeline } = rig();
  handle(1, async () => {});
  partition.fail("settle", new Error("odd"));
  say(1, 7, "a1");
  say(1, 7, "a2");
  await settled();
  expect(started).toEqual(["a1", "a2"]);
  expect(troubles.map(({ kind }) => kind)).toEqual(["inbox", "inbox"]);
  expect(pipeline.status().settling).toBe(0);
});

test("once a write was fenced no handler starts any more: whoever has the partition now hands out what is left", async () => {
  for (const operation of ["settle", "mark"] as const) {
    const { handle, say, started, partition, pipeline, clock } = rig();
    const { handler, end } = gated();
    handle(1, handler);
    partition.fail(operation, new Fault("inbox_fenced", "partition 0 belongs to another instance"));
    say(1, 7, "a1", operation === "mark" ? { suspicion: "suspect" } : {});
    await settled();
    if (operation === "settle") await end("a1");
    const before = started.length;
    say(1, 7, "a2");
    say(1, 8, "b1");
    await clock.advance(60_000);
    expect(started).toHaveLength(before);
    await pipeline.stop();
  }
});

test("a bot has room until it holds backlogMaxUpdates, and again when some are settled", async () => {
  const { handle, say, pipeline, clock } = rig({ backlogMaxUpdates: 10 }, 2);
  const room = pipeline.room(bot);
  for (let update = 0; update < 9; update++) say(1, 7, `${update}`);
  await settled();
  expect(room.ready()).toBe(true);
  say(1, 7, "9");
  await settled();
  expect([room.ready(), pipeline.room(toBotId(2)).ready()]).toEqual([false, true]);
  let went = false;
  void room.wait(new AbortController().signal).then(() => (went = true));
  await clock.advance(1_000);
  expect(went).toBe(false);
  handle(1, async () => {});
  await clock.advance(200);
  expect([went, room.ready()]).toEqual([true, true]);
});

test("what other instances handle counts as well: a bot that is polled here has no room while the fleet holds too much of it", async () => {
  const { pipeline, inbox, clock } = rig({ backlogMaxUpdates: 3 }, 2);
  const room = pipeline.room(bot);
  inbox.bots = new Map([[bot, 3]]);
  expect([room.ready(), pipeline.room(toBotId(2)).ready()]).toEqual([false, true]);
  let went = false;
  void room.wait(new AbortController().signal).then(() => (went = true));
  inbox.bots = new Map([[bot, 2]]);
  inbox.set("ok");
  await clock.advance(1_000);
  expect([went, room.ready()]).toEqual([true, true]);
});

test("a bot has no room while the disk reserve is touched", async () => {
  const { pipeline, inbox, clock } = rig();
  const room = pipeline.room(bot);
  expect(room.ready()).toBe(true);
  inbox.set("full");
  expect(room.ready()).toBe(false);
  let went = false;
  void room.wait(new AbortController().signal).then(() => (went = true));
  await clock.advance(1_000);
  expect(went).toBe(false);
  inbox.set("ok");
  await clock.advance(200);
  expect(went).toBe(true);
});

test("above backlogTotalMaxUpdates only bots below their even share have room", async () => {
  const { say, pipeline } = rig({ backlogTotalMaxUpdates: 40 }, 4);
  const ready = (): boolean[] => [1, 2, 3, 4].map((number) => pipeline.room(toBotId(number)).ready());
  for (let update = 0; update < 39; update++) say(update < 30 ? 1 : 2, 7, "a");
  await settled();
  expect(ready()).toEqual([true, true, true, true]);
  say(2, 7, "a");
  await settled();
  expect(ready()).toEqual([false, false, true, true]);
  for (let update = 0; update < 9; update++) say(3, 7, "a");
  await settled();
  expect(ready()).toEqual([false, false, true, true]);
  say(3, 7, "a");
  await settled();
  expect(ready()).toEqual([false, false, false, true]);
});

test("the even share is that of all configured bots, also of those that have not asked for room", async () => {
  const { say, pipeline } = rig({ backlogTotalMaxUpdates: 40 }, 4);
  for (let update = 0; update < 40; update++) say(update < 30 ? 1 : 2, 7, "a");
  await settled();
  expect(pipeline.room(toBotId(2)).ready()).toBe(false);
});

test("while 100,000 updates wait, few bodies are in memory, and in the end no bytes are counted", async () => {
  const { handle, say, pipeline, partition } = rig({ bodiesMaxBytes: 60_000 });
  const chats = 100;
  for (let update = 0; update < 100_000; update++) say(1, update % chats, "a");
  for (let turn = 0; turn < 200 && pipeline.status().backlog < 100_000; turn++) await settled();
  expect(pipeline.status().backlog).toBe(100_000);
  const lanes = [...pipeline["lanes"].line(bot).lanes.values()];
  const kept = lanes.reduce((sum, lane) => sum + (lane.laterBodies?.size ?? 0) + (lane.body === undefined ? 0 : 1), 0);
  expect(kept).toBeLessThanOrEqual(chats * 16);
  expect(pipeline["bodies"].bytes).toBeLessThanOrEqual(60_000);
  expect(pipeline["bodies"].bytes).toBeGreaterThan(50_000);
  handle(1, async () => {});
  for (let turn = 0; turn < 20_000 && partition.outcomes.size < 100_000; turn++) await settled();
  expect([partition.outcomes.size, pipeline["bodies"].bytes, pipeline["extras"].size]).toEqual([100_000, 0, 0]);
  expect(pipeline["lanes"].line(bot).lanes.size).toBe(0);
}, 60_000);

test("the oldest unsettled update is known by when it was received, also where it was read back without its body", async () => {
  const { clock, pipeline, partition, say, handle } = rig({}, 2);
  expect(pipeline.oldestReceivedAt(bot)).toBeUndefined();
  const recovered = clock.now() - 3_600_000;
  say(1, 7, "an hour old", { receivedAt: recovered, withBody: false });
  say(1, 7, "new");
  await settled();
  expect(pipeline.oldestReceivedAt(bot)).toBe(recovered);
  expect(pipeline.oldestReceivedAt(toBotId(2))).toBeUndefined();
  const { handler, end } = gated();
  handle(1, handler);
  await settled();
  await end("an hour old");
  expect(pipeline.oldestReceivedAt(bot)).toBe(clock.now());
  await end("new");
  expect(pipeline.oldestReceivedAt(bot)).toBeUndefined();
  expect(partition.stored.size).toBe(0);
});
