/** Several processes that send as one bot: each uses its share of the rate, and a refusal of the bot that one meets is obeyed by all. */
import { describe, expect, test } from "bun:test";
import { RecoveryPace, RetryPace } from "../../src/telegram/flood-pace.ts";
import { settled } from "../support/fake-clock.ts";
import { floodBot, FloodRig } from "./flood-rig.ts";

const times = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));

describe("a share", () => {
  test("bounds broadcasts by so much of their rate, and no chat by less than it allows", async () => {
    const rig = new FloodRig();
    rig.flood.setShare(1 / 3);
    const bulk = times(51, (at) => rig.make(1_000 + at, "broadcast"));
    const lastAt = () => Math.max(...bulk.flatMap(({ wentAt }) => wentAt));
    expect(times(5, () => rig.make(1)).every(({ end }) => end === "sent")).toBe(true);
    await rig.finish();
    // 50 broadcasts and 5 replies before the last one, at 10 a second.
    expect(lastAt()).toBeGreaterThan(5_300);
    expect(lastAt()).toBeLessThan(5_600);
  });

  test("that becomes greater is used at once by those that wait already", async () => {
    const rig = new FloodRig();
    rig.flood.setShare(0.01);
    const bulk = times(3, (at) => rig.make(1_000 + at, "broadcast"));
    await rig.clock.advance(1_000);
    expect(bulk.map(({ end }) => end)).toEqual(["sent", undefined, undefined]);
    rig.flood.setShare(1);
    await rig.clock.advance(100);
    expect(bulk.map(({ end }) => end)).toEqual(["sent", "sent", "sent"]);
  });

  test("is what a process recovers to after the bot was refused, by what it sent itself", () => {
    const idle = new RecoveryPace(30);
    idle.setShare(1 / 3, 0);
    idle.start(1_000, 500);
    expect(idle.perSecond(1_000)).toBeCloseTo(5);
    const busy = new RecoveryPace(30);
    busy.setShare(1 / 4, 0);
    for (let at = 0; at < 40; at++) busy.accepted(1_500);
    busy.start(3_000, 2_000);
    expect(busy.perSecond(3_000)).toBeCloseTo(20);
    busy.count(3_000);
    busy.setShare(1 / 2, 3_000);
    expect(busy.perSecond(3_000)).toBeCloseTo(40);
    busy.count(3_000);
    expect(busy.nextAt("broadcast", 3_000)).toBeCloseTo(3_000 + 25 + 25 - 20);
  });

  test("bounds the calls that are tried again", () => {
    const pace = new RetryPace();
    pace.setShare(1 / 3, 0);
    const at: number[] = [];
    for (let now = 5_000; now < 7_000; now++) {
      for (; pace.nextAt() <= now; pace.count(now)) at.push(now);
    }
    expect(at.filter((each) => each === 5_000)).toHaveLength(10);
    expect(at).toHaveLength(29);
    const slow = new RetryPace();
    slow.setShare(0.01, 0);
    expect(slow.nextAt()).toBe(0);
    slow.count(1_000);
    expect(slow.nextAt()).toBeCloseTo(1_000 + 1_000 / 0.3);
    slow.setShare(1, 1_000);
    expect(slow.nextAt()).toBeLessThan(1_000);
  });
});

describe("a refusal of the whole bot", () => {
  test("is told with the wait that is left, once", async () => {
    const rig = new FloodRig();
    await floodBot(rig, 7_500);
    expect(rig.botWaits).toEqual([7_000]);
    await rig.finish();
    expect(rig.botWaits).toEqual([7_000]);
  });

  test("that another process met is waited out, and followed by half the rate", async () => {
    const rig = new FloodRig();
    rig.flood.obey(4_000);
    const held = times(200, (at) => rig.make(at));
    await rig.clock.advance(3_999);
    expect(rig.went).toHaveLength(0);
    await rig.finish();
    expect(held.every(({ end }) => end === "sent")).toBe(true);
    // As after one of its own: 15 a second, a tenth more each second.
    const inFirst = rig.went.filter(({ at }) => at < 5_000).length;
    expect(inFirst).toBeGreaterThan(14);
    expect(inFirst).toBeLessThan(20);
    // What was heard is not told on.
    expect(rig.botWaits).toEqual([]);
  });

  test("that several processes met is one: the rate is halved once, and the longest wait counts", async () => {
    const rig = new FloodRig();
    await floodBot(rig, 7_500);
    rig.flood.obey(5_000);
    await rig.clock.advance(100);
    rig.flood.obey(9_000);
    const before = rig.went.length;
    for (let chat = 100; chat < 300; chat++) rig.make(chat);
    await rig.clock.advance(8_999);
    expect(rig.went).toHaveLength(before);
    await rig.finish();
    const inFirst = rig.went.filter(({ at }) => at >= 10_100 && at < 11_100).length;
    expect(inFirst).toBeGreaterThan(14);
    expect(inFirst).toBeLessThan(20);
  });

  test("longer than a call waits ends all sends that wait", async () => {
    const rig = new FloodRig({ chatBurst: 1, chatPerSecond: 0.1 });
    const made = times(20, (at) => [rig.make(100 + at), rig.make(100 + at)]);
    rig.flood.obey(7_200_000);
    await settled();
    expect(made.flat().filter(({ end }) => end === "later")).toHaveLength(20);
    expect([rig.room.waiting, rig.clock.pending()]).toEqual([0, 0]);
  });

  test("is obeyed and told by engine off, without slowing down after it", async () => {
    const rig = new FloodRig({ engine: "off" });
    rig.flood.obey(4_000);
    const held = times(100, (at) => rig.make(100 + at));
    await rig.finish();
    expect(new Set(held.flatMap(({ wentAt }) => wentAt))).toEqual(new Set([4_000]));
    await floodBot(rig, 20_000);
    expect(rig.botWaits).toEqual([15_000]);
  });
});
