/** Whatever is called and whenever: what flood control lets through, against token buckets that know nothing of its workings. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ChatKey, FloodKind } from "../../src/telegram/flood-call.ts";
import { FloodRig, usual } from "./flood-rig.ts";
import type { Limits, Made } from "./flood-rig.ts";

interface Step {
  readonly afterMs: number;
  readonly chat: ChatKey;
  readonly kind: FloodKind;
  /** Telegram refuses this chat for so long from now on. */
  readonly blockMs: number;
}

const stepOf = (chats: readonly ChatKey[], blocks: boolean): fc.Arbitrary<Step> =>
  fc.record({
    afterMs: fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(0, 0, 0, 0, 0, 1, 7, 250, 999, 1_000, 3_001) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
      // A machine that slept.
      { weight: 1, arbitrary: fc.constant(3_600_000) },
    ),
    chat: fc.constantFrom(...chats),
    kind: fc.constantFrom("reply" as const, "reply" as const, "broadcast" as const),
    blockMs: blocks
      ? fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 59_000 }))
      : fc.constant(0),
  });

const someLimits: fc.Arbitrary<Limits> = fc.oneof(
  fc.constant(usual),
  fc.record({
    engine: fc.constant("built-in" as const),
    chatPerSecond: fc.constantFrom(0.3, 1, 3, 20),
    chatBurst: fc.integer({ min: 1, max: 6 }),
    groupPerMinute: fc.constantFrom(0.7, 1, 3, 20, 100),
    broadcastPerSecond: fc.constantFrom(0.5, 3, 30, 1_000),
  }),
);

/** Timers have whole milliseconds. */
const exactMs = 1.01;
const rounding = 1e-7;

/** Tokens drip in; a message takes one. */
class Bucket {
  private readonly perMs: number;
  readonly depth: number;
  private level: number;
  private at = 0;

  constructor(perMs: number, depth: number) {
    this.perMs = perMs;
    this.depth = depth;
    this.level = depth;
  }

  tokens(at: number): number {
    return Math.min(this.depth, this.level + Math.max(0, at - this.at) * this.perMs);
  }

  take(at: number, floor = -Infinity): void {
    const tokens = this.tokens(at);
    this.set(Math.max(tokens - 1, Math.min(tokens, floor)), at);
  }

  set(level: number, at: number): void {
    this.level = level;
    this.at = at;
  }
}

class Model {
  private readonly limits: Limits;
  private readonly buckets = new Map<ChatKey, Bucket[]>();
  private readonly blocked = new Map<ChatKey, number>();
  private readonly bulk: Bucket;
  /** Broadcasts alone. */
  readonly broadcasts: Bucket;
  private lastBroadcastAt = -Infinity;

  constructor(limits: Limits) {
    this.limits = limits;
    const perMs = limits.broadcastPerSecond / 1_000;
    this.bulk = new Bucket(perMs, 1 + 20 * perMs);
    this.broadcasts = new Bucket(perMs, 1 + 20 * perMs);
  }

  /** The limits of a chat and, where it is one, of a group. */
  of(chat: ChatKey): Bucket[] {
    const known = this.buckets.get(chat);
    if (known !== undefined) return known;
    const { chatPerSecond, chatBurst, groupPerMinute } = this.limits;
    const all = [new Bucket(chatPerSecond / 1_000, chatBurst)];
    if (typeof chat === "string" || chat < 0)
      all.push(new Bucket(groupPerMinute / 60_000, Math.max(1, groupPerMinute)));
    this.buckets.set(chat, all);
    return all;
  }

  isWithin(chat: ChatKey, at: number): boolean {
    return at >= this.blockedUntil(chat) && this.of(chat).every((bucket) => bucket.tokens(at) >= 1 - rounding);
  }

  blockedUntil(chat: ChatKey): number {
    return this.blocked.get(chat) ?? 0;
  }

  mayGo(chat: ChatKey, kind: FloodKind, at: number): boolean {
    if (!this.isWithin(chat, at)) return false;
    if (kind === "reply") return true;
    // One token is the replies'.
    const spared = this.of(chat).every(
      ({ depth }, index) => (this.of(chat)[index] as Bucket).tokens(at) >= Math.min(2, depth) - rounding,
    );
    const { broadcastPerSecond } = this.limits;
    const starved = at >= this.lastBroadcastAt + 10_000 / broadcastPerSecond;
    return spared && (starved || this.bulk.tokens(at) >= 1 - rounding);
  }

  went(chat: ChatKey, kind: FloodKind, at: number): void {
    for (const bucket of this.of(chat)) bucket.take(at);
    if (kind === "broadcast") {
      this.bulk.take(at);
      this.broadcasts.take(at);
      this.lastBroadcastAt = at;
    } else this.bulk.take(at, this.bulk.depth - this.limits.broadcastPerSecond);
  }

  refused(chat: ChatKey, until: number): void {
    this.blocked.set(chat, Math.max(until, this.blockedUntil(chat)));
    // The burst is used up.
    for (const bucket of this.of(chat)) bucket.set(Math.min(1, bucket.tokens(until)), until);
  }
}

async function play(steps: readonly Step[], limits: Limits): Promise<FloodRig> {
  const rig = new FloodRig(limits);
  const refusedUntil = new Map<ChatKey, number>();
  rig.telegram = (chat, now) => {
    const leftMs = (refusedUntil.get(chat ?? "") ?? 0) - now;
    return leftMs <= 0 ? 0 : Math.ceil(leftMs / 1_000) * 1_000;
  };
  for (const { afterMs, chat, kind, blockMs } of steps) {
    if (afterMs > 0) await rig.clock.advance(afterMs);
    if (blockMs > 0) {
      refusedUntil.set(chat, rig.clock.monotonic() + blockMs);
      rig.clock.jumpWall(-blockMs);
    }
    rig.make(chat, kind);
  }
  await rig.finish();
  return rig;
}

/** Who is first in each chat. */
function firsts(waiting: Iterable<Made>): Map<ChatKey, Made> {
  const first = new Map<ChatKey, Made>();
  for (const made of waiting) {
    const chat = made.call.chat as ChatKey;
    const known = first.get(chat);
    if (known === undefined || (known.call.kind === "broadcast" && made.call.kind === "reply")) first.set(chat, made);
  }
  return first;
}

function check(rig: FloodRig, limits: Limits): void {
  const model = new Model(limits);
  const waiting = new Set(rig.made);
  let lastAt = 0;
  for (const { made, at, refusedMs, madeSoFar } of rig.went) {
    const { kind } = made.call;
    const chat = made.call.chat as ChatKey;
    // Nobody who might have gone has been left waiting until now.
    const before = at - exactMs;
    if (before > lastAt) {
      for (const [other, first] of firsts([...waiting].filter(({ madeAt }) => madeAt <= before))) {
        expect([other, first.call.kind, before, model.mayGo(other, first.call.kind, before)]).toEqual([
          other,
          first.call.kind,
          before,
          false,
        ]);
      }
    }
    // The limits hold, and so does every retry_after.
    expect([chat, at, model.mayGo(chat, kind, at)]).toEqual([chat, at, true]);
    if (kind === "broadcast") expect(model.broadcasts.tokens(at)).toBeGreaterThan(1 - rounding);
    // In the order of the calls, replies first.
    const inFront = firsts([...waiting].filter(({ call }) => call.order <= madeSoFar)).get(chat);
    expect(inFront).toBe(made);
    model.went(chat, kind, at);
    lastAt = at;
    if (refusedMs > 0) model.refused(chat, at + refusedMs);
    else waiting.delete(made);
  }
  expect(waiting.size).toBe(0);
  expect(rig.flood.status()).toMatchObject({ waitingReplies: 0, waitingBroadcasts: 0, waitingChats: 0 });
  expect(rig.room.waiting).toBe(0);
  expect(rig.clock.pending()).toBe(0);
}

test("limits are kept, nobody waits longer than they demand, and each chat stays in order", async () => {
  const steps = fc.array(stepOf([1, 2, 3, 7_000_000_000, -1, -1_002_000_000_000, "@a"], false), {
    maxLength: 60,
    size: "max",
  });
  await fc.assert(
    fc.asyncProperty(steps, someLimits, async (sequence, limits) => {
      check(await play(sequence, limits), limits);
    }),
    { numRuns: 400 },
  );
}, 60_000);

test("a retry_after holds back its own chat, exactly as long, and nobody else", async () => {
  const steps = fc.array(stepOf([1, 2, -1, "@a"], true), { maxLength: 50, size: "max" });
  await fc.assert(
    fc.asyncProperty(steps, someLimits, async (sequence, limits) => {
      check(await play(sequence, limits), limits);
    }),
    { numRuns: 400 },
  );
}, 60_000);

test("broadcasts to other chats leave every reply as early as it is without them", async () => {
  const replies = fc.array(stepOf([1, 2, -1], false), { maxLength: 30, size: "max" });
  const bulk = fc.array(stepOf([11, 12, -11, "@b"], false), { maxLength: 40, size: "max" });
  await fc.assert(
    fc.asyncProperty(replies, bulk, someLimits, async (some, others, limits) => {
      const alone = await timed([...timeline(some, "reply")], limits);
      const both = await timed([...timeline(some, "reply"), ...timeline(others, "broadcast")], limits);
      expect(both).toEqual(alone);
    }),
    { numRuns: 200 },
  );
}, 60_000);

interface Event {
  readonly at: number;
  readonly chat: ChatKey;
  readonly kind: FloodKind;
}

function* timeline(steps: readonly Step[], kind: FloodKind): Generator<Event> {
  let at = 0;
  for (const { afterMs, chat } of steps) yield { at: (at += afterMs), chat, kind };
}

/** When each reply went. */
async function timed(events: readonly Event[], limits: Limits): Promise<(number | undefined)[]> {
  const rig = new FloodRig(limits);
  for (const { at, chat, kind } of events.toSorted((a, b) => a.at - b.at)) {
    if (at > rig.clock.monotonic()) await rig.clock.advance(at - rig.clock.monotonic());
    rig.make(chat, kind);
  }
  await rig.finish();
  return rig.made.filter(({ call }) => call.kind === "reply").map(({ wentAt }) => wentAt[0]);
}
