/** Every interleaving of a few who read and write one user in the second tier, none left out: a call may come as late as it likes. */
import { expect, test } from "bun:test";
import { ModelCache, type ModelPlant } from "../support/model-cache.ts";

const key = "1";
const limits = { ttlMs: 1_000, absentMs: 1_000, leaseMs: 1_000, lostMs: 1_000 };

interface World {
  readonly model: ModelCache;
  version: number;
}

type Step = (world: World) => void;

/** A change in storage, and what the instance that made it tells. */
function writer(tells: "its version" | "nothing but the change"): readonly Step[] {
  let version = 0;
  return [
    (world) => (version = ++world.version),
    ({ model }) => model.write([{ key, version: tells === "its version" ? version : 0, row: "" }], ""),
  ];
}

function reader(token: string): readonly Step[] {
  let isGranted = false;
  let version = 0;
  return [
    ({ model }) => (isGranted = model.lease([key], token, false)[0]?.kind === "granted"),
    (world) => (version = world.version),
    ({ model }) => {
      if (isGranted) model.fillIn([{ key, token, generation: "g", version, row: "" }]);
    },
  ];
}

const evictor: readonly Step[] = [({ model }) => model.evict(key)];

/** In how many of all orders the document that is left at the end is not what storage holds. */
function stale(threads: readonly (readonly Step[])[], plant: ModelPlant = {}): { orders: number; stale: number } {
  const counts = { orders: 0, stale: 0 };
  const order: number[] = [];
  const at = threads.map(() => 0);
  const length = threads.reduce((sum, steps) => sum + steps.length, 0);
  const go = (): void => {
    if (order.length === length) return judge();
    for (const [thread, steps] of threads.entries()) {
      if ((at[thread] ?? 0) >= steps.length) continue;
      at[thread] = (at[thread] ?? 0) + 1;
      order.push(thread);
      go();
      order.pop();
      at[thread] = (at[thread] ?? 0) - 1;
    }
  };
  const judge = (): void => {
    const world: World = { model: new ModelCache(limits, () => 0, plant), version: 1 };
    world.model.beat({ sender: "a", message: "", candidate: "g", replaces: undefined, dead: [] });
    // Warm.
    for (const step of reader("warm")) step(world);
    const next = threads.map(() => 0);
    for (const thread of order) {
      const step = next[thread] ?? 0;
      threads[thread]?.[step]?.(world);
      next[thread] = step + 1;
    }
    const held = /^d g (\d+) /.exec(world.model.value(key) ?? "");
    counts.orders++;
    if (held !== null && Number(held[1]) !== world.version) counts.stale++;
  };
  go();
  return counts;
}

test("two writers, two readers and an eviction leave nothing stale, in any order", () => {
  const threads = [writer("its version"), writer("its version"), reader("r1"), reader("r2"), evictor];
  expect(stale(threads)).toEqual({ orders: 277_200, stale: 0 });
}, 60_000);

test("nor does a change whose version nobody knows", () => {
  const threads = [writer("nothing but the change"), writer("its version"), reader("r1"), reader("r2"), evictor];
  expect(stale(threads)).toEqual({ orders: 277_200, stale: 0 });
}, 60_000);

test("to delete after a write, and to fill without a lease, does", () => {
  const threads = [writer("nothing but the change"), reader("r1"), evictor];
  const { stale: found } = stale(threads, { fills: "none" });
  expect(found).toBeGreaterThan(0);
});
