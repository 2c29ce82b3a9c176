import { expect, test } from "bun:test";
import { Bodies, type Fetched } from "../src/bodies.ts";
import { type BotId, type Seq, toBotId, toLaneKey } from "../src/ids.ts";
import { type Lane, Lanes } from "../src/lanes.ts";
import { settled } from "./support/fake-clock.ts";
import { FakePartition } from "./support/fake-partition.ts";

const bot: BotId = toBotId(1);

/** Lanes, their bodies, and a partition that `add` fills. */
function shelf(limits = { laneBodiesMax: 16, bodiesMaxBytes: 1_000_000 }) {
  const partition = new FakePartition();
  const home = { partition };
  const lanes = new Lanes({ slotsPerBot: 1e9, slotsTotal: 1e9, slotsReservedPerBot: 0 });
  const bodies = new Bodies(limits);
  lanes.setOpen(bot, true);
  return {
    partition,
    lanes,
    bodies,
    /** Adds an entry of `chat`; `fresh`: its body comes along. */
    add: async (chat: number, fresh = true): Promise<Lane> => {
      partition.add({ bot, update: { update_id: 1 }, receivedAt: 1, lane: toLaneKey(chat), withBody: fresh });
      const [entry] = await partition.next(1);
      if (entry === undefined) throw new Error("the entry that was just added is not handed out");
      const lane = lanes.add(home, bot, entry.lane, entry.seq);
      if (entry.body !== undefined) bodies.keep(lane, entry.seq, entry.body);
      return lane;
    },
    fetch: (lane: Lane): Promise<Fetched> => new Promise((resolve) => bodies.fetch(lane, resolve)),
    finish: (lane: Lane): void => {
      bodies.take(lane);
      lanes.done(lane);
    },
    held: (): number => {
      let sum = 0;
      for (const lane of lanes.line(bot).lanes.values()) {
        sum += (lane.laterBodies?.size ?? 0) + (lane.body === undefined ? 0 : 1);
      }
      return sum;
    },
  };
}

const size = JSON.stringify({ update_id: 1 }).length;

test("a lane keeps at most laneBodiesMax bodies, those that are due first", async () => {
  const { add, held, bodies } = shelf();
  for (let entry = 0; entry < 100; entry++) await add(7);
  expect([held(), bodies.bytes]).toEqual([16, 16 * size]);
});

test("all bodies together stay within bodiesMaxBytes", async () => {
  const { add, held, bodies } = shelf({ laneBodiesMax: 16, bodiesMaxBytes: 10 * size + 1 });
  for (let chat = 0; chat < 30; chat++) await add(chat % 15);
  expect([held(), bodies.bytes]).toEqual([10, 10 * size]);
});

test("while 100,000 updates wait, bodies keep to both limits, and in the end none is held", async () => {
  const { add, held, bodies, lanes, finish, fetch } = shelf({ laneBodiesMax: 16, bodiesMaxBytes: 5_000 * size });
  for (let entry = 0; entry < 100_000; entry++) await add(entry % 500);
  expect(lanes.backlog).toBe(100_000);
  expect([held(), bodies.bytes]).toEqual([5_000, 5_000 * size]);
  const open = [...lanes.line(bot).lanes.values()];
  while (open.length > 0) {
    const due = open.filter((lane) => lane.body === undefined);
    await Promise.all(due.map(fetch));
    // Heads about to run are kept whatever the limit says: slots bound them.
    expect(bodies.bytes).toBeLessThanOrEqual((5_000 + open.length) * size);
    for (const lane of open.splice(0)) {
      finish(lane);
      if (lanes.line(bot).lanes.has(lane.key)) open.push(lane);
    }
  }
  expect([lanes.backlog, held(), bodies.bytes]).toEqual([0, 0, 0]);
}, 30_000);

test("a long lane is read laneBodiesMax entries at a time, each body once", async () => {
  const { add, fetch, finish, partition } = shelf();
  let lane = await add(7);
  for (let entry = 1; entry < 1_000; entry++) lane = await add(7);
  let reads = 0;
  for (let entry = 0; entry < 1_000; entry++) {
    if (lane.body === undefined) {
      reads++;
      expect(await fetch(lane)).toEqual({ kind: "fetched" });
    }
    finish(lane);
    // Ever new entries at the far end must not take the room of those that are due.
    await add(7);
  }
  expect(new Set(partition.fetched).size).toBe(partition.fetched.length);
  expect(reads).toBeLessThanOrEqual(Math.ceil(1_000 / 16));
});

test("lanes that ask together share one read", async () => {
  const { add, fetch, partition } = shelf();
  const lanes = [await add(7, false), await add(8, false), await add(9, false)];
  let reads = 0;
  const read = partition.bodies.bind(partition);
  partition.bodies = (seqs) => {
    reads++;
    return read(seqs);
  };
  await Promise.all(lanes.map(fetch));
  expect(reads).toBe(1);
  expect(lanes.map((lane) => lane.body?.updateId)).toEqual([1, 1, 1]);
});

test("above half of bodiesMaxBytes only the body that is due is read", async () => {
  const { add, fetch, partition } = shelf({ laneBodiesMax: 16, bodiesMaxBytes: 10 * size });
  for (let chat = 0; chat < 6; chat++) await add(chat);
  const lane = await add(100, false);
  for (let entry = 0; entry < 5; entry++) await add(100, false);
  await fetch(lane);
  expect(partition.fetched).toEqual([lane.head]);
});

test("bodies read ahead keep to bodiesMaxBytes as well, and those at hand are not read again", async () => {
  const { add, fetch, bodies, partition, held } = shelf({ laneBodiesMax: 16, bodiesMaxBytes: 10 * size });
  const lane = await add(7, false);
  await add(7, true);
  for (let entry = 0; entry < 14; entry++) await add(7, false);
  await fetch(lane);
  expect([held(), bodies.bytes]).toEqual([10, 10 * size]);
  expect(partition.fetched).not.toContain(lane.first(2)[1] as Seq);
});

test("a head whose body cannot be read is told so, each lane once, and the next try may succeed", async () => {
  const { add, bodies, fetch, partition } = shelf();
  const lanes = [await add(7, false), await add(8, false)];
  const ends: Fetched[] = [];
  const error = new Error("disk");
  partition.fail("bodies", error);
  for (const lane of lanes) bodies.fetch(lane, (end) => void ends.push(end));
  await settled();
  expect(ends).toEqual([
    { kind: "failed", error },
    { kind: "failed", error },
  ]);
  partition.fail("bodies", undefined);
  expect(await fetch(lanes[0] as Lane)).toEqual({ kind: "fetched" });
});

test("an entry that the inbox no longer has is absent", async () => {
  const { add, fetch, partition } = shelf();
  const lane = await add(7, false);
  await partition.settle(lane.head, { kind: "done", how: "handled" });
  expect(await fetch(lane)).toEqual({ kind: "absent" });
});
