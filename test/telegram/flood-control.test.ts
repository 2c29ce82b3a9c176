/** What flood control promises. Longer than other files because the promises of one part belong side by side. */
import { describe, expect, test } from "bun:test";
import type { Clock } from "../../src/clock.ts";
import { createFloodCall } from "../../src/telegram/flood-call.ts";
import { createFloodRoom } from "../../src/telegram/flood-port.ts";
import { settled } from "../support/fake-clock.ts";
import { floodBot, FloodRig, refuseAll } from "./flood-rig.ts";
import type { Made } from "./flood-rig.ts";

const times = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));
const went = (made: readonly Made[]): (number | undefined)[] => made.map(({ wentAt }) => wentAt.at(-1));

describe("the built-in engine", () => {
  test("lets a burst go at once and the rest one a second, without a promise while nothing waits", async () => {
    const rig = new FloodRig();
    const made = times(7, () => rig.make(1));
    expect(went(made)).toEqual([0, 0, 0, 0, 0, undefined, undefined]);
    expect(rig.flood.status()).toEqual({ waitingReplies: 2, waitingBroadcasts: 0, waitingChats: 1, knownChats: 1 });
    await rig.finish();
    expect(went(made)).toEqual([0, 0, 0, 0, 0, 1_000, 2_000]);
    expect(rig.told).toEqual(["reply waited 1000 for chat", "reply waited 2000 for chat"]);
  });

  test("lets twenty messages a minute into a group", async () => {
    const rig = new FloodRig();
    const made = times(30, () => rig.make(-5));
    await rig.finish();
    const at = went(made) as number[];
    expect(at.filter((each) => each < 15_001)).toHaveLength(20);
    expect(at.at(-1)).toBe(30_000);
  });

  test("holds a name and the number of the same chat each on its own", () => {
    const rig = new FloodRig({ chatBurst: 1 });
    expect(went([rig.make(-1_009), rig.make("@news"), rig.make("@other"), rig.make("@NEWS")])).toEqual([
      0,
      0,
      0,
      undefined,
    ]);
  });

  test("lets pass whatever sends nothing, also beside a chat that waits", () => {
    const rig = new FloodRig({ chatBurst: 1 });
    times(3, () => rig.make(1));
    const others = [
      rig.make(undefined, "reply", "answerCallbackQuery"),
      rig.make(1, "reply", "sendChatAction"),
      rig.make(1, "reply", "getChat"),
      rig.make(1, "reply", "deleteMessage"),
    ];
    expect(others.map(({ end }) => end)).toEqual(["sent", "sent", "sent", "sent"]);
  });

  test("lets broadcasts go at their rate over all chats, and replies past them", async () => {
    const rig = new FloodRig();
    const bulk = times(90, (at) => rig.make(1_000 + at, "broadcast"));
    const replies: Made[] = [];
    for (let at = 0; at < 20; at++) {
      await rig.clock.advance(50);
      replies.push(rig.make(at));
    }
    expect(replies.every(({ madeAt, wentAt }) => wentAt[0] === madeAt)).toBe(true);
    await rig.finish();
    const at = went(bulk) as number[];
    expect(at).toEqual(at.toSorted((a, b) => a - b));
    // 90 broadcasts and 20 replies at 30 a second.
    expect(at.at(-1)).toBeGreaterThan(3_500);
    expect(at.at(-1)).toBeLessThan(3_800);
    expect(rig.told.at(-1)).toEndWith("for broadcast");
  });

  test("keeps a trickle of broadcasts where replies use up the whole rate", async () => {
    const rig = new FloodRig();
    const bulk = times(10, (at) => rig.make(1_000_000 + at, "broadcast"));
    for (let at = 0; at < 400; at++) {
      await rig.clock.advance(5);
      rig.make(at);
    }
    const gone = bulk.filter(({ wentAt }) => wentAt.length > 0).length;
    expect(gone).toBeGreaterThanOrEqual(6);
    expect(gone).toBeLessThanOrEqual(8);
  });

  test("lets a broadcast leave room for a reply to the same chat", () => {
    const rig = new FloodRig();
    times(10, () => rig.make(1, "broadcast"));
    expect(rig.make(1).wentAt).toEqual([0]);
  });
});

describe("a 429", () => {
  test("of one chat holds back that chat alone, however often it comes", async () => {
    const rig = new FloodRig();
    rig.telegram = (chat, now) => (chat === 7 && now < 300_000 ? 60_000 : 0);
    const flooded = times(5, () => rig.make(7));
    const others: Made[] = [];
    for (let second = 0; second < 299; second++) {
      await rig.clock.advance(1_000);
      others.push(rig.make(second % 50));
    }
    expect(others.filter(({ call }) => call.chat !== 7).every(({ madeAt, wentAt }) => wentAt[0] === madeAt)).toBe(true);
    await rig.finish();
    expect(flooded.map(({ end }) => end)).toEqual(["sent", "sent", "sent", "sent", "sent"]);
    expect(rig.told.filter((each) => each.includes("refused bot"))).toEqual([]);
  });

  test("of fifty chats is theirs where others get through, however often it comes", async () => {
    const rig = new FloodRig();
    rig.telegram = (chat, now) => (Number(chat) < 50 && now < 55_000 ? 7_000 : 0);
    for (let at = 0; at < 600; at++) {
      for (let chat = 0; chat < 50; chat++) if (at % 70 === chat) rig.make(chat);
      rig.make(1_000 + at);
      await rig.clock.advance(100);
    }
    const others = rig.made.filter(({ call }) => Number(call.chat) >= 1_000);
    expect(others.every(({ madeAt, wentAt }) => wentAt[0] === madeAt)).toBe(true);
    expect(rig.told.filter((each) => each.startsWith("refused")).length).toBeGreaterThan(300);
    expect(rig.told.filter((each) => each.startsWith("refused bot"))).toEqual([]);
  });

  test("of fifty chats at once is theirs also where the next message comes later than a second", async () => {
    const rig = new FloodRig();
    rig.telegram = (chat, now) => (Number(chat) < 50 && now < 55_000 ? 60_000 : 0);
    times(50, (at) => rig.make(at));
    await rig.clock.advance(1_500);
    expect(times(20, (at) => rig.make(1_000 + at)).every(({ end }) => end === "sent")).toBe(true);
  });

  test("of many chats that were all on their way when the first came says nothing of the bot", async () => {
    const rig = new FloodRig();
    rig.answerMs = 50;
    rig.telegram = (chat) => (Number(chat) < 100 && rig.clock.monotonic() < 60_000 ? 60_000 : 0);
    times(100, (at) => rig.make(at));
    await rig.clock.advance(51);
    expect(rig.told).toHaveLength(100);
    expect(went([rig.make(1_000)])).toEqual([51]);
  });

  test("of chats that have just been written to says nothing of the bot", async () => {
    const rig = new FloodRig();
    times(20, (at) => times(3, () => rig.make(at)));
    rig.telegram = refuseAll(60_000);
    for (let chat = 0; chat < 10; chat++) rig.make(chat);
    await rig.clock.advance(1_000);
    for (let chat = 10; chat < 20; chat++) rig.make(chat);
    expect(went([rig.make(1_000)])).toEqual([1_000]);
  });

  test("of five chats and again of five, with none accepted, is the bot's, and is waited out to its earliest end", async () => {
    const rig = new FloodRig();
    await floodBot(rig, 7_500);
    expect(rig.told).toEqual([
      ...Array.from({ length: 5 }, () => "refused chat 8000"),
      ...Array.from({ length: 4 }, () => "refused chat 7000"),
      "refused bot 7000",
    ]);
    const later = times(3, (at) => rig.make(100 + at));
    expect(later.every(({ wentAt }) => wentAt.length === 0)).toBe(true);
    await rig.clock.advance(6_999);
    expect(rig.went).toHaveLength(10);
    await rig.clock.advance(1);
    // Then the oldest first.
    expect(rig.went.slice(10).map(({ made, at }) => [made.call.chat, at])).toEqual([
      [1, 8_000],
      [2, 8_000],
    ]);
    await rig.finish();
    expect(rig.told.at(-1)).toMatch(/^reply waited 7\d\d\d for bot$/);
    expect(rig.made.every(({ end }) => end === "sent")).toBe(true);
  });

  test("of the bot is followed by half its rate, a tenth more each second, and no limit in the end; broadcasts last", async () => {
    const rig = new FloodRig();
    rig.telegram = (chat, now) => (now >= 10_000 && now < 14_000 ? refuseAll(14_000)(chat, now, "") : 0);
    const perSecond: number[] = [];
    let chat = 0;
    const fill = async (seconds: number, each: number): Promise<void> => {
      for (let at = 0; at < seconds * 20; at++) {
        for (let of = 0; of < each / 20; of++) rig.make(++chat);
        await rig.clock.advance(50);
      }
    };
    await fill(14, 100);
    rig.make(++chat, "broadcast");
    const bulk = rig.made.at(-1);
    await fill(45, 100);
    for (const { at } of rig.went) perSecond[Math.floor(at / 1_000)] = (perSecond[Math.floor(at / 1_000)] ?? 0) + 1;
    expect(perSecond[9]).toBe(100);
    expect(perSecond[10]).toBe(100);
    expect(perSecond[11]).toBe(5);
    expect([perSecond[12], perSecond[13]]).toEqual([undefined, undefined]);
    // What a rate that rises from 50 by a tenth a second adds up to.
    for (const [second, count] of perSecond.slice(14, 28).entries()) {
      expect(Math.abs(count - (50 * 1.1 ** second * 0.1) / Math.log(1.1))).toBeLessThan(4);
    }
    expect(perSecond.slice(32).every((count) => count === 100)).toBe(true);
    // All that waited have gone in the end, and replies are held back no longer.
    await rig.clock.advance(1);
    expect(rig.flood.status().waitingReplies).toBe(0);
    expect(rig.make(++chat).wentAt).toHaveLength(1);
    const lastHeld = rig.told.filter((told) => told.startsWith("reply waited")).length;
    expect(rig.told.findIndex((told) => told.startsWith("broadcast waited"))).toBeGreaterThan(lastHeld);
    expect(bulk?.end).toBe("sent");
  });

  test("of a method without a chat holds back that method alone", async () => {
    const rig = new FloodRig();
    rig.telegram = (_chat, now, method) => (method === "setMyName" && now < 50_000 ? 50_000 : 0);
    const named = rig.make(undefined, "reply", "setMyName");
    const again = rig.make(undefined, "reply", "setMyName");
    expect(went([rig.make(undefined, "reply", "setMyCommands"), rig.make(1)])).toEqual([0, 0]);
    await rig.finish();
    expect([named.wentAt, again.wentAt]).toEqual([[0, 50_000], [50_000]]);
    expect(rig.told[0]).toBe("refused method 50000");
  });

  test("of a question about a chat holds back the same question about it, not its messages", () => {
    const rig = new FloodRig();
    rig.telegram = (chat, now, method) => (method === "getChat" && chat === 1 && now === 0 ? 5_000 : 0);
    rig.make(1, "reply", "getChat");
    const [same, other, message] = [rig.make(1, "reply", "getChat"), rig.make(2, "reply", "getChat"), rig.make(1)];
    expect(went([same, other, message])).toEqual([undefined, 0, 0]);
  });

  test("puts the refused call before those that came after it", async () => {
    const rig = new FloodRig({ chatBurst: 2 });
    rig.answerMs = 20;
    rig.telegram = (_chat, now) => (now < 1_000 ? 3_000 : 0);
    const made = times(4, () => rig.make(1));
    await rig.finish();
    expect(went(made)).toEqual([3_020, 4_020, 5_020, 6_020]);
  });

  test("longer than a call waits ends its call and those that wait for the same chat, and no others", async () => {
    const rig = new FloodRig({ chatBurst: 1 });
    const waiting = [rig.make(1), rig.make(1), rig.make(1, "broadcast"), rig.make(2), rig.make(2)];
    rig.telegram = (chat) => (chat === 1 ? 7_200_000 : 0);
    await rig.clock.advance(1_000);
    await settled();
    expect(waiting.map(({ end }) => end)).toEqual(["sent", "later", "later", "sent", "sent"]);
    const next = rig.make(1);
    expect(next.end).toBe("later");
    expect(rig.flood.waitMs(next.call)).toBe(7_200_000);
    expect(rig.clock.pending()).toBe(0);
  });

  test("of the bot longer than a call waits ends all sends that wait", async () => {
    const rig = new FloodRig({ chatBurst: 1, chatPerSecond: 0.1 });
    times(20, (at) => times(2, () => rig.make(100 + at)));
    await rig.clock.advance(500);
    await floodBot(rig, 7_200_000);
    await settled();
    expect(rig.made.filter(({ end }) => end === "later")).toHaveLength(30);
    expect([rig.room.waiting, rig.clock.pending()]).toEqual([0, 0]);
  });
});

describe("a wait", () => {
  test("ends at once when its signal aborts, and leaves nothing behind", async () => {
    const rig = new FloodRig({ chatBurst: 1 });
    const stop = new AbortController();
    const made = times(1_000, (at) =>
      rig.make(at % 100, at % 3 === 0 ? "broadcast" : "reply", "sendMessage", stop.signal),
    );
    stop.abort();
    await settled();
    expect(new Set(made.map(({ end }) => end))).toEqual(new Set(["sent", "ended"]));
    expect(rig.flood.status()).toMatchObject({ waitingReplies: 0, waitingBroadcasts: 0, waitingChats: 0 });
    expect([rig.room.waiting, rig.clock.pending()]).toEqual([0, 0]);
    expect(rig.make(50_000, "reply", "sendMessage", stop.signal).end).toBe("sent");
  });

  test("does not begin where a signal has aborted, and listens to none once it is over", async () => {
    const rig = new FloodRig({ chatBurst: 1 });
    const [aborted, live] = [new AbortController(), new AbortController()];
    aborted.abort();
    rig.make(1);
    const call = createFloodCall("sendMessage", { chat_id: 1 }, "reply");
    expect(await rig.flood.admit(call, [live.signal, aborted.signal])).toBe("ended");
    const held = rig.make(1, "reply", "sendMessage", live.signal);
    await rig.finish();
    live.abort();
    expect([held.end, rig.room.waiting, rig.told.length]).toEqual(["sent", 0, 1]);
  });

  test("that is cut short makes way: those behind it go when it would have gone", async () => {
    const rig = new FloodRig({ chatBurst: 1 });
    const stop = new AbortController();
    rig.make(1);
    rig.make(1, "reply", "sendMessage", stop.signal);
    const behind = [rig.make(1), rig.make(1, "broadcast")];
    await rig.clock.advance(500);
    stop.abort();
    await rig.finish();
    expect(went(behind)).toEqual([1_000, 2_000]);
  });

  test("cut short before a broadcast to the same chat lets replies to others go on in their turn", async () => {
    const rig = new FloodRig({ broadcastPerSecond: 0.2 });
    times(100, (at) => rig.make(1_000 + at));
    rig.make(1, "broadcast");
    await floodBot(rig, 2_000);
    const stop = new AbortController();
    rig.make(10, "reply", "sendMessage", stop.signal);
    const bulk = rig.make(10, "broadcast");
    const others = times(3, (at) => rig.make(20 + at));
    stop.abort();
    await rig.clock.advance(2_000);
    expect(others.map(({ end }) => end)).toEqual(["sent", "sent", "sent"]);
    expect(bulk.end).toBeUndefined();
    await rig.finish();
    expect(bulk.end).toBe("sent");
  });

  test("finds no room beyond the bound; broadcasts leave half of it to replies, and each bot has some of its own", async () => {
    const room = createFloodRoom({ waitingMax: 10, reservedPerBot: 3 });
    const rig = new FloodRig({ chatBurst: 1 }, { room });
    rig.make(1);
    expect(times(7, () => rig.make(1, "broadcast")).map(({ end }) => end)).toEqual([
      ...Array.from({ length: 5 }, () => undefined),
      "full",
      "full",
    ]);
    expect(times(6, () => rig.make(1)).filter(({ end }) => end === "full")).toHaveLength(1);
    const other = new FloodRig({ chatBurst: 1 }, { room });
    other.make(1);
    expect(times(4, () => other.make(1)).filter(({ end }) => end === "full")).toHaveLength(1);
    await rig.finish();
    await other.finish();
    expect(room.waiting).toBe(0);
  });

  test("of 100,000 chats stays within its bound and is over when it is due", async () => {
    const room = createFloodRoom({ waitingMax: 100_000, reservedPerBot: 100 });
    const rig = new FloodRig({ chatBurst: 1 }, { room, chatsMax: 1_000_000 });
    for (let chat = 0; chat < 100_500; chat++) rig.make(chat);
    const held = times(100_500, (chat) => rig.make(chat));
    expect(rig.flood.status()).toMatchObject({ waitingReplies: 100_000, waitingChats: 100_000 });
    expect(held.filter(({ end }) => end === "full")).toHaveLength(500);
    expect(rig.clock.pending()).toBe(1);
    await rig.clock.advance(999);
    expect(room.waiting).toBe(100_000);
    await rig.clock.advance(1);
    expect(room.waiting).toBe(0);
    expect(held.filter(({ wentAt }) => wentAt[0] === 1_000)).toHaveLength(100_000);
  });

  test("of a refused call keeps its turn where the timer is late and the bot is slowed down", async () => {
    let now = 0;
    let due = (): void => {};
    const clock: Clock = {
      now: () => now,
      monotonic: () => now,
      setTimer: (run) => {
        due = run;
        return { cancel: () => {} };
      },
    };
    const rig = new FloodRig({}, { clock });
    rig.clock.monotonic = () => now;
    rig.telegram = refuseAll(3_000);
    times(5, (at) => rig.make(at));
    now = 1_000;
    times(5, (at) => rig.make(5 + at));
    now = 3_000;
    due();
    await settled();
    expect(rig.went).toHaveLength(12);
    now = 3_900;
    expect(rig.make(100).wentAt).toEqual([]);
  });

  test.each(["reply", "broadcast"] as const)("of a %s keeps its turn where the timer is late", async (kind) => {
    let now = 0;
    const timers: (() => void)[] = [];
    const clock: Clock = {
      now: () => now,
      monotonic: () => now,
      setTimer: (run) => {
        timers.push(run);
        return { cancel: () => {} };
      },
    };
    const rig = new FloodRig({}, { clock });
    rig.clock.monotonic = () => now;
    rig.telegram = refuseAll(3_000);
    times(5, (at) => rig.make(at));
    now = 1_000;
    times(5, (at) => rig.make(5 + at));
    const made = [rig.make(100, kind), rig.make(101, kind)];
    // The timer is due and has not fired.
    now = 30_000;
    made.push(rig.make(102, kind));
    expect(went(made)).toEqual([undefined, undefined, undefined]);
    for (; timers.length > 0; now += 100) {
      timers.shift()?.();
      await settled();
    }
    const at = went(made) as number[];
    expect(at).toEqual(at.toSorted((a, b) => a - b));
    expect(rig.went.slice(10).map(({ made: each }) => each.call.order)).toEqual(times(13, (each) => each + 1));
  });
});

describe("engine off", () => {
  test("holds nothing back beforehand", () => {
    const rig = new FloodRig({ engine: "off" });
    expect(
      times(500, (at) => rig.make(at % 2 === 0 ? 1 : -1, at % 3 === 0 ? "broadcast" : "reply")).every(
        ({ end }) => end === "sent",
      ),
    ).toBe(true);
    expect(rig.flood.status().knownChats).toBe(0);
  });

  test("lets replies go before broadcasts when the wait of the bot is over, however many", async () => {
    const rig = new FloodRig({ engine: "off" });
    await floodBot(rig, 4_000);
    const held = times(600, (at) => rig.make(100 + at, at % 2 === 0 ? "broadcast" : "reply"));
    await rig.finish();
    expect(held.every(({ end }) => end === "sent")).toBe(true);
    expect(rig.went.slice(10, 320).every(({ made }) => made.call.kind === "reply")).toBe(true);
  });

  test("obeys the retry_after of a chat, and of the bot without slowing down after it", async () => {
    const rig = new FloodRig({ engine: "off" });
    await floodBot(rig, 4_000);
    rig.telegram = (chat, now) => (chat === 1 ? refuseAll(9_000)(chat, now, "") : 0);
    const held = times(100, (at) => rig.make(100 + at));
    expect(held.every(({ wentAt }) => wentAt.length === 0)).toBe(true);
    await rig.finish();
    expect(new Set(went(held))).toEqual(new Set([4_000]));
    expect(rig.made[0]?.wentAt).toEqual([0, 4_000, 9_000]);
  });
});
