import { expect, test } from "bun:test";
import fc from "fast-check";
import { createInbox } from "../../src/inbox/front.ts";
import { HandOver } from "../../src/inbox/hand-over.ts";
import type { Entry } from "../../src/inbox/inbox.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import type { InboxStore } from "../../src/inbox/store.ts";
import { type Seq, toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import { botClaim, message, partitionClaim } from "../contract/inbox.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { inboxLimits } from "./limits.ts";

type Step =
  | {
      readonly kind: "append";
      readonly count: number;
      readonly fate: "ok" | "fails" | "lost";
      readonly applyMs: number;
      readonly answerMs: number;
    }
  | { readonly kind: "next"; readonly max: number }
  | { readonly kind: "wait"; readonly ms: number };

const delays = fc.integer({ min: 0, max: 6 });
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      kind: fc.constant("append" as const),
      count: fc.integer({ min: 1, max: 5 }),
      fate: fc.constantFrom("ok" as const, "ok" as const, "ok" as const, "fails" as const, "lost" as const),
      applyMs: delays,
      answerMs: delays,
    }),
    fc.record({ kind: fc.constant("next" as const), max: fc.integer({ min: 1, max: 4 }) }),
    fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 8 }) }),
  ),
  { maxLength: 40 },
);

test("whatever is stored is handed out once and in order, though answers are late, lost or out of order", async () => {
  await fc.assert(
    fc.asyncProperty(steps, fc.array(delays, { minLength: 1 }), async (plan, readDelays) => {
      const clock = new FakeClock();
      const durable = emptyDurable();
      const kept = createMemoryStore({ durable, limits: inboxLimits, deduplicate: true, now: clock.now() });
      const pause = (ms: number): Promise<void> => new Promise((resolve) => void clock.setTimer(resolve, ms));
      const fates: Extract<Step, { kind: "append" }>[] = [];
      let reads = 0;
      const store: InboxStore = {
        ...kept,
        async commit(group) {
          const fate = group.appends.length > 0 ? fates.shift() : undefined;
          await pause(fate?.applyMs ?? 0);
          if (fate?.fate === "fails") throw new Error("failed");
          const committed = await kept.commit(group);
          await pause(fate?.answerMs ?? 0);
          if (fate?.fate === "lost") throw new Error("lost");
          return committed;
        },
        async unsettled(after, max, partition) {
          await pause(readDelays[reads++ % readDelays.length] ?? 0);
          const chunk = await kept.unsettled(after, max, partition);
          await pause(readDelays[reads++ % readDelays.length] ?? 0);
          return chunk;
        },
      };
      const limits = { ...inboxLimits, handoverMaxEntries: 4, readMaxEntries: 3, writeRetryMs: 5 };
      const inbox = createInbox({ store, clock, limits });
      const partition = await inbox.open(partitionClaim());
      const handed: Seq[] = [];
      const read = (max: number): void =>
        void partition.next(max).then((entries) => handed.push(...entries.map(({ seq }) => seq)));
      let nextId = 1;
      for (const step of plan) {
        if (step.kind === "wait") await clock.advance(step.ms);
        else if (step.kind === "next") read(step.max);
        else {
          fates.push(step);
          const batch = Array.from({ length: step.count }, () => message(nextId++));
          void inbox.append(botClaim(), batch).catch(() => undefined); // The poller would try again.
        }
      }
      await clock.advance(1_000);
      for (let left = durable.entries.size; left > 0; left--) read(10);
      await clock.advance(1_000);
      expect(handed).toEqual([...durable.entries.keys()]);
    }),
    { numRuns: 500 },
  );
});

function entry(seq: number, size: number): Entry {
  const update = message(seq);
  const body = { updateId: seq, update, receivedAt: 0, size, sends: [] };
  return { seq: toSeq(seq), bot: toBotId(1), lane: toLaneKey(1), attempts: 0, suspicion: "none", receivedAt: 0, body };
}

test("entries beyond `handoverMaxBytes` of text are handed over without their bodies", async () => {
  const handOver = new HandOver({
    read: () => Promise.resolve({ entries: [], upTo: toSeq(0), settledBelow: toSeq(1) }),
    step: 1,
    clock: new FakeClock(),
    limits: { ...inboxLimits, handoverMaxBytes: 100 },
    onReadFailed: () => {},
  });
  const waiting = handOver.next(1);
  await Promise.resolve();
  await new FakeClock().advance(0);
  handOver.offer([entry(1, 60), entry(2, 60), entry(3, 40), entry(4, 1)]);
  const handed = [...(await waiting), ...(await handOver.next(10))];
  expect(handed.map((one) => one.body?.size)).toEqual([60, undefined, 40, undefined]);
  handOver.offer([entry(5, 100)]);
  expect((await handOver.next(1))[0]?.body?.size).toBe(100);
});

test("a backlog far beyond memory is read in chunks of `readMaxEntries`, only as fast as it is taken", async () => {
  const total = 1_000_000;
  let reads = 0;
  const handOver = new HandOver({
    read: (after, max) => {
      reads++;
      const count = Math.min(max, total - after);
      const entries = Array.from({ length: count }, (_, place) => ({
        seq: toSeq(after + 1 + place),
        bot: toBotId(1),
        lane: toLaneKey(1),
        attempts: 0,
        suspicion: "suspect" as const,
        receivedAt: 0,
      }));
      return Promise.resolve({ entries, upTo: toSeq(after + count), settledBelow: toSeq(1) });
    },
    step: 1,
    clock: new FakeClock(),
    limits: { ...inboxLimits, readMaxEntries: 2_000 },
    onReadFailed: () => {},
  });
  await handOver.next(100);
  await new FakeClock().advance(1_000);
  expect(reads).toBe(1);
  let taken = 100;
  while (taken < 10_000) taken += (await handOver.next(100)).length;
  expect(reads).toBe(5);
});
