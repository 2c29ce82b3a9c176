import { expect, test } from "bun:test";
import { Fault } from "../src/faults.ts";
import { toBotId, toSeq } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { gated, rig, type Rig } from "./support/pipeline-rig.ts";

/** Stops the pipeline; `hasEnded` answers whether that has resolved. */
function stopping({ pipeline }: Rig): () => boolean {
  let ended = false;
  void pipeline.stop().then(() => (ended = true));
  return () => ended;
}

/** A call that hangs until the shutdown aborts it, as the client's calls do. */
function hangs(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(new Fault("attempt_revoked", "aborted")), { once: true });
  });
}

test("stop with nothing at work resolves at once, and leaves no timer and no listener", async () => {
  const at = rig();
  at.handle(1, async () => {});
  at.say(1, 7, "a");
  await settled();
  await at.pipeline.stop();
  // The timer that looks at deadlines has ended as well, though a handler was at work a moment ago.
  expect([at.clock.pending(), at.inbox.listening]).toEqual([0, 0]);
});

test("nothing starts after stop began: neither what waits, nor what is read, nor what its bot gets a handler for", async () => {
  const at = rig({ slotsPerBot: 1 });
  const { handler, end } = gated();
  at.handle(1, handler);
  at.say(1, 7, "a1");
  at.say(1, 7, "a2");
  at.say(1, 8, "b1");
  await settled();
  const hasEnded = stopping(at);
  at.say(1, 9, "c1");
  at.handle(1, handler);
  at.inbox.set("failing");
  at.inbox.set("ok");
  await settled();
  expect(hasEnded()).toBe(false);
  await end("a1");
  expect([at.started, hasEnded()]).toEqual([["a1"], true]);
  expect([...at.partition.stored.keys()]).toEqual([2, 3, 4].map(toSeq));
  expect(at.pipeline.room(toBotId(1)).ready()).toBe(false);
});

test("nothing starts whose body was being read, or whose mark was being written, when stop began", async () => {
  for (const operation of ["bodies", "mark"] as const) {
    const at = rig();
    at.handle(1, async () => {});
    at.partition.hold(operation);
    at.say(1, 7, "a", { suspicion: "suspect", withBody: false });
    await settled();
    const hasEnded = stopping(at);
    await settled();
    expect(hasEnded()).toBe(false);
    at.partition.release(operation);
    await settled();
    expect([at.started, hasEnded()]).toEqual([[], true]);
    expect(at.partition.stored.get(toSeq(1))?.started).toBe(false);
  }
});

test("stop ends while an entry waits to run alone, runs alone, or its mark is written", async () => {
  const at = rig();
  const { handler, end } = gated();
  at.handle(1, handler);
  at.say(1, 1, "before");
  await settled();
  at.say(1, 2, "alone", { suspicion: "alone" });
  await settled();
  const hasEnded = stopping(at);
  await end("before");
  expect([hasEnded(), at.started]).toEqual([true, ["before"]]);

  const running = rig();
  const other = gated();
  running.handle(1, other.handler);
  running.say(1, 2, "alone", { suspicion: "alone" });
  await settled();
  const hasRunEnded = stopping(running);
  await settled();
  expect(hasRunEnded()).toBe(false);
  await other.end("alone");
  expect([hasRunEnded(), running.partition.journal]).toEqual([true, ["started 1", "done 1"]]);
});

test("handlers at work when stop began may finish, and their outcomes are durable before it resolves", async () => {
  const at = rig();
  const { handler, end } = gated();
  at.handle(1, handler);
  at.say(1, 7, "a");
  await settled();
  const hasEnded = stopping(at);
  await at.clock.advance(14_000);
  at.partition.hold("settle");
  await end("a");
  expect(hasEnded()).toBe(false);
  at.partition.release("settle");
  await settled();
  expect([hasEnded(), at.partition.journal]).toEqual([true, ["done 1"]]);
});

test("flood waits end at once, uncounted", async () => {
  const at = rig();
  at.handle(1, ({ attempt }) =>
    attempt.effect(async () => {
      attempt.pause();
      await new Promise<void>((resolve) => attempt.waitSignal.addEventListener("abort", () => resolve()));
      attempt.resume();
      throw new Fault("unavailable", "the wait was ended by a shutdown");
    }),
  );
  at.say(1, 7, "a");
  await settled();
  const hasEnded = stopping(at);
  await settled();
  expect([hasEnded(), at.ends, at.partition.journal]).toEqual([true, ["kept"], []]);
  expect(at.partition.stored.get(toSeq(1))?.attempts).toBe(0);
});

test("a retry's wait and an outage's back-off end at once, uncounted", async () => {
  const at = rig();
  at.handle(1, ({ text }) => Promise.reject(text === "a" ? new Error("broken") : new Fault("unavailable", "down")));
  at.say(1, 7, "a");
  at.say(1, 8, "b");
  await settled();
  const journal = [...at.partition.journal];
  await at.pipeline.stop();
  expect(at.clock.pending()).toBe(0);
  await at.clock.advance(600_000);
  expect([at.started, at.partition.journal]).toEqual([["a", "b"], journal]);
  expect(at.clock.pending()).toBe(0);
});

test("after drainMaxMs calls are aborted, their updates stay uncounted, and what they had sent is remembered", async () => {
  const at = rig();
  at.handle(1, async ({ attempt }) => {
    await attempt.send("sendMessage", "one", async () => ({ ok: true, result: 1 }));
    await attempt.effect(() => hangs(attempt.signal));
  });
  at.say(1, 7, "a", { suspicion: "suspect" });
  await settled();
  const hasEnded = stopping(at);
  await at.clock.advance(14_999);
  expect(hasEnded()).toBe(false);
  await at.clock.advance(1);
  await settled();
  expect([hasEnded(), at.ends]).toEqual([true, ["kept"]]);
  expect(at.partition.stored.get(toSeq(1))).toMatchObject({
    attempts: 0,
    started: false,
    sends: [{ call: 0, result: 1 }],
  });
  expect(at.clock.pending()).toBe(0);
});

test("a handler that hangs, and one that returned over an open call, are cut short as well", async () => {
  const at = rig();
  at.handle(1, ({ text, attempt }) => {
    if (text === "hangs") return new Promise(() => {});
    void attempt.effect(() => hangs(attempt.signal)).catch(() => {});
    return Promise.resolve();
  });
  at.say(1, 7, "hangs");
  at.say(1, 8, "returns");
  await settled();
  const hasEnded = stopping(at);
  await at.clock.advance(15_000);
  await settled();
  expect([hasEnded(), at.ends, at.partition.stored.size]).toEqual([true, ["kept", "kept"], 2]);
});

test("a handler's own fault during the drain counts; its wait does not begin", async () => {
  const at = rig();
  const gate = Promise.withResolvers<void>();
  at.handle(1, async () => {
    await gate.promise;
    throw new Error("broken");
  });
  at.say(1, 7, "a");
  await settled();
  const hasEnded = stopping(at);
  gate.resolve();
  await settled();
  expect([hasEnded(), at.partition.journal]).toEqual([true, ["attempts 1 = 1"]]);
  expect(at.clock.pending()).toBe(0);
});

test("stop called twice resolves both times", async () => {
  const at = rig();
  const { handler, end } = gated();
  at.handle(1, handler);
  at.say(1, 7, "a");
  await settled();
  const first = stopping(at);
  const second = stopping(at);
  await end("a");
  expect([first(), second()]).toEqual([true, true]);
});

test("after stop nothing is taken from the inbox any more: it stays there", async () => {
  const at = rig();
  const { handler, open } = gated();
  at.handle(1, handler);
  await at.pipeline.stop();
  const seq = at.say(1, 7, "a");
  await settled();
  expect([at.pipeline.backlog(toBotId(1)), open.size, at.partition.stored.has(seq)]).toEqual([0, 0, true]);
});
