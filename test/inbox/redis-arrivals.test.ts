import { expect, test } from "bun:test";
import { type Seq, toSeq } from "../../src/ids.ts";
import { RedisArrivals } from "../../src/inbox/redis-arrivals.ts";
import { FakeClock } from "../support/fake-clock.ts";

const lookMs = 1_000;
const lossMaxMs = 5_000;

function createRig() {
  const clock = new FakeClock();
  const state = { settledBelow: 10, isDown: false };
  const told: Seq[] = [];
  const arrivals = new RedisArrivals({
    writer: "me",
    clock,
    lookMs,
    lossMaxMs,
    async look() {
      if (state.isDown) throw new Error("down");
      const partition = { last: toSeq(0), settledBelow: toSeq(state.settledBelow), backlog: 0 };
      return { name: 1, partitions: [partition], bots: new Map() };
    },
  });
  arrivals.watch({
    onArrived: () => {},
    onSettledBelow: (_partition, seq) => void told.push(seq),
    onBacklog: () => {},
    onLooked: () => {},
  });
  return { clock, state, told, arrivals };
}

test("what others settled is believed once Redis cannot lose it any more", async () => {
  const { clock, state, told } = createRig();
  await clock.advance(lookMs);
  state.settledBelow = 20;
  await clock.advance(lossMaxMs - lookMs);
  expect(told).toEqual([]);
  await clock.advance(lookMs);
  expect(told.map(Number)).toEqual([10]);
  await clock.advance(lookMs);
  expect(told.map(Number)).toEqual([10, 20]);
});

test("what others settled is not believed while Redis is away, and not at all where it may have lost it", async () => {
  const { clock, state, told, arrivals } = createRig();
  await clock.advance(3 * lookMs);
  state.isDown = true;
  await clock.advance(10 * lossMaxMs);
  expect(told).toEqual([]);
  arrivals.distrust();
  [state.isDown, state.settledBelow] = [false, 5];
  await clock.advance(lossMaxMs);
  expect(told).toEqual([]);
  await clock.advance(lookMs);
  expect(told.map(Number)).toEqual([5]);
});
