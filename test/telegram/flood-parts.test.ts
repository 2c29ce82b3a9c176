/** The parts that flood control is made of. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Blocks } from "../../src/telegram/flood-blocks.ts";
import { createFloodCall } from "../../src/telegram/flood-call.ts";
import { Heap } from "../../src/telegram/flood-heap.ts";
import type { Ranked } from "../../src/telegram/flood-heap.ts";
import { RecoveryPace } from "../../src/telegram/flood-pace.ts";
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
  /** What is told of: a call let through as the `passed`-th, refused until `until` or accepted. */
  const play = (steps: readonly [chat: number, passed: number, until: number | "accepted", now?: number][]) => {
    const suspicion = new Suspicion();
    let latest = 0;
    return steps.map(([chat, passed, until, now = 0]) => {
      const call = createFloodCall("sendMessage", { chat_id: chat }, "reply");
      Object.assign(call, { passed, wasQuiet: true });
      latest = Math.max(latest, passed);
      if (until !== "accepted") return suspicion.refused(call, until, latest, now);
      suspicion.accepted(call);
      return undefined;
    });
  };
  const four = [1, 2, 3, 4].map((at): [number, number, number] => [at, at, 9_000]);

  test("is known by the fifth chat", () => {
    expect(play([...four, [5, 5, 8_500]])).toEqual([undefined, undefined, undefined, undefined, 8_500]);
    expect(play([...four, [4, 5, 9_000]]).at(-1)).toBeUndefined();
  });

  test("is none where a message was accepted that was sent after the first refusal, and one sent before says nothing", () => {
    expect(play([...four, [9, 5, "accepted"], [5, 6, 9_000]]).at(-1)).toBeUndefined();
    expect(play([...four, [9, 1, "accepted"], [5, 6, 9_000]]).at(-1)).toBe(9_000);
  });

  test("is none where the refusals before are over", () => {
    expect(play([...four, [5, 5, 20_000, 9_000]]).at(-1)).toBeUndefined();
    expect(play([...four, [5, 5, 20_000, 8_999]]).at(-1)).toBe(9_000);
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
