import { expect, test } from "bun:test";
import fc from "fast-check";
import { toSeq } from "../src/ids.ts";
import { LaneAges } from "../src/lane-ages.ts";

test("the oldest unsettled entry is the oldest again after a newer one was settled, and the next one after itself", () => {
  const ages = new LaneAges();
  expect(ages.oldest()).toBeUndefined();
  for (const [seq, at] of [
    [1, 10_000],
    [2, 20_000],
    [3, 30_000],
  ] as const)
    ages.add(toSeq(seq), at);
  ages.settle(toSeq(2));
  expect(ages.oldest()).toBe(10_000);
  ages.settle(toSeq(1));
  expect(ages.oldest()).toBe(30_000);
  ages.settle(toSeq(3));
  expect(ages.oldest()).toBeUndefined();
});

test("a retried dead letter is as old as when it was received", () => {
  const ages = new LaneAges();
  ages.add(toSeq(1), 900_000);
  ages.add(toSeq(2), 1_000);
  ages.add(toSeq(3), 901_000);
  expect(ages.oldest()).toBe(1_000);
  ages.settle(toSeq(2));
  expect(ages.oldest()).toBe(900_000);
});

test("times that fall again and again, as of dead letters retried the newest first, are joined like those that rise", () => {
  const ages = new LaneAges();
  const stepMs = 2_000;
  for (let seq = 1; seq <= 1_000; seq++) ages.add(toSeq(seq), 10_000_000 - seq * stepMs);
  expect(ages.oldest()).toBe(10_000_000 - 1_000 * stepMs);
  for (let seq = 1_000; seq > 1; seq--) {
    ages.settle(toSeq(seq));
    const early = 10_000_000 - (seq - 1) * stepMs - (ages.oldest() ?? 0);
    expect(early).toBeGreaterThanOrEqual(0);
    expect(early).toBeLessThanOrEqual((1_000 * stepMs) / 50);
  }
  ages.settle(toSeq(1));
  expect(ages.oldest()).toBeUndefined();
});

test("whatever is added and settled, the answer is early by a second or a fiftieth of the time that waits, and never late", () => {
  const step = fc.record({ gapMs: fc.oneof(fc.nat(300), fc.nat(60_000), fc.constant(86_400_000)), settle: fc.nat(3) });
  fc.assert(
    fc.property(fc.array(step, { minLength: 1_000, maxLength: 3_000 }), fc.infiniteStream(fc.nat()), (steps, picks) => {
      const ages = new LaneAges();
      const waiting: { seq: number; at: number }[] = [];
      let now = 0;
      for (const [index, { gapMs, settle }] of steps.entries()) {
        now += gapMs;
        waiting.push({ seq: index + 1, at: now });
        ages.add(toSeq(index + 1), now);
        // The oldest among them, so that what is left moves on.
        if (settle === 0) for (const { seq } of waiting.splice(0, 1)) ages.settle(toSeq(seq));
        if (settle === 1) {
          for (const { seq } of waiting.splice((picks.next().value ?? 0) % waiting.length, 1)) ages.settle(toSeq(seq));
        }
        const oldest = waiting[0]?.at;
        const said = ages.oldest();
        if (oldest === undefined) expect(said).toBeUndefined();
        else {
          expect(said).toBeLessThanOrEqual(oldest);
          expect(oldest - (said ?? 0)).toBeLessThanOrEqual(Math.max(1_000, now / 50));
        }
      }
    }),
    { numRuns: 30 },
  );
});
