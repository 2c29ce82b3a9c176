import { expect, test } from "bun:test";
import fc from "fast-check";
import { toBotId, toLaneKey, toSeq } from "../src/ids.ts";
import { Fifo, type Lane, type LaneLimits, Lanes } from "../src/lanes.ts";

const roomy: LaneLimits = { slotsPerBot: 100, slotsTotal: 100, slotsReservedPerBot: 0 };

/** Lanes with open bots; `add` numbers entries by itself. */
function opened(limits: LaneLimits, bots: number) {
  const lanes = new Lanes(limits);
  for (let bot = 1; bot <= bots; bot++) lanes.setOpen(toBotId(bot), true);
  let seq = 0;
  return {
    lanes,
    add: (bot: number, chat: number): number => {
      lanes.add(toBotId(bot), toLaneKey(chat), toSeq(++seq));
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

type Step =
  | { readonly kind: "add"; readonly bot: number; readonly chat: number }
  | { readonly kind: "take" | "finish" | "wait" | "wake" | "pause" | "resume"; readonly at: number }
  | { readonly kind: "open"; readonly bot: number; readonly open: boolean };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("add" as const), bot: fc.nat(3), chat: fc.nat(4) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom(...(["take", "take", "finish", "wait", "wake", "pause", "resume"] as const)),
      at: fc.nat(20),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("open" as const), bot: fc.nat(3), open: fc.boolean() }) },
);

const someLimits = fc.record({
  slotsPerBot: fc.integer({ min: 1, max: 3 }),
  slotsTotal: fc.integer({ min: 1, max: 5 }),
  slotsReservedPerBot: fc.nat(2),
});

/** The same by the dumbest means: arrays searched from the front. */
class Model {
  readonly chats = new Map<string, { bot: number; seqs: number[]; state: "ready" | "working" | "waiting" }>();
  readonly open = new Set<number>();
  readonly slots = new Map<number, number>();
  readonly limits: LaneLimits;
  /** Takes that went by a bot while it could have started something, since it last did or had nothing to start. */
  readonly passedBy = new Map<number, number>();
  private seq = 0;

  constructor(limits: LaneLimits) {
    this.limits = limits;
  }

  add(bot: number, chat: number): number {
    const name = `${bot}/${chat}`;
    const known = this.chats.get(name);
    if (known === undefined) this.chats.set(name, { bot, seqs: [++this.seq], state: "ready" });
    else known.seqs.push(++this.seq);
    return this.seq;
  }

  working(bot?: number): number {
    let sum = 0;
    for (const [of, taken] of this.slots) if (bot === undefined || of === bot) sum += taken;
    return sum;
  }

  slot(bot: number, by: 1 | -1): void {
    this.slots.set(bot, this.working(bot) + by);
  }

  /** Bots that may start a lane now; `anyway`: that could if there were slots enough for all. */
  mayStart(anyway = false): number[] {
    const { slotsPerBot, slotsTotal, slotsReservedPerBot } = this.limits;
    const bots = new Set<number>();
    for (const { bot, state } of this.chats.values()) {
      if (state !== "ready" || !this.open.has(bot) || this.working(bot) >= slotsPerBot) continue;
      if (anyway || this.working() < slotsTotal || this.working(bot) < slotsReservedPerBot) bots.add(bot);
    }
    return [...bots];
  }
}

function takeBoth(lanes: Lanes, model: Model): Lane | undefined {
  const could = model.mayStart();
  const wanted = model.mayStart(true);
  const lane = lanes.take();
  if (lane === undefined) {
    expect(could).toEqual([]);
    return undefined;
  }
  const bot = Number(lane.line.bot);
  expect(could).toContain(bot);
  for (const other of model.passedBy.keys()) if (!wanted.includes(other)) model.passedBy.delete(other);
  for (const other of could) model.passedBy.set(other, other === bot ? 0 : (model.passedBy.get(other) ?? 0) + 1);
  for (const times of model.passedBy.values()) expect(times).toBeLessThanOrEqual(2 * 3);
  const chat = model.chats.get(`${bot}/${lane.key}`);
  expect([chat?.state, chat?.seqs[0]]).toEqual(["ready", lane.head]);
  if (chat !== undefined) chat.state = "working";
  model.slot(bot, 1);
  return lane;
}

function finishBoth(lanes: Lanes, model: Model, lane: Lane): void {
  const name = `${lane.line.bot}/${lane.key}`;
  const chat = model.chats.get(name);
  expect(chat?.seqs.shift()).toBe(lane.head);
  if (chat !== undefined && chat.seqs.length > 0) chat.state = "ready";
  else model.chats.delete(name);
  model.slot(lane.line.bot, -1);
  lanes.giveSlot(lane);
  lanes.done(lane);
}

test("lanes do what a naive model does: nothing lost, doubled, out of order, out of bounds or left waiting beside a free slot", () => {
  fc.assert(
    fc.property(someLimits, fc.array(step, { maxLength: 300, size: "max" }), (limits, steps) => {
      const lanes = new Lanes(limits);
      const model = new Model(limits);
      const working: Lane[] = [];
      const paused: Lane[] = [];
      const waiting: Lane[] = [];
      const pick = (from: Lane[], at: number): Lane | undefined => from.splice(at % Math.max(1, from.length), 1)[0];
      for (const now of steps) {
        if (now.kind === "add") {
          lanes.add(toBotId(now.bot), toLaneKey(now.chat), toSeq(model.add(now.bot, now.chat)));
        } else if (now.kind === "open") {
          lanes.setOpen(toBotId(now.bot), now.open);
          if (now.open) model.open.add(now.bot);
          else model.open.delete(now.bot);
        } else if (now.kind === "take") {
          const lane = takeBoth(lanes, model);
          if (lane !== undefined) working.push(lane);
        } else if (now.kind === "wake") {
          const lane = pick(waiting, now.at);
          if (lane === undefined) continue;
          (model.chats.get(`${lane.line.bot}/${lane.key}`) as { state: string }).state = "ready";
          lanes.queue(lane);
        } else if (now.kind === "resume") {
          const lane = pick(paused, now.at);
          if (lane === undefined) continue;
          model.slot(lane.line.bot, 1);
          lanes.takeSlot(lane);
          working.push(lane);
        } else {
          const lane = pick(working, now.at);
          if (lane === undefined) continue;
          if (now.kind === "finish") {
            finishBoth(lanes, model, lane);
            continue;
          }
          model.slot(lane.line.bot, -1);
          if (now.kind === "wait") {
            (model.chats.get(`${lane.line.bot}/${lane.key}`) as { state: string }).state = "waiting";
            lanes.wait(lane);
            waiting.push(lane);
          } else {
            paused.push(lane);
          }
          lanes.giveSlot(lane);
        }
        expect([lanes.working, lanes.backlog]).toEqual([
          model.working(),
          [...model.chats.values()].reduce((sum, chat) => sum + chat.seqs.length, 0),
        ]);
      }
      for (const bot of [0, 1, 2, 3]) {
        model.open.add(bot);
        lanes.setOpen(toBotId(bot), true);
      }
      for (const lane of waiting.splice(0)) {
        (model.chats.get(`${lane.line.bot}/${lane.key}`) as { state: string }).state = "ready";
        lanes.queue(lane);
      }
      for (const lane of paused.splice(0)) {
        model.slot(lane.line.bot, 1);
        lanes.takeSlot(lane);
        working.push(lane);
      }
      for (;;) {
        for (let lane = takeBoth(lanes, model); lane !== undefined; lane = takeBoth(lanes, model)) working.push(lane);
        const lane = working.shift();
        if (lane === undefined) break;
        finishBoth(lanes, model, lane);
      }
      expect([lanes.backlog, lanes.working, model.chats.size]).toEqual([0, 0, 0]);
    }),
    { numRuns: 500 },
  );
});
