import { expect, test } from "bun:test";
import fc from "fast-check";
import { toBotId, toLaneKey, toSeq } from "../src/ids.ts";
import { type Lane, type LaneLimits, Lanes } from "../src/lanes.ts";
import { FakePartition } from "./support/fake-partition.ts";

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
      const home = { partition: new FakePartition() };
      const model = new Model(limits);
      const working: Lane[] = [];
      const paused: Lane[] = [];
      const waiting: Lane[] = [];
      const pick = (from: Lane[], at: number): Lane | undefined => from.splice(at % Math.max(1, from.length), 1)[0];
      for (const now of steps) {
        if (now.kind === "add") {
          lanes.add(home, toBotId(now.bot), toLaneKey(now.chat), toSeq(model.add(now.bot, now.chat)));
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
