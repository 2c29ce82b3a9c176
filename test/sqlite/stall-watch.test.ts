import { expect, test } from "bun:test";
import { StallWatch } from "../../src/sqlite/stall-watch.ts";
import { FakeClock } from "../support/fake-clock.ts";

function watch() {
  const clock = new FakeClock();
  const stalls: number[] = [];
  const made = new StallWatch({ clock, answerMaxMs: 1_000, onStall: () => void stalls.push(clock.monotonic()) });
  return { clock, stalls, watch: made };
}

test("a call that is not answered in time is a stall, and is told again until it is answered", async () => {
  const { clock, stalls, watch: made } = watch();
  made.asked();
  await clock.advance(900);
  expect(stalls).toEqual([]);
  await clock.advance(2_200);
  expect(stalls).toHaveLength(3);
  made.answered();
  await clock.advance(10_000);
  expect(stalls).toHaveLength(3);
});

test("calls that are all answered in time are none, however many are always on their way", async () => {
  const { clock, stalls, watch: made } = watch();
  made.asked();
  for (let at = 0; at < 100; at++) {
    made.asked();
    await clock.advance(100);
    made.answered();
  }
  expect(stalls).toEqual([]);
});

test("while nothing is asked no timer runs", async () => {
  const { clock, watch: made } = watch();
  made.asked();
  made.answered();
  await clock.advance(1_000);
  expect(clock.pending()).toBe(0);
  made.asked();
  made.stop();
  expect(clock.pending()).toBe(0);
});
