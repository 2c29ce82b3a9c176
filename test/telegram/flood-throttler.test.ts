/** The stock plugin as an engine. Its queues run on real time, so its pace is set high here. */
import { expect, test } from "bun:test";
import { settled } from "../support/fake-clock.ts";
import { FloodRig } from "./flood-rig.ts";
import type { Made } from "./flood-rig.ts";

const fast = { engine: "grammy", chatPerSecond: 100, groupPerMinute: 1_000, broadcastPerSecond: 1_000 } as const;

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await Bun.sleep(1);
}

test("lets messages to a chat go one after the other, each when the one before has ended", async () => {
  const rig = new FloodRig(fast);
  rig.answerMs = 50;
  const made = [rig.make(1), rig.make(1), rig.make(1), rig.make(2)];
  expect(made.every(({ wentAt }) => wentAt.length === 0)).toBe(true);
  expect(rig.flood.status().waitingReplies).toBe(4);
  await until(() => rig.went.length === 2);
  await Bun.sleep(50);
  expect(rig.went.map(({ made: each }) => each)).toEqual([made[0], made[3]] as Made[]);
  for (let more = 3; more <= 4; more++) {
    await rig.clock.advance(50);
    await until(() => rig.went.length === more);
  }
  await rig.clock.advance(50);
  expect(made.map(({ end }) => end)).toEqual(["sent", "sent", "sent", "sent"]);
  expect([rig.room.waiting, rig.flood.status().waitingReplies]).toEqual([0, 0]);
});

test("lets calls without a chat pass at once", () => {
  const rig = new FloodRig(fast);
  expect(rig.make(undefined, "reply", "answerCallbackQuery").end).toBe("sent");
});

test("obeys the retry_after of a chat", async () => {
  const rig = new FloodRig(fast);
  rig.telegram = (chat, now) => (chat === 1 && now < 5_000 ? 5_000 : 0);
  const [first, second, other] = [rig.make(1), rig.make(1), rig.make(2)];
  await until(() => other?.end === "sent" && first?.wentAt.length === 1);
  await rig.clock.advance(4_999);
  expect([first?.wentAt, second?.wentAt]).toEqual([[0], []]);
  await rig.clock.advance(1);
  await until(() => second?.end === "sent");
  expect([first?.wentAt, second?.wentAt]).toEqual([[0, 5_000], [5_000]]);
  rig.telegram = () => 7_200_000;
  const long = rig.make(1);
  await until(() => long.end !== undefined);
  expect([long.end, rig.make(1).end]).toEqual(["later", "later"]);
});

test("obeys a wait of the whole bot that another process was told of", async () => {
  const rig = new FloodRig(fast);
  rig.flood.obey(7_200_000);
  const refused = rig.make(1);
  await until(() => refused.end !== undefined);
  expect(refused.end).toBe("later");
});

test("ends a wait at once when its signal aborts, and its turn in the queue is empty", async () => {
  const rig = new FloodRig(fast);
  rig.answerMs = 50;
  const stop = new AbortController();
  const made = [rig.make(1), rig.make(1, "reply", "sendMessage", stop.signal), rig.make(1)];
  await until(() => rig.went.length === 1);
  stop.abort();
  await settled();
  expect(made.map(({ end }) => end)).toEqual([undefined, "ended", undefined]);
  await rig.clock.advance(50);
  await until(() => rig.went.length === 2);
  await rig.clock.advance(50);
  expect(made.map(({ end }) => end)).toEqual(["sent", "ended", "sent"]);
  expect(rig.room.waiting).toBe(0);
});
