import { expect, test } from "bun:test";
import { toBotId, toLaneKey, toSeq } from "../src/ids.ts";
import { Fifo, type Lane, type LaneLimits, Lanes } from "../src/lanes.ts";
import { FakePartition } from "./support/fake-partition.ts";

const roomy: LaneLimits = { slotsPerBot: 100, slotsTotal: 100, slotsReservedPerBot: 0 };

/** Lanes with open bots; `add` numbers entries by itself. */
function opened(limits: LaneLimits, bots: number) {
  const lanes = new Lanes(limits);
  for (let bot = 1; bot <= bots; bot++) lanes.setOpen(toBotId(bot), true);
  let seq = 0;
  const home = { partition: new FakePartition() };
  return {
    lanes,
    add: (bot: number, chat: number): number => {
      lanes.add(home, toBotId(bot), toLaneKey(chat), toSeq(++seq));
      return seq;
    },
    finish: (lane: Lane): void => {
      lanes.giveSlot(lane);
      lanes.done(lane);
    },
  };
}

function takeAll(lanes: Lanes): Lane[] {
  const taken: Lane[] = [];
  for (let lane = lanes.take(); lane !== undefined; lane = lanes.take()) taken.push(lane);
  return taken;
}

const names = (taken: readonly Lane[]): string[] => taken.map((lane) => `${lane.line.bot}/${lane.key}`);

test("entries of a lane come one at a time and in order, lanes side by side", () => {
  const { lanes, add, finish } = opened(roomy, 1);
  for (const chat of [7, 7, 8, 7]) add(1, chat);
  const [seven, eight] = takeAll(lanes) as [Lane, Lane];
  expect([seven.head, eight.head]).toEqual([toSeq(1), toSeq(3)]);
  expect(lanes.take()).toBeUndefined();
  finish(seven);
  expect(lanes.take()?.head).toBe(toSeq(2));
  finish(seven);
  expect(lanes.take()?.head).toBe(toSeq(4));
  finish(seven);
  finish(eight);
  expect([lanes.backlog, lanes.working, lanes.line(toBotId(1)).lanes.size]).toEqual([0, 0, 0]);
});

test("a lane that waits lets nothing of its chat through, and gives its slot to others", () => {
  const { lanes, add } = opened({ ...roomy, slotsPerBot: 1 }, 1);
  for (const chat of [7, 7, 8]) add(1, chat);
  const seven = lanes.take() as Lane;
  lanes.wait(seven);
  lanes.giveSlot(seven);
  expect(names(takeAll(lanes))).toEqual(["1/8"]);
  lanes.giveSlot(seven);
  lanes.queue(seven);
  expect(lanes.take()?.head).toBe(toSeq(1));
});

test("a chat with 1,000 waiting entries takes one slot, and each other chat has its turn before its second entry", () => {
  const { lanes, add, finish } = opened({ ...roomy, slotsPerBot: 2, slotsTotal: 2 }, 1);
  for (let entry = 0; entry < 1_000; entry++) add(1, 7);
  const flood = lanes.take() as Lane;
  expect(lanes.take()).toBeUndefined();
  for (const chat of [8, 9, 10]) add(1, chat);
  const order: string[] = [];
  let working = [flood, ...takeAll(lanes)];
  for (let step = 0; step < 5; step++) {
    finish(working.shift() as Lane);
    const next = takeAll(lanes);
    order.push(...names(next));
    working = [...working, ...next];
  }
  expect(order.slice(0, 3)).toEqual(["1/9", "1/10", "1/7"]);
});

test("bots take turns whatever they have waiting", () => {
  const { lanes, add, finish } = opened({ ...roomy, slotsTotal: 1 }, 3);
  for (let chat = 1; chat <= 50; chat++) add(1, chat);
  for (const bot of [2, 3]) for (let chat = 1; chat <= 3; chat++) add(bot, chat);
  const order: number[] = [];
  for (let lane = lanes.take(); lane !== undefined && order.length < 9; lane = lanes.take()) {
    order.push(lane.line.bot);
    finish(lane);
  }
  for (const bot of [1, 2, 3]) expect(order.filter((taken) => taken === bot)).toHaveLength(3);
});

test("a bot has at most slotsPerBot lanes at work", () => {
  const { lanes, add, finish } = opened({ ...roomy, slotsPerBot: 3 }, 1);
  for (let chat = 1; chat <= 10; chat++) add(1, chat);
  const taken = takeAll(lanes);
  expect(taken).toHaveLength(3);
  finish(taken[0] as Lane);
  expect(takeAll(lanes)).toHaveLength(1);
});

test("ten bots whose lanes never end leave an eleventh its reserved slots, and no more", () => {
  const { lanes, add } = opened({ slotsPerBot: 500, slotsTotal: 4_000, slotsReservedPerBot: 4 }, 11);
  for (let bot = 1; bot <= 10; bot++) for (let chat = 1; chat <= 600; chat++) add(bot, chat);
  takeAll(lanes);
  expect(lanes.working).toBeGreaterThanOrEqual(4_000);
  for (let chat = 1; chat <= 6; chat++) add(11, chat);
  expect(names(takeAll(lanes))).toEqual(["11/1", "11/2", "11/3", "11/4"]);
});

test("a slot that comes free goes to the bot that has waited longest for one", () => {
  const { lanes, add, finish } = opened({ ...roomy, slotsTotal: 2 }, 3);
  for (let chat = 1; chat <= 5; chat++) add(1, chat);
  const working = takeAll(lanes);
  add(2, 1);
  add(3, 1);
  expect(lanes.take()).toBeUndefined();
  const order: string[] = [];
  for (let end = 0; end < 4; end++) {
    finish(working.shift() as Lane);
    const next = takeAll(lanes);
    order.push(...names(next));
    working.push(...next);
  }
  expect(order).toEqual(["1/3", "2/1", "3/1", "1/4"]);
});

test("a slot offered to a bot that is closed meanwhile goes to the next that waits", () => {
  const { lanes, add, finish } = opened({ ...roomy, slotsTotal: 1 }, 3);
  for (const bot of [1, 2, 3]) add(bot, 1);
  const first = lanes.take() as Lane;
  expect(lanes.take()).toBeUndefined();
  finish(first);
  lanes.setOpen(toBotId(2), false);
  expect(names(takeAll(lanes))).toEqual(["3/1"]);
});

test("a closed bot keeps its order, and goes on when it is opened", () => {
  const { lanes, add } = opened(roomy, 1);
  lanes.setOpen(toBotId(1), false);
  for (const chat of [7, 8, 7]) add(1, chat);
  expect(lanes.take()).toBeUndefined();
  lanes.setOpen(toBotId(1), true);
  expect(takeAll(lanes).map((lane) => lane.head)).toEqual([toSeq(1), toSeq(2)]);
});

test("a lane that is always a little behind keeps no ids that are done", () => {
  const { lanes, add, finish } = opened(roomy, 1);
  add(1, 7);
  const lane = lanes.take() as Lane;
  for (let entry = 0; entry < 10_000; entry++) {
    add(1, 7);
    add(1, 7);
    finish(lane);
    expect(lanes.take()).toBe(lane);
    if (entry % 2 === 1) for (let more = 0; more < 2; more++) finish(lanes.take() ?? lane);
    if (lane.state === "ready") lanes.take();
  }
  expect(lane["later"]?.length ?? 0).toBeLessThan(lane.size + 130);
});

test("a queue gives out what was put in, in order, and forgets what it gave out", () => {
  const queue = new Fifo<number>();
  for (let item = 0; item < 5_000; item++) {
    queue.push(item);
    if (item >= 3) expect(queue.shift()).toBe(item - 3);
  }
  expect(queue.size).toBe(3);
  expect(queue["items"].length).toBeLessThan(2_100);
  for (const item of [4_997, 4_998, 4_999, undefined, undefined]) expect(queue.shift()).toBe(item as number);
});

test("lanes that are removed and come again while their bot is held do not gather in its line", () => {
  const { lanes, add } = opened(roomy, 1);
  const line = lanes.line(toBotId(1));
  lanes.setOpen(toBotId(1), false);
  for (let time = 0; time < 50; time++) {
    for (let chat = 1; chat <= 1_000; chat++) add(1, chat);
    if (time < 49) for (const lane of line.lanes.values()) lanes.remove(lane);
  }
  expect(line.ready.size).toBeLessThan(5_000);
  lanes.setOpen(toBotId(1), true);
  expect(takeAll(lanes).map(({ key }) => Number(key))).toEqual(Array.from({ length: 100 }, (_, at) => at + 1));
});
