import { expect, test } from "bun:test";
import { Rooms } from "../src/room.ts";
import { FakeClock, settled } from "./support/fake-clock.ts";

/** A gate that the test opens and closes, and how many of its waiters went on. */
function gate() {
  const clock = new FakeClock();
  const rooms = new Rooms(clock);
  const at = { open: false, passed: 0 };
  const room = rooms.room(() => at.open);
  const controller = new AbortController();
  const wait = (): void => void room.wait(controller.signal).then(() => at.passed++);
  return { clock, rooms, at, room, wait, controller };
}

test("who asks while there is room goes on at once", async () => {
  const { at, room, wait, clock } = gate();
  at.open = true;
  wait();
  await settled();
  expect([room.ready(), at.passed, clock.pending()]).toEqual([true, 1, 0]);
});

test("who waits goes on soon after room is made, and not before", async () => {
  const { at, clock, rooms, wait } = gate();
  wait();
  wait();
  rooms.changed();
  await clock.advance(1_000);
  expect(at.passed).toBe(0);
  at.open = true;
  rooms.changed();
  rooms.changed();
  expect(clock.pending()).toBe(1);
  await clock.advance(100);
  await settled();
  expect([at.passed, clock.pending()]).toEqual([2, 0]);
});

test("a wait ends when its signal aborts, before or meanwhile, and leaves no waiter", async () => {
  const { at, clock, rooms, wait, controller } = gate();
  wait();
  controller.abort();
  wait();
  await settled();
  expect(at.passed).toBe(2);
  rooms.changed();
  expect(clock.pending()).toBe(0);
});

test("a change that nobody waits for costs no timer", () => {
  const { clock, rooms } = gate();
  rooms.changed();
  expect(clock.pending()).toBe(0);
});
