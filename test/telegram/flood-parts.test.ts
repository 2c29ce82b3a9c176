/** The parts that flood control is made of. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Blocks } from "../../src/telegram/flood-blocks.ts";
import { createFloodCall } from "../../src/telegram/flood-call.ts";
import { Heap } from "../../src/telegram/flood-heap.ts";
import type { Ranked } from "../../src/telegram/flood-heap.ts";
import { RecoveryPace, RetryPace } from "../../src/telegram/flood-pace.ts";
import { Schedules } from "../../src/telegram/flood-schedule.ts";
import { Suspicion } from "../../src/telegram/flood-suspicion.ts";
import { ChatWaits } from "../../src/telegram/flood-waits.ts";
import type { Wait } from "../../src/telegram/flood-waits.ts";

describe("a call", () => {
  const call = (method: string, payload: object) => createFloodCall(method, payload, "reply");

  test.each([
    [{ chat_id: 5 }, 5, false],
    [{ chat_id: "5" }, 5, false],
    [{ chat_id: -1_001_234_567_890 }, -1_001_234_567_890, true],
    [{ chat_id: "-100" }, -100, true],
    [{ chat_id: "@Durov" }, "@durov", true],
    [{ chat_id: `@${"a".repeat(500)}` }, `@${"a".repeat(63)}`, true],
  ] as const)("to %j knows its chat", (payload, chat, isGroup) => {
    expect(call("sendMessage", payload)).toMatchObject({ chat, isGroup, sends: true });
  });

  test.each([{}, { chat_id: null }, { chat_id: "" }, { chat_id: {} }, { inline_message_id: "x" }])(
    "with %j has no chat and sends nothing",
    (payload) => {
      expect(call("sendMessage", payload)).toMatchObject({ chat: undefined, sends: false });
    },
  );

  test.each([
    ["sendMessage", true],
    ["sendPhoto", true],
    ["sendMediaGroup", true],
    ["copyMessages", true],
    ["forwardMessage", true],
    ["editMessageText", true],
    ["sendChatAction", false],
    ["sendMessageDraft", false],
    ["deleteMessage", false],
    ["getChat", false],
    ["answerCallbackQuery", false],
    ["editForumTopic", false],
    ["banChatMember", false],
  ])("of %s puts a message into its chat: %p", (method, sends) => {
    expect(call(method, { chat_id: 5 }).sends).toBe(sends);
  });
});

describe("schedules", () => {
  test("remember every chat that is not at rest, and nothing for ever", () => {
    const steps = fc.array(
      fc.record({ chat: fc.nat(9), afterMs: fc.nat(1_500), times: fc.integer({ min: 1, max: 5 }) }),
      {
        maxLength: 80,
        size: "max",
      },
    );
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 6 }), (sequence, burst) => {
        const schedules = new Schedules({ intervalMs: 700, burst, chatsMax: 1_000 });
        const known = new Map<number, number>();
        let now = 5_000;
        for (const { chat, afterMs, times } of sequence) {
          now += afterMs;
          for (let at = 0; at < times; at++) {
            const restAt = known.get(chat) ?? 0;
            expect(Math.max(now, schedules.restAt(chat))).toBe(Math.max(now, restAt));
            if (restAt - schedules.slackMs > now) break;
            schedules.count(chat, restAt, now);
            known.set(chat, Math.max(now, restAt) + 700);
          }
        }
        now += 20_000;
        schedules.count(100, 0, now);
        expect(schedules.size).toBe(1);
      }),
    );
  });

  test("remember a chat until it is at rest, wherever in the life of others it was written to", () => {
    for (let writtenAt = 0; writtenAt < 12_000; writtenAt += 100) {
      const schedules = new Schedules({ intervalMs: 1_000, burst: 5, chatsMax: 1_000 });
      for (let now = 0; now < writtenAt + 5_000; now += 100) {
        schedules.count(2, 0, now);
        if (now === writtenAt) for (let at = 0; at < 5; at++) schedules.count(1, schedules.restAt(1), now);
        if (now >= writtenAt) expect([now, schedules.restAt(1)]).toEqual([now, writtenAt + 5_000]);
      }
    }
  });

  test("hold as many chats as they were told to, those touched last", () => {
    const schedules = new Schedules({ intervalMs: 1_000, burst: 5, chatsMax: 100 });
    for (let chat = 0; chat < 1_000; chat++) schedules.count(chat, 0, 5);
    expect(schedules.size).toBeLessThanOrEqual(100);
    expect(schedules.size).toBeGreaterThanOrEqual(50);
    expect(schedules.restAt(999)).toBe(1_005);
    expect(schedules.restAt(950)).toBe(1_005);
    expect(schedules.restAt(0)).toBe(0);
  });
});

describe("blocks", () => {
  test("end with the latest of their ends and are forgotten after it", () => {
    const blocks = new Blocks(100, 50);
    blocks.add(1, 1_000, 0);
    blocks.add(1, 500, 0);
    blocks.add(2, 700, 0);
    expect([blocks.until(1, 0), blocks.until(2, 1_049), blocks.until(3, 0)]).toEqual([1_000, 700, 0]);
    expect([blocks.until(1, 1_050), blocks.size]).toEqual([0, 0]);
  });

  test("are swept while others are added, and never more than they may be", () => {
    const blocks = new Blocks(1_000, 50);
    blocks.add("long", 1e9, 0);
    for (let at = 0; at < 10_000; at++) blocks.add(at, at + 10, at);
    expect(blocks.size).toBeLessThan(300);
    expect(blocks.until("long", 10_000)).toBe(1e9);
    for (let at = 0; at < 5_000; at++) blocks.add(at, 1e9, 10_000);
    expect(blocks.size).toBe(1_000);
    expect(blocks.until(4_999, 10_000)).toBe(1e9);
  });
});

describe("a 429 of the bot", () => {
  type Told = readonly [chat: number, passed: number, at: number, until: number | "accepted"];

  /** Tells of calls, each let through as the `passed`-th at `at` and answered at once; what was said of the last. */
  const play = (...steps: readonly Told[]): number | undefined => {
    const suspicion = new Suspicion();
    let [latest, said]: [number, number | undefined] = [0, undefined];
    for (const [chat, passed, at, until] of steps) {
      const call = createFloodCall("sendMessage", { chat_id: chat }, "reply");
      Object.assign(call, { passed, passedAt: at, wasQuiet: true });
      latest = Math.max(latest, passed);
      if (until === "accepted") suspicion.accepted(call);
      else said = suspicion.refused(call, until, latest, at);
    }
    return said;
  };
  const refusals = (from: number, count: number, at: number, until = 90_000): Told[] =>
    Array.from({ length: count }, (_, index) => [from + index, from + index, at, until]);

  test("is known when five chats were refused, and five a second later", () => {
    expect(play(...refusals(1, 9, 0), ...refusals(10, 4, 1_000))).toBeUndefined();
    expect(play(...refusals(1, 9, 0), ...refusals(10, 5, 999))).toBeUndefined();
    expect(play(...refusals(1, 4, 0), ...refusals(5, 5, 1_000))).toBeUndefined();
    expect(play(...refusals(1, 9, 0), ...refusals(10, 4, 1_000), [13, 14, 1_000, 90_000])).toBeUndefined();
    expect(play(...refusals(1, 5, 0), ...refusals(6, 5, 1_000))).toBe(90_000);
    expect(play(...refusals(1, 5, 0), ...refusals(6, 5, 30_000))).toBe(90_000);
    expect(play([1, 1, 0, 80_000], ...refusals(2, 4, 0), ...refusals(6, 5, 1_000))).toBe(80_000);
  });

  test("is none where no fewer were accepted that were sent after the first refusal; those sent before say nothing", () => {
    const accepted = (count: number, passed: number, at: number): Told[] =>
      Array.from({ length: count }, () => [900, passed, at, "accepted"]);
    const first = refusals(2, 5, 0);
    const second = refusals(50, 5, 1_000);
    expect(play(...first, ...accepted(4, 10, 500), ...second)).toBe(90_000);
    expect(play(...first, ...accepted(5, 10, 500), ...second)).toBeUndefined();
    expect(play(...first, ...accepted(50, 1, 500), ...second)).toBe(90_000);
    expect(play(...first, ...accepted(4, 60, 1_000), ...second)).toBe(90_000);
    expect(play(...first, ...accepted(5, 60, 1_000), ...second)).toBeUndefined();
  });

  test("is none where the refusals were all on their way when the first came", () => {
    const late = refusals(2, 50, 0).map(([chat, , at, until]): Told => [chat, 50, at, until]);
    expect(play([1, 50, 0, 90_000], ...late, ...refusals(60, 5, 1_000))).toBeUndefined();
  });

  test("is none where the refusals before are over", () => {
    expect(play(...refusals(1, 5, 0, 9_000), ...refusals(6, 5, 9_000, 20_000))).toBeUndefined();
    expect(play(...refusals(1, 5, 0, 9_000), ...refusals(6, 5, 8_999, 20_000))).toBe(9_000);
  });

  test("is followed by half of what was accepted in the second before it, or of what the bot may send", () => {
    const pace = new RecoveryPace(30);
    for (let at = 0; at < 80; at++) pace.accepted(1_500);
    pace.accepted(2_001);
    pace.start(3_000, 2_100);
    expect(pace.perSecond(3_000)).toBe(40);
    const idle = new RecoveryPace(30);
    for (let at = 0; at < 80; at++) idle.accepted(1_500);
    idle.accepted(5_001);
    idle.start(6_000, 5_100);
    expect(idle.perSecond(6_000)).toBe(15);
  });

  test("is followed by retries of thirty at once and thirty a second", () => {
    const pace = new RetryPace();
    const at: number[] = [];
    for (let now = 5_000; now < 7_000; now++) {
      for (; pace.nextAt() <= now; pace.count(now)) at.push(now);
    }
    expect(at.filter((each) => each === 5_000)).toHaveLength(30);
    expect(at).toHaveLength(89);
  });

  test("halves the rate again while it recovers, down to one a second", () => {
    const pace = new RecoveryPace(30);
    expect(pace.perSecond(0)).toBe(Infinity);
    for (let at = 0, rate = 15; at < 10; at++, rate = Math.max(1, rate / 2)) {
      pace.start(1_000, 1_000);
      expect(pace.perSecond(1_000)).toBe(rate);
    }
    expect(pace.perSecond(11_000)).toBeCloseTo(1.1 ** 10);
    expect(pace.perSecond(40_000)).toBeCloseTo(1.1 ** 39);
    expect(pace.perSecond(45_000)).toBe(Infinity);
  });
});

test("a heap gives the least first, whatever left it in between", () => {
  const steps = fc.array(fc.record({ rank: fc.nat(50), leaves: fc.nat(5) }), { maxLength: 100, size: "max" });
  fc.assert(
    fc.property(steps, (sequence) => {
      const heap = new Heap<Ranked>();
      const inside: Ranked[] = [];
      for (const { rank, leaves } of sequence) {
        const item = { rank, place: 0 };
        heap.add(item);
        inside.push(item);
        if (leaves > 2) heap.delete(inside.splice((rank * 7) % inside.length, 1)[0] as Ranked);
        expect(heap.first?.rank).toBe(inside.length === 0 ? undefined : Math.min(...inside.map((each) => each.rank)));
      }
      const order: number[] = [];
      for (let first = heap.first; first !== undefined; first = heap.first) {
        order.push(first.rank);
        heap.delete(first);
      }
      expect(order).toEqual(inside.map(({ rank }) => rank).toSorted((a, b) => a - b));
      expect(heap.size).toBe(0);
    }),
  );
});

test("waits of a chat stand in the order of their calls, replies first, whoever joins or leaves", () => {
  const steps = fc.array(
    fc.record({ order: fc.integer({ min: 1, max: 1_000 }), isReply: fc.boolean(), leaves: fc.nat(3) }),
    {
      maxLength: 60,
      size: "max",
    },
  );
  fc.assert(
    fc.property(steps, (sequence) => {
      const chat = new ChatWaits(1);
      let inside: Wait[] = [];
      const sorted = (): Wait[] =>
        inside.toSorted(
          (a, b) => Number(b.call.kind === "reply") - Number(a.call.kind === "reply") || a.call.order - b.call.order,
        );
      for (const { order, isReply, leaves } of sequence) {
        const call = createFloodCall("sendMessage", { chat_id: 1 }, isReply ? "reply" : "broadcast");
        // No two calls have the same place.
        call.order = order + inside.length / 100 + sequence.length;
        if (inside.some((each) => each.call.order === call.order)) continue;
        const wait: Wait = {
          call,
          reason: "chat",
          since: 0,
          resolve: () => {},
          chat,
          unlisten: [],
          before: undefined,
          after: undefined,
        };
        chat.add(wait);
        inside.push(wait);
        if (leaves === 0) {
          const gone = inside[order % inside.length] as Wait;
          chat.delete(gone);
          inside = inside.filter((each) => each !== gone);
        }
        expect(chat.first).toBe(sorted()[0]);
      }
      const left = sorted();
      for (const wait of left) {
        expect(chat.first).toBe(wait);
        chat.delete(wait);
      }
      expect(chat.first).toBeUndefined();
    }),
  );
});
