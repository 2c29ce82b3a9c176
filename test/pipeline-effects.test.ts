import { expect, test } from "bun:test";
import { Fault, faultOf } from "../src/faults.ts";
import { toSeq } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { rig } from "./support/pipeline-rig.ts";

const one = toSeq(1);

test("at the deadline the attempt is revoked: its later effects do not run, and it counts as a fault", async () => {
  const { handle, say, started, clock, partition, troubles } = rig();
  const late: unknown[] = [];
  let ran = 0;
  handle(1, async ({ attempt }) => {
    if (attempt.number > 0) return;
    await new Promise<void>((resolve) => void clock.setTimer(resolve, 100_000));
    await attempt.effect(async () => ++ran).catch((error: unknown) => late.push(faultOf(error)?.code));
    await attempt
      .send("sendMessage", "late", async () => ({ ok: ++ran > 0 }))
      .catch((error: unknown) => late.push(faultOf(error)?.code));
  });
  say(1, 7, "a");
  await clock.advance(29_999);
  expect(partition.journal).toEqual([]);
  await clock.advance(501);
  expect(partition.journal).toEqual(["attempts 1 = 1"]);
  expect(troubles[0]?.error).toContain("did not end within 30000 ms");
  await clock.advance(100_000);
  await settled();
  expect([started.length, late, ran]).toEqual([2, ["attempt_revoked", "attempt_revoked"], 0]);
  expect(partition.journal).toEqual(["attempts 1 = 1", "done 1"]);
});

test("after the deadline the lane goes on only when the calls in flight have ended: no handler works beside its retry", async () => {
  const { handle, say, clock, started } = rig();
  const call = Promise.withResolvers<{ ok: boolean; result: number }>();
  let zombie: Promise<unknown> | undefined;
  const sent: string[] = [];
  handle(1, async ({ attempt }) => {
    if (attempt.number > 0) {
      await attempt.send("sendMessage", "first", async () => ({ ok: true, result: sent.push("retry") }));
      return;
    }
    zombie = attempt
      .send("sendMessage", "first", () => call.promise)
      .catch(() => attempt.send("sendMessage", "second", async () => ({ ok: true, result: sent.push("zombie") })));
    await zombie;
  });
  say(1, 7, "a");
  await clock.advance(60_000);
  expect(started).toHaveLength(1);
  call.resolve({ ok: true, result: 1 });
  await clock.advance(2_000);
  await settled();
  expect(started).toHaveLength(2);
  expect(await zombie?.then(String, (error: unknown) => faultOf(error)?.code)).toBe("attempt_revoked");
  // The first call had reached Telegram: the retry has its result and does not send again.
  expect(sent).toEqual([]);
});

test("a wait in flood control does not run on the handler's clock, and gives the slot to another chat", async () => {
  const { handle, say, clock, started, pipeline, partition } = rig({ slotsPerBot: 1 });
  handle(1, async ({ text, attempt }) => {
    if (text !== "slow") return;
    await attempt.effect(async () => {
      await Promise.resolve();
      attempt.pause();
      await new Promise<void>((resolve) => void clock.setTimer(resolve, 120_000));
      attempt.resume();
    });
    await new Promise<void>((resolve) => void clock.setTimer(resolve, 20_000));
  });
  say(1, 7, "slow");
  say(1, 8, "quick");
  await settled();
  expect(started).toEqual(["slow", "quick"]);
  expect([pipeline.status().floodWaiting, pipeline.status().working]).toEqual([1, 1]);
  await clock.advance(139_999);
  expect(pipeline.status().floodWaiting).toBe(0);
  say(1, 9, "later");
  await settled();
  // Back at work the slow one holds the only slot again.
  expect(started).toHaveLength(2);
  await clock.advance(1);
  await settled();
  expect(started).toHaveLength(3);
  expect(partition.journal).toEqual(["done 2", "done 1", "done 3"]);
  expect(pipeline["lanes"].working).toBe(0);
});

test("above floodWaitingMax a handler that waits in flood control keeps its slot", async () => {
  const { handle, say, started, pipeline } = rig({ slotsPerBot: 2, floodWaitingMax: 1 });
  handle(1, ({ attempt }) =>
    attempt.effect(() => {
      attempt.pause();
      return new Promise(() => {});
    }),
  );
  for (let chat = 0; chat < 5; chat++) say(1, chat, `${chat}`);
  await settled();
  expect([started.length, pipeline.status().floodWaiting]).toEqual([3, 1]);
});

test("a handler that ends while it counts as waiting gives its slot back once", async () => {
  const { handle, say, pipeline } = rig();
  handle(1, async ({ attempt }) => attempt.pause());
  for (let chat = 0; chat < 3; chat++) say(1, chat, "a");
  await settled();
  expect([pipeline["lanes"].working, pipeline.status().floodWaiting]).toEqual([0, 0]);
});

test("a finished send is not repeated by the retry, across a restart too; a different one is made", async () => {
  const made: string[] = [];
  const first = rig();
  const handler = (fails: boolean, last: string) => (r: typeof first) =>
    r.handle(1, async ({ attempt }) => {
      for (const payload of ["one", "two", last]) {
        const answer = await attempt.send("sendMessage", payload, async () => ({
          ok: true,
          result: made.push(payload),
        }));
        made.push(`= ${String(answer.result)}`);
      }
      if (fails) throw new Error("broken");
    });
  handler(true, "three")(first);
  first.say(1, 7, "a");
  await settled();
  expect(made.splice(0)).toEqual(["one", "= 1", "two", "= 3", "three", "= 5"]);
  await first.clock.advance(1_000);
  await settled();
  expect([made.splice(0), first.remembered]).toEqual([["= 1", "= 3", "= 5"], 3]);

  const second = rig();
  handler(false, "other")(second);
  const stored = first.partition.stored.get(one);
  second.say(1, 7, "a", { attempts: stored?.attempts ?? 0, sends: stored?.sends ?? [], withBody: false });
  await settled();
  expect([made, second.remembered]).toEqual([["= 1", "= 3", "other", "= 3"], 2]);
});

test("sends of an attempt that met an outage are durable before the lane waits", async () => {
  const { handle, say, clock, partition } = rig();
  let sent = 0;
  handle(1, async ({ attempt }) => {
    await attempt.send("sendMessage", "a", async () => ({ ok: true, result: ++sent }));
    if (sent < 2 && clock.monotonic() < 5_000) throw new Fault("unavailable", "storage is down");
  });
  say(1, 7, "a");
  await settled();
  expect(partition.journal).toEqual(["sends 1 = 1"]);
  await clock.advance(20_000);
  await settled();
  expect([sent, partition.journal.at(-1)]).toEqual([1, "done 1"]);
});

test("a call that the handler does not await is waited for before the update is settled", async () => {
  const { handle, say, started, partition } = rig();
  const call = Promise.withResolvers<void>();
  handle(1, async ({ text, attempt }) => void (text === "a1" ? attempt.effect(() => call.promise) : undefined));
  say(1, 7, "a1");
  say(1, 7, "a2");
  await settled();
  expect([started, partition.journal]).toEqual([["a1"], []]);
  call.resolve();
  await settled();
  expect([started, partition.journal]).toEqual([
    ["a1", "a2"],
    ["done 1", "done 2"],
  ]);
});
