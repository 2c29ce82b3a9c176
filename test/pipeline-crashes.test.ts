import { expect, test } from "bun:test";
import { Fault } from "../src/faults.ts";
import { toBotId } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { gated, rig } from "./support/pipeline-rig.ts";

const suspect = { suspicion: "suspect", withBody: false } as const;
const alone = { suspicion: "alone", withBody: false } as const;

test("a first run carries no mark", async () => {
  const { handle, say, partition } = rig();
  handle(1, async () => {});
  say(1, 7, "a");
  say(1, 8, "b", { withBody: false });
  await settled();
  expect(partition.journal).toEqual(["done 1", "done 2"]);
});

test("a suspect's handler starts only when its mark is durable; others do not wait for it", async () => {
  const { handle, say, partition, started } = rig();
  handle(1, async () => {});
  partition.hold("mark");
  say(1, 7, "suspect", suspect);
  say(1, 8, "other");
  await settled();
  expect(started).toEqual(["other"]);
  partition.release("mark");
  await settled();
  expect([started, partition.journal]).toEqual([
    ["other", "suspect"],
    ["done 2", "started 1", "done 1"],
  ]);
});

test("suspects run side by side", async () => {
  const { handle, say } = rig();
  const { handler, open } = gated();
  handle(1, handler);
  for (let chat = 0; chat < 3; chat++) say(1, chat, `${chat}`, suspect);
  await settled();
  expect(open.size).toBe(3);
});

test("a suspect that fails or meets an outage is no longer marked as started while it waits", async () => {
  const { handle, say, partition, clock } = rig();
  const ends = [new Error("broken"), new Fault("unavailable", "down")];
  handle(1, async () => {
    const error = ends.shift();
    if (error !== undefined) throw error;
  });
  say(1, 7, "a", suspect);
  await clock.advance(2_000);
  await settled();
  expect(partition.journal).toEqual([
    "started 1",
    "attempts 1 = 1",
    "not started 1",
    "started 1",
    "not started 1",
    "started 1",
    "done 1",
  ]);
});

test("an entry that must run alone does: it waits for what is at work, and nothing starts beside it", async () => {
  const { handle, say, started, partition } = rig();
  const { handler, end } = gated();
  handle(1, handler);
  say(1, 1, "before");
  await settled();
  say(1, 2, "alone 1", alone);
  say(1, 3, "alone 2", alone);
  say(1, 4, "after");
  await settled();
  expect(started).toEqual(["before"]);
  await end("before");
  expect(started).toEqual(["before", "alone 1"]);
  say(1, 5, "new");
  await settled();
  expect(started).toHaveLength(2);
  await end("alone 1");
  expect(started).toEqual(["before", "alone 1", "alone 2"]);
  await end("alone 2");
  expect(started.slice(3)).toEqual(["after", "new"]);
  expect(partition.journal).toEqual(["done 1", "started 2", "done 2", "started 3", "done 3"]);
});

test("an entry that runs alone also waits for a handler in flood control, and gives its own slot to nobody", async () => {
  const { handle, say, started } = rig();
  const gate = Promise.withResolvers<void>();
  handle(1, ({ attempt, text }) =>
    attempt.effect(async () => {
      attempt.pause();
      if (text === "flood") await gate.promise;
      else await new Promise(() => {});
      attempt.resume();
    }),
  );
  say(1, 1, "flood");
  await settled();
  say(1, 2, "alone", alone);
  say(1, 3, "after");
  await settled();
  expect(started).toEqual(["flood"]);
  gate.resolve();
  await settled();
  expect(started).toEqual(["flood", "alone"]);
});

test("while an entry that runs alone waits for its retry, others go on; then it runs alone again", async () => {
  const { handle, say, started, clock } = rig();
  const { handler, end, open } = gated();
  let failures = 1;
  handle(1, async (work) => {
    if (work.text === "alone" && failures-- > 0) throw new Error("broken");
    await handler(work);
  });
  say(1, 1, "alone", alone);
  say(1, 2, "other");
  await settled();
  expect(started).toEqual(["alone", "other"]);
  await clock.advance(1_000);
  say(1, 3, "third");
  await settled();
  expect(started).toEqual(["alone", "other"]);
  await end("other");
  expect([...open.keys()]).toEqual(["alone"]);
});

test("after an entry that was to run alone but has expired, the others start", async () => {
  const { handle, say, add, started, clock, partition } = rig();
  const { handler, end } = gated();
  handle(1, handler);
  say(1, 1, "before");
  say(1, 7, "first", { withBody: false });
  add(1, { inline_query: { id: "q", from: { id: 7 } } }, { ...alone, receivedAt: clock.now() - 60_000 });
  await settled();
  await end("first");
  say(1, 8, "other");
  await settled();
  expect(started).toEqual(["before", "first"]);
  await end("before");
  expect([started.at(-1), partition.journal.includes("expired 3")]).toEqual(["other", true]);
});

test("an entry whose bot lost its handler while its mark was written does not count as started, and holds up nobody", async () => {
  for (const recovered of [suspect, alone]) {
    const { handle, say, started, pipeline, partition } = rig({}, 2);
    handle(1, async () => {});
    handle(2, async () => {});
    partition.hold("mark");
    say(1, 7, "a", recovered);
    await settled();
    say(2, 7, "b");
    pipeline.setHandler(toBotId(1), undefined);
    partition.release("mark");
    await settled();
    expect(started).toEqual(["b"]);
    expect(partition.journal.filter((line) => line !== "done 2")).toEqual(["started 1", "not started 1"]);
    handle(1, async () => {});
    await settled();
    expect([started.at(-1), partition.journal.at(-1)]).toEqual(["a", "done 1"]);
  }
});

test("a mark that the inbox rejects costs the lane a wait, not the entry", async () => {
  const { handle, say, started, partition, clock, troubles } = rig();
  handle(1, async () => {});
  partition.fail("mark", new Error("odd"));
  say(1, 7, "alone", alone);
  say(1, 8, "other");
  await settled();
  expect(started).toEqual(["other"]);
  expect(troubles[0]).toMatchObject({ kind: "inbox", error: "Error: odd" });
  partition.fail("mark", undefined);
  await clock.advance(1_000);
  await settled();
  expect([started, partition.stored.size]).toEqual([["other", "alone"], 0]);
});
