import { expect, test } from "bun:test";
import { toBotId, toSeq } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { gated, rig } from "./support/pipeline-rig.ts";

test("updates of a chat are handled one after another, in order; chats side by side", async () => {
  const { handle, say, started, partition } = rig();
  const { handler, open, end } = gated();
  handle(1, handler);
  say(1, 7, "a1");
  say(1, 7, "a2");
  say(1, 8, "b1");
  say(1, 7, "a3");
  await settled();
  expect([...open.keys()]).toEqual(["a1", "b1"]);
  await end("a1");
  expect([...open.keys()]).toEqual(["b1", "a2"]);
  await end("b1");
  await end("a2");
  await end("a3");
  expect(started).toEqual(["a1", "b1", "a2", "a3"]);
  expect(partition.journal).toEqual(["done 1", "done 3", "done 2", "done 4"]);
});

test("the same chat of two bots is two lanes", async () => {
  const { handle, say } = rig({}, 2);
  const { handler, open } = gated();
  handle(1, handler);
  handle(2, handler);
  say(1, 7, "of 1");
  say(2, 7, "of 2");
  await settled();
  expect([...open.keys()]).toEqual(["of 1", "of 2"]);
});

test("a chat with 1,000 waiting updates takes one slot; others wait for no more than the handlers at work", async () => {
  const { handle, say, started } = rig({ slotsPerBot: 2 });
  const { handler, open, end } = gated();
  handle(1, handler);
  for (let update = 0; update < 1_000; update++) say(1, 7, `flood ${update}`);
  await settled();
  expect([...open.keys()]).toEqual(["flood 0"]);
  say(1, 8, "b");
  await settled();
  expect(started).toEqual(["flood 0", "b"]);
  say(1, 9, "c");
  say(1, 10, "d");
  await settled();
  await end("flood 0");
  await end("c");
  expect(started).toEqual(["flood 0", "b", "c", "d"]);
  await end("b");
  expect(started.slice(4)).toEqual(["flood 1"]);
});

test("bots take turns: one with 1,000 chats waiting starts one handler between two of another", async () => {
  const { handle, say, started } = rig({ slotsTotal: 1, slotsReservedPerBot: 0 }, 2);
  const { handler, open, end } = gated();
  handle(1, handler);
  handle(2, handler);
  for (let chat = 0; chat < 1_000; chat++) say(1, chat, `1/${chat}`);
  for (let chat = 0; chat < 3; chat++) say(2, chat, `2/${chat}`);
  await settled();
  for (let turn = 0; turn < 6; turn++) await end([...open.keys()][0] as string);
  expect(started).toEqual(["1/0", "1/1", "2/0", "1/2", "2/1", "1/3", "2/2"]);
});

test("a bot has at most slotsPerBot handlers at work", async () => {
  const { handle, say, pipeline } = rig({ slotsPerBot: 3 });
  const { handler, open, end } = gated();
  handle(1, handler);
  for (let chat = 0; chat < 10; chat++) say(1, chat, `${chat}`);
  await settled();
  expect([open.size, pipeline.status().working]).toEqual([3, 3]);
  await end("1");
  expect(open.size).toBe(3);
});

test("ten bots whose handlers all hang do not stop an eleventh", async () => {
  const { handle, say, partition } = rig({ slotsPerBot: 50, slotsTotal: 400 }, 11);
  for (let bot = 1; bot <= 10; bot++) handle(bot, () => new Promise(() => {}));
  for (let bot = 1; bot <= 10; bot++) for (let chat = 0; chat < 60; chat++) say(bot, chat, "hang");
  await settled();
  handle(11, async () => {});
  for (let chat = 0; chat < 100; chat++) say(11, chat, "answer");
  await settled();
  expect(partition.outcomes.size).toBe(100);
});

test("a failing update holds up its own chat and no other, and keeps its place", async () => {
  const { handle, say, started, clock } = rig({ slotsPerBot: 1 });
  let failures = 1;
  handle(1, async ({ text }) => {
    if (text === "a1" && failures-- > 0) throw new Error("broken");
  });
  say(1, 7, "a1");
  say(1, 7, "a2");
  say(1, 8, "b1");
  await settled();
  expect(started).toEqual(["a1", "b1"]);
  await clock.advance(1_000);
  await settled();
  expect(started).toEqual(["a1", "b1", "a1", "a2"]);
});

test("a bot without handler keeps its updates in order, and starts them when it has one", async () => {
  const { handle, say, started, pipeline } = rig();
  for (const text of ["a1", "a2"]) say(1, 7, text);
  await settled();
  expect([started, pipeline.backlog(toBotId(1))]).toEqual([[], 2]);
  handle(1, async () => {});
  await settled();
  expect([started, pipeline.backlog(toBotId(1))]).toEqual([["a1", "a2"], 0]);
});

test("a handler taken away while a body is fetched starts nothing, loses nothing and keeps no slot", async () => {
  const { handle, say, started, pipeline, partition } = rig({ slotsTotal: 1, slotsReservedPerBot: 0 }, 2);
  handle(1, async () => {});
  handle(2, async () => {});
  partition.hold("bodies");
  say(1, 7, "a1", { withBody: false });
  say(2, 7, "b1");
  await settled();
  pipeline.setHandler(toBotId(1), undefined);
  partition.release("bodies");
  await settled();
  expect(started).toEqual(["b1"]);
  handle(1, async () => {});
  await settled();
  expect(started).toEqual(["b1", "a1"]);
  expect(partition.outcomes.size).toBe(2);
});

test("updates of a bot that is not configured stay in the inbox and are reported", async () => {
  const { handle, say, started, pipeline, partition, unconfigured } = rig();
  handle(1, async () => {});
  say(5, 7, "foreign");
  say(5, 7, "foreign");
  say(1, 7, "own");
  await settled();
  expect(started).toEqual(["own"]);
  expect(pipeline.status().unconfigured).toEqual(new Map([[toBotId(5), 2]]));
  expect(unconfigured).toEqual([toBotId(5)]);
  expect([...partition.stored.keys()]).toEqual([toSeq(1), toSeq(2)]);
});

test("50,000 updates that end as soon as they start do not nest", async () => {
  const { handle, add, partition, pipeline } = rig({ settlingMax: 100_000 });
  for (let user = 1; user <= 50_000; user++) {
    add(1, { inline_query: { id: "q", from: { id: user } } }, { receivedAt: 0 });
  }
  for (let turn = 0; turn < 100 && pipeline.status().backlog < 50_000; turn++) await settled();
  handle(1, async () => {});
  for (let turn = 0; turn < 100 && partition.outcomes.size < 50_000; turn++) await settled();
  expect(partition.outcomes.size).toBe(50_000);
});
