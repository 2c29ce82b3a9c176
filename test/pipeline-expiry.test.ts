import { expect, test } from "bun:test";
import { settled } from "./support/fake-clock.ts";
import { rig } from "./support/pipeline-rig.ts";

const from = { id: 7 };

/** How an update of `kind` ends whose handler can first run `ageMs` after its receipt; `clockMs`: a jump of the wall clock before that. */
async function endAt(kind: string, ageMs: number, payload: object = {}, clockMs = 0): Promise<string | undefined> {
  const { handle, add, clock, partition, ends } = rig();
  add(1, { [kind]: { id: "q", from, ...payload } });
  await clock.advance(ageMs);
  clock.jumpWall(clockMs);
  handle(1, async () => {});
  await settled();
  expect(partition.outcomes.size).toBe(1);
  return ends[0];
}

test("an inline query expires 30 s after its receipt", async () => {
  expect(await endAt("inline_query", 30_000)).toBe("done");
  expect(await endAt("inline_query", 30_001)).toBe("expired");
});

test("shipping and pre-checkout queries expire after 150 s", async () => {
  for (const kind of ["shipping_query", "pre_checkout_query"]) {
    expect(await endAt(kind, 150_000)).toBe("done");
    expect(await endAt(kind, 150_001)).toBe("expired");
  }
});

test("callback queries, messages and everything else never expire", async () => {
  for (const kind of ["callback_query", "message", "chosen_inline_result", "poll", "new_kind"]) {
    expect(await endAt(kind, 7 * 24 * 3_600_000)).toBe("done");
  }
});

test("age counts from the receipt, whatever the update says about its date", async () => {
  expect(await endAt("inline_query", 1_000, { date: 1 })).toBe("done");
  expect(await endAt("pre_checkout_query", 150_001, { date: 4_000_000_000 })).toBe("expired");
});

test("a wall clock that jumps back expires nothing", async () => {
  expect(await endAt("inline_query", 1_000, {}, -3_600_000)).toBe("done");
});

test("an expired query is settled as such and its handler does not run; the next update of the lane does", async () => {
  const { handle, add, say, clock, partition, started } = rig();
  add(1, { inline_query: { id: "q", from } });
  say(1, 7, "a");
  await clock.advance(40_000);
  handle(1, async () => {});
  await settled();
  expect([started, partition.journal]).toEqual([["a"], ["expired 1", "done 2"]]);
});

test("a query that waited for its retry too long expires", async () => {
  const { handle, add, clock, partition } = rig();
  handle(1, () => Promise.reject(new Error("broken")));
  add(1, { inline_query: { id: "q", from } });
  await clock.advance(90_000);
  await settled();
  // Tried at 0, 1, 5 and 20 s; at 80 s it is too old.
  expect(partition.journal).toEqual([...[1, 2, 3, 4].map((attempts) => `attempts 1 = ${attempts}`), "expired 1"]);
});
