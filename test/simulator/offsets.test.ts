import { expect, test } from "bun:test";
import { core } from "./core.ts";

test("updates are numbered one after another from the bot's first id and repeat until a higher offset confirms them", async () => {
  const { ids, say, clock, api, bot } = core();
  say("a", "b", "c");
  expect(await ids({ offset: 0 })).toEqual([100, 101, 102]);
  await clock.advance(600);
  expect(await ids({ offset: 0 })).toEqual([100, 101, 102]);
  expect(await ids({ offset: 102 })).toEqual([102]);
  expect(await ids({ offset: 0 })).toEqual([102]);
  expect(api.journal.counts(bot, 7)).toMatchObject({ created: 3, delivered: 8, repeated: 5, confirmed: 2 });
  expect(await ids({ offset: 103 })).toEqual([]);
  expect(api.journal.counts(bot, 7)).toMatchObject({ confirmed: 3, deleted: 0 });
});

test("offset 0 and no offset delete nothing", async () => {
  const { ids, say } = core();
  say("a", "b");
  expect(await ids({ offset: 0 })).toEqual([100, 101]);
  expect(await ids({ offset: "" })).toEqual([100]);
  expect(await ids({ limit: 5, offset: -2 })).toEqual([100, 101]);
});

test("a negative offset deletes all but the last N", async () => {
  const { ids, say, api, bot } = core();
  say("a", "b", "c", "d", "e");
  expect(await ids({ offset: -2 })).toEqual([103, 104]);
  expect(await ids({ offset: 0 })).toEqual([103, 104]);
  expect(api.journal.counts(bot)).toMatchObject({ deleted: 3, confirmed: 0 });
  expect(await ids({ offset: -50 })).toEqual([103, 104]);
});

test("an offset far above the numbering reads from the head and deletes nothing, one just above it deletes all", async () => {
  const { ids, say } = core();
  say("a", "b", "c");
  expect(await ids({ offset: 2_000_000 })).toEqual([100, 101, 102]);
  expect(await ids({ offset: 114 })).toEqual([100, 101, 102]);
  expect(await ids({ offset: 113 })).toEqual([]);
  expect(await ids({ offset: 1 })).toEqual([]);
});

test("an offset far below the numbering reads from the head", async () => {
  const { ids, say } = core({ spec: { firstUpdateId: 900_000 } });
  say("a", "b");
  expect(await ids({ offset: 5 })).toEqual([900_000, 900_001]);
});

test("limit is clamped to 1 to 100 and is 100 where it is absent", async () => {
  const { ids, say, clock } = core();
  say(...Array.from({ length: 150 }, (_, at) => `text ${at}`));
  expect((await ids({ offset: 0 })).length).toBe(100);
  await clock.advance(500);
  expect((await ids({ offset: 0, limit: 1_000 })).length).toBe(100);
  await clock.advance(500);
  expect((await ids({ offset: 0, limit: 0 })).length).toBe(1);
  await clock.advance(500);
  expect((await ids({ offset: 0, limit: "30" })).length).toBe(30);
});

test("a batch holds at most about 4 MiB, and one update at least", async () => {
  const { ids, api, bot, clock } = core();
  for (let at = 0; at < 10; at++)
    api.people.deliver(bot, { message: { chat: { id: 7 }, text: "x".repeat(1_000_000) } });
  expect(await ids({ offset: 0 })).toEqual([100, 101, 102, 103]);
  expect(await ids({ offset: 110 })).toEqual([]);
  await clock.advance(500);
  api.people.deliver(bot, { message: { chat: { id: 7 }, text: "x".repeat(5_000_000) } });
  api.people.deliver(bot, { message: { chat: { id: 7 }, text: "x" } });
  expect(await ids({ offset: 109 })).toEqual([110]);
});

test("the same offset again within 0.5 s gets one update only", async () => {
  const { ids, say, clock } = core();
  say("a", "b", "c");
  expect(await ids({ offset: 100 })).toEqual([100, 101, 102]);
  await clock.advance(499);
  expect(await ids({ offset: 100 })).toEqual([100]);
  await clock.advance(500);
  expect(await ids({ offset: 100 })).toEqual([100, 101, 102]);
  expect(await ids({ offset: 101 })).toEqual([101, 102]);
});

test("each kind is kept as long as Telegram keeps it", async () => {
  const { ids, api, bot, clock } = core();
  const kinds = ["message", "my_chat_member", "callback_query", "shipping_query", "pre_checkout_query", "inline_query"];
  for (const kind of [...kinds, "chosen_inline_result"])
    api.people.deliver(bot, { [kind]: { id: "1", from: { id: 7 } } });
  const after = async (ms: number): Promise<readonly number[]> => {
    await clock.advance(ms);
    return ids({ offset: 0 });
  };
  expect(await after(30_000)).toEqual([100, 101, 102, 103, 104, 105, 106]);
  expect(await after(1_000)).toEqual([100, 101, 102, 103, 104, 106]);
  expect(await after(119_000)).toEqual([100, 101, 102, 103, 104, 106]);
  expect(await after(1_000)).toEqual([100, 101, 106]);
  expect(await after(449_000)).toEqual([100, 101, 106]);
  expect(await after(1_000)).toEqual([100, 101]);
  expect(await after(24 * 3_600_000)).toEqual([]);
  expect(api.journal.counts(bot)).toMatchObject({ created: 7, expired: 7, confirmed: 0 });
});

test("a jump of our wall clock lets nothing expire", async () => {
  const { ids, say, clock } = core();
  say("a");
  clock.jumpWall(48 * 3_600_000);
  expect(await ids({ offset: 0 })).toEqual([100]);
});

test("what does not fit the queue is dropped and counted, and takes no id", async () => {
  const { ids, say, api, bot, clock } = core({ queueMaxUpdates: 3 });
  api.people.person(7).inline(bot, "soon gone");
  say("a", "b", "c", "d");
  expect(api.journal.counts(bot, 7)).toMatchObject({ created: 3, dropped: 2 });
  await clock.advance(31_000);
  say("e");
  expect(await ids({ offset: 0 })).toEqual([101, 102, 103]);
  say("f");
  expect(await ids({ offset: 104 })).toEqual([]);
  say("g");
  expect(await ids({ offset: 104 })).toEqual([104]);
});

test("the queue of a bot is bounded in bytes as well", () => {
  const { say, api, bot } = core({ queueMaxBytes: 1_000 });
  say(...Array.from({ length: 10 }, () => "x".repeat(200)));
  const { created, dropped } = api.journal.counts(bot);
  expect(created).toBe(2);
  expect(dropped).toBe(8);
});

test("numbering restarts only while nothing waits, and an offset of the old numbering still gets what comes", async () => {
  const { ids, say, api, bot, clock } = core({ spec: { firstUpdateId: 500_000 } });
  say("a");
  expect(api.bot(bot).restartNumbering(1_000)).toBe(false);
  expect(await ids({ offset: 500_001 })).toEqual([]);
  expect(api.bot(bot).restartNumbering(1_000)).toBe(true);
  say("b", "c");
  await clock.advance(500);
  expect(await ids({ offset: 500_001, timeout: 10 })).toEqual([1_000, 1_001]);
  expect(await ids({ offset: 1_001 })).toEqual([1_001]);
});
