import { expect, test } from "bun:test";
import { sleep } from "../../src/clock.ts";
import { FakeClock } from "./fake-clock.ts";

test("timers fire in the order they are due, with microtasks run between them", async () => {
  const clock = new FakeClock();
  const seen: string[] = [];
  const note = (what: string) => async (): Promise<void> => {
    seen.push(what);
    for (let turn = 0; turn < 50; turn++) await Promise.resolve();
    seen.push(`${what} end`);
  };
  clock.setTimer(() => void note("b")(), 20);
  clock.setTimer(() => void note("a")(), 10);
  clock.setTimer(() => void note("c")(), 20);
  clock.setTimer(() => void note("late")(), 31);
  await clock.advance(30);
  expect(seen).toEqual(["a", "a end", "b", "b end", "c", "c end"]);
  expect(clock.pending()).toBe(1);
  expect(clock.nextDueMs()).toBe(1);
});

test("a timer set by a timer fires within the same advance when it comes due in it", async () => {
  const clock = new FakeClock(1_000);
  let woke = 0;
  void sleep(clock, 10)
    .then(() => sleep(clock, 10))
    .then(() => (woke = clock.now()));
  await clock.advance(20);
  expect(woke).toBe(1_020);
});

test("a cancelled timer does not fire, and a jump of the wall clock moves no timer", async () => {
  const clock = new FakeClock(1_000);
  let fired = 0;
  clock.setTimer(() => fired++, 5).cancel();
  clock.setTimer(() => fired++, 100);
  clock.jumpWall(-500);
  await clock.advance(99);
  expect([fired, clock.now(), clock.monotonic()]).toEqual([0, 599, 99]);
});
