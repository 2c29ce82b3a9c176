import { expect, test } from "bun:test";
import { BotError, type Context } from "grammy";
import { Fault } from "../src/faults.ts";
import { toBotId, toSeq } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { rig } from "./support/pipeline-rig.ts";

const one = toSeq(1);

test("a handler's fault is retried after 1, 4, 15 and 60 s, each durably counted; then the update is a dead letter", async () => {
  const { handle, say, started, clock, partition, troubles, ends } = rig();
  handle(1, async ({ text, attempt }) => {
    if (text !== "a1") return;
    await attempt.send("sendMessage", "typing", async () => ({ ok: true, result: 5 }));
    throw new BotError(new Error("broken"), {} as Context);
  });
  say(1, 7, "a1");
  say(1, 7, "a2");
  await settled();
  for (const [retries, waitMs] of [1_000, 4_000, 15_000, 60_000].entries()) {
    expect(partition.stored.get(one)?.attempts).toBe(retries + 1);
    await clock.advance(waitMs - 1);
    expect(started).toHaveLength(retries + 1);
    await clock.advance(1);
    await settled();
    expect(started.slice(0, retries + 2)).toEqual(Array<string>(retries + 2).fill("a1"));
  }
  expect(partition.outcomes.get(one)).toEqual({
    kind: "dead",
    attempts: 5,
    error: "Error: broken",
    sends: [{ call: 0, method: "sendMessage", hash: expect.any(String), result: 5 }],
    effectsUnknown: false,
  });
  expect(ends.slice(0, 5)).toEqual(["retry", "retry", "retry", "retry", "dead"]);
  expect(troubles.map(({ kind, updateId }) => `${kind} ${updateId}`)).toEqual([
    ...Array<string>(4).fill("retry 1"),
    "dead 1",
  ]);
  expect(started[5]).toBe("a2");
});

test("faults counted before the process ended count on", async () => {
  const { handle, say, partition } = rig();
  handle(1, () => Promise.reject(new Error("broken")));
  say(1, 7, "a", { attempts: 4, withBody: false });
  await settled();
  expect(partition.outcomes.get(one)).toMatchObject({ kind: "dead", attempts: 5 });
});

test("the retry's wait begins when the count is durable", async () => {
  const { handle, say, started, partition, clock } = rig();
  handle(1, () => Promise.reject(new Error("broken")));
  partition.hold("mark");
  say(1, 7, "a");
  await clock.advance(10_000);
  expect(started).toHaveLength(1);
  partition.release("mark");
  await clock.advance(999);
  expect(started).toHaveLength(1);
  await clock.advance(1);
  expect(started).toHaveLength(2);
});

test("a retry is given the update as it was received, whatever the handler did to it", async () => {
  const { handle, say, clock, partition } = rig();
  const seen: unknown[] = [];
  handle(1, async ({ update }) => {
    seen.push(update.message?.text);
    if (update.message !== undefined) update.message.text = "changed";
    if (seen.length < 3) throw new Error("broken");
  });
  say(1, 7, "a");
  await clock.advance(5_000);
  await settled();
  expect(seen).toEqual(["a", "a", "a"]);
  expect(partition.journal.at(-1)).toBe("done 1");
});

test("an outage is never an attempt: waits grow to 30 s and no further, for hours", async () => {
  const { handle, say, started, clock, partition } = rig();
  const times: number[] = [];
  let isDown = true;
  handle(1, async () => {
    times.push(clock.monotonic());
    if (isDown) throw new Fault("unavailable", "Telegram cannot be reached");
  });
  say(1, 7, "a");
  await clock.advance(3 * 3_600_000);
  const waits = times.slice(1).map((time, index) => time - (times[index] as number));
  expect(waits.slice(0, 4)).toEqual([500, 1_000, 2_000, 4_000]);
  expect(Math.max(...waits)).toBeLessThanOrEqual(30_000);
  expect(waits.at(-1)).toBeGreaterThan(20_000);
  expect([started.length > 300, partition.journal]).toEqual([true, []]);
  isDown = false;
  await clock.advance(30_000);
  await settled();
  expect(partition.journal).toEqual(["done 1"]);
});

test("the longest wait in an outage is the cap whatever the jitter, and the next update of the lane begins anew", async () => {
  const { handle, say, clock, pipeline } = rig();
  Object.assign(pipeline["options"], { random: () => 0.999_999 });
  const times: number[] = [];
  let failures = 12;
  handle(1, async () => {
    times.push(clock.monotonic());
    if (failures-- > 0) throw new Fault("unavailable", "down");
  });
  say(1, 7, "a1");
  await clock.advance(600_000);
  const waits = times.slice(1).map((time, index) => time - (times[index] as number));
  expect(Math.max(...waits)).toBeCloseTo(30_000, -1);
  expect(Math.max(...waits)).toBeLessThanOrEqual(30_000);
  failures = 1;
  times.length = 0;
  say(1, 7, "a2");
  await clock.advance(700);
  expect(times).toHaveLength(2);
});

test("retry_after is obeyed where it is longer", async () => {
  const { handle, say, started, clock } = rig();
  handle(1, () => Promise.reject(new Fault("unavailable", "flood", { retryAfterMs: 90_000 })));
  say(1, 7, "a");
  await clock.advance(89_999);
  expect(started).toHaveLength(1);
  await clock.advance(1);
  expect(started).toHaveLength(2);
});

test("whatever a handler throws, its lane goes on", async () => {
  const { handle, say, partition, clock } = rig();
  const hostile = new Proxy(new Error("x"), {
    has: () => {
      throw new Error("has");
    },
    get: () => {
      throw new Error("get");
    },
  });
  handle(1, ({ text }) => (text === "a1" ? Promise.reject(hostile) : Promise.resolve()));
  say(1, 7, "a1");
  say(1, 7, "a2");
  await clock.advance(80_000);
  await settled();
  expect([...partition.outcomes.values()].map(({ kind }) => kind)).toEqual(["dead", "done"]);
});

test("a body that cannot be read is an outage of the lane; one that is gone from the inbox is reported, and the lane goes on", async () => {
  const { handle, say, partition, started, clock, troubles, pipeline } = rig();
  handle(1, async () => {});
  partition.fail("bodies", new Error("disk"));
  say(1, 7, "a1", { withBody: false });
  await clock.advance(10_000);
  expect(started).toEqual([]);
  expect(troubles[0]).toMatchObject({ kind: "inbox", error: "Error: disk" });
  partition.fail("bodies", undefined);
  partition.stored.delete(one);
  say(1, 7, "a2");
  await clock.advance(30_000);
  await settled();
  expect(troubles.at(-1)?.error).toContain("gone from the inbox");
  expect([started, pipeline.backlog(toBotId(1)), pipeline["lanes"].working]).toEqual([["a2"], 0, 0]);
});
