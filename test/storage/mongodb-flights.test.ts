import { expect, test } from "bun:test";
import { faultOf } from "../../src/faults.ts";
import { Flights } from "../../src/storage/mongodb-flights.ts";
import { FakeClock } from "../support/fake-clock.ts";

function createRig() {
  const clock = new FakeClock();
  let stuck = 0;
  const flights = new Flights({ clock, longestMs: 20_000, graceMs: 3_000, onStuck: () => void stuck++ });
  const ends: string[] = [];
  const never = (name: string, ownMs = 0): void => {
    const end = (how: string): void => void ends.push(`${name}: ${how}`);
    flights
      .watch(() => new Promise<never>(() => {}), ownMs)
      .catch((error: unknown) => {
        const fault = faultOf(error);
        end(`${fault?.code}, ${fault?.effect}`);
      });
  };
  return { clock, flights, ends, never, stuck: () => stuck };
}

test("what is answered, or fails, ends as it does, and nothing is watched any more", async () => {
  const { clock, flights, stuck } = createRig();
  expect(await flights.watch(async () => 7)).toBe(7);
  const failed = flights.watch(() => Promise.reject(new Error("no")));
  expect(await failed.catch(String)).toBe("Error: no");
  flights.broke();
  await clock.advance(60_000);
  expect([stuck(), clock.pending()]).toEqual([0, 0]);
});

test("what was on its way when a connection broke is stuck once it had time to be asked again, what came later is not", async () => {
  const { clock, flights, ends, never, stuck } = createRig();
  never("before");
  never("long by nature", 10_000);
  await clock.advance(500);
  flights.broke();
  await clock.advance(500);
  never("after");
  await clock.advance(2_000);
  expect([ends, stuck()]).toEqual([[], 0]);
  await clock.advance(2_000);
  expect([ends, stuck()]).toEqual([["before: unavailable, unknown"], 1]);
  await clock.advance(10_000);
  expect([ends, stuck()]).toEqual([["before: unavailable, unknown", "long by nature: unavailable, unknown"], 2]);
});

test("what takes longer than all its time-outs is stuck though nothing broke", async () => {
  const { clock, ends, never, stuck } = createRig();
  never("one");
  await clock.advance(20_000);
  expect(ends).toEqual([]);
  await clock.advance(2_000);
  expect([ends, stuck()]).toEqual([["one: unavailable, unknown"], 1]);
});
