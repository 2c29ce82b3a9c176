import { expect, spyOn, test } from "bun:test";
import { backoffMs, sleep, systemClock } from "../src/clock.ts";
import { FakeClock, settled } from "./support/fake-clock.ts";

test("a sleep ends when its time has passed, and leaves nothing behind", async () => {
  const clock = new FakeClock();
  const { signal } = new AbortController();
  const added = spyOn(signal, "addEventListener");
  const removed = spyOn(signal, "removeEventListener");
  let ended: string | undefined;
  void sleep(clock, 1_000, signal).then((how) => (ended = how));
  await clock.advance(999);
  expect(ended).toBeUndefined();
  await clock.advance(1);
  await settled();
  expect([ended, clock.pending()]).toEqual(["elapsed", 0]);
  expect(removed.mock.calls.map(([, listener]) => listener)).toEqual(added.mock.calls.map(([, listener]) => listener));
});

test("a sleep ends at once when its signal aborts, or has aborted, and leaves no timer", async () => {
  const clock = new FakeClock();
  const controller = new AbortController();
  const asleep = sleep(clock, 1_000, controller.signal);
  controller.abort();
  expect(await asleep).toBe("aborted");
  expect(await sleep(clock, 1_000, controller.signal)).toBe("aborted");
  expect(clock.pending()).toBe(0);
});

test("a back-off doubles up to its cap, 75 to 125 % of it", () => {
  const waits = [0, 1, 2, 5, 6, 1_000].map((failures) => backoffMs(failures, 500, 30_000, () => 0.5));
  expect(waits).toEqual([500, 1_000, 2_000, 16_000, 30_000, 30_000]);
  expect(backoffMs(0, 1_000, 30_000, () => 0)).toBe(750);
  expect(backoffMs(0, 1_000, 30_000, () => 0.999_999)).toBeCloseTo(1_250, 1);
});

test("a timer of the system longer than it can count does not fire at once", async () => {
  let fired = false;
  const timer = systemClock.setTimer(() => (fired = true), 1e12);
  // Node and Bun fire a timer that overflows after 1 ms: one that is due later must come first if this one is not to.
  await new Promise<void>((resolve) => void systemClock.setTimer(resolve, 20));
  timer.cancel();
  expect(fired).toBe(false);
});
