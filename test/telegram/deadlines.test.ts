import { expect, test } from "bun:test";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import { FakeClock } from "../support/fake-clock.ts";

const tickMs = 200;

function wheel(): { clock: FakeClock; deadlines: ReturnType<typeof createDeadlines> } {
  const clock = new FakeClock();
  return { clock, deadlines: createDeadlines({ clock, tickMs }) };
}

test("a deadline expires once, not before it is due and at most one tick late", async () => {
  const { clock, deadlines } = wheel();
  const late: number[] = [];
  for (let at = 0; at < 300; at++) {
    const dueMs = clock.monotonic() + ((at * 7919) % 5_000);
    deadlines.add(dueMs - clock.monotonic(), () => late.push(clock.monotonic() - dueMs));
    await clock.advance((at * 31) % 50);
  }
  await clock.advance(10_000);
  expect(late).toHaveLength(300);
  expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
  expect(Math.max(...late)).toBeLessThanOrEqual(tickMs);
});

test("a deadline that was called off never expires", async () => {
  const { clock, deadlines } = wheel();
  let expired = 0;
  const cancel = deadlines.add(1_000, () => expired++);
  deadlines.add(1_000, () => expired++);
  cancel();
  cancel();
  await clock.advance(5_000);
  expect(expired).toBe(1);
});

test("calling off a deadline that has expired leaves the others alone", async () => {
  const { clock, deadlines } = wheel();
  const expired: string[] = [];
  const cancel = deadlines.add(0, () => expired.push("first"));
  await clock.advance(0);
  deadlines.add(0, () => expired.push("second"));
  cancel();
  await clock.advance(tickMs);
  expect(expired).toEqual(["first", "second"]);
});

test("an earlier deadline that is added later is met in time", async () => {
  const { clock, deadlines } = wheel();
  const expired: string[] = [];
  deadlines.add(20_000, () => expired.push("late"));
  deadlines.add(1_000, () => expired.push("early"));
  await clock.advance(1_000 + tickMs);
  expect(expired).toEqual(["early"]);
  await clock.advance(20_000);
  expect(expired).toEqual(["early", "late"]);
});

test("one timer runs for all deadlines, and none while nothing is due", async () => {
  const { clock, deadlines } = wheel();
  const cancels = Array.from({ length: 1_000 }, (_, at) => deadlines.add(at * 10, () => {}));
  expect(clock.pending()).toBe(1);
  for (const cancel of cancels) cancel();
  expect(clock.pending()).toBe(0);
  deadlines.add(500, () => {});
  await clock.advance(1_000);
  expect(clock.pending()).toBe(0);
});
