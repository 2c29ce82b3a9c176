import { expect, test } from "bun:test";
import type { PollEntry } from "../../src/simulator/journal-entries.ts";
import { settled } from "../support/fake-clock.ts";
import { core, watched } from "./core.ts";

const other = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";

test("a poll that waits is answered 1 to 2 ms after an update comes", async () => {
  const { call, say, clock } = core();
  const poll = watched(call("getUpdates", { timeout: 30 }));
  await clock.advance(5_000);
  expect(poll.done).toBe(false);
  say("a");
  await settled();
  expect(poll.done).toBe(false);
  await clock.advance(1);
  expect(poll.value?.body.result).toMatchObject([{ update_id: 100, message: { text: "a" } }]);
});

test("updates that keep coming are waited for, 2 ms at most", async () => {
  const { call, say, clock } = core();
  const poll = watched(call("getUpdates", { timeout: 30 }));
  for (let tenths = 0; tenths < 30 && !poll.done; tenths++) {
    say("a");
    await clock.advance(0.1);
  }
  expect(poll.value?.body.result).toHaveLength(20);
});

test("a poll that nothing comes for is answered empty at its timeout, clamped to 50 s", async () => {
  const { call, clock } = core();
  const poll = watched(call("getUpdates", { timeout: 3_600 }));
  await clock.advance(49_999);
  expect(poll.done).toBe(false);
  await clock.advance(1);
  expect(poll.value?.body).toEqual({ ok: true, result: [] });
});

test("a poll without timeout is answered at once, the same offset again within 3 s waits 3 s", async () => {
  const { call, clock } = core();
  const first = watched(call("getUpdates", { offset: 5 }));
  await settled();
  expect(first.done).toBe(true);
  const second = watched(call("getUpdates", { offset: 5 }));
  await clock.advance(2_999);
  expect(second.done).toBe(false);
  await clock.advance(1);
  expect(second.value?.body).toEqual({ ok: true, result: [] });
  const third = watched(call("getUpdates", { offset: 5, timeout: -4 }));
  await settled();
  expect(third.done).toBe(true);
});

test("the older of two waiting polls is told of the conflict at once, the newer one goes on", async () => {
  const { call, say, clock, api, bot } = core();
  const older = watched(call("getUpdates", { timeout: 30 }));
  const newer = watched(call("getUpdates", { timeout: 30 }));
  await settled();
  expect(older.value).toMatchObject({ status: 409, body: { ok: false, error_code: 409, description: other } });
  say("a");
  await clock.advance(1);
  expect(newer.value?.status).toBe(200);
  expect(api.bot(bot).poll.conflicts).toBe(1);
});

test("a second poll that finds updates receives them and disturbs nobody", async () => {
  const { call, say, clock } = core();
  const older = watched(call("getUpdates", { timeout: 30 }));
  say("a");
  const newer = watched(call("getUpdates", { timeout: 30 }));
  await settled();
  expect(newer.value?.status).toBe(200);
  await clock.advance(1);
  expect(older.value?.status).toBe(200);
});

test("a poll without timeout never ends a waiting one", async () => {
  const { call } = core();
  const older = watched(call("getUpdates", { timeout: 30 }));
  const newer = watched(call("getUpdates", { offset: 7 }));
  await settled();
  expect(newer.value?.body.result).toEqual([]);
  expect(older.done).toBe(false);
});

test("conflicts within 3 s of the first are answered 3 s late", async () => {
  const { call, clock } = core();
  const polls = [1, 2, 3].map(() => watched(call("getUpdates", { timeout: 30 })));
  await settled();
  expect(polls.map(({ done }) => done)).toEqual([true, false, false]);
  await clock.advance(2_999);
  expect(polls[1]?.done).toBe(false);
  await clock.advance(1);
  expect(polls.map(({ value }) => value?.status)).toEqual([409, 409, undefined]);
  watched(call("getUpdates", { timeout: 30 }));
  await settled();
  expect(polls[2]?.value?.status).toBe(409);
});

test("a poll whose caller goes leaves, and is told of no conflict", async () => {
  const { api, bot } = core();
  const { token, poll } = api.bot(bot);
  const controller = new AbortController();
  const left = watched(api.call(token, "getUpdates", { timeout: 30 }, { signal: controller.signal }));
  expect(poll.waiting).toBe(true);
  controller.abort();
  expect(poll.waiting).toBe(false);
  await settled();
  expect(left.value).toEqual({ kind: "reset" });
  void api.call(token, "getUpdates", { timeout: 30 });
  expect(poll.conflicts).toBe(0);
});

test("a webhook ends the waiting poll and forbids polling until it is deleted", async () => {
  const { call, say, ids, clock } = core();
  const poll = watched(call("getUpdates", { timeout: 30 }));
  await call("setWebhook", { url: "https://example.org/hook", allowed_updates: '["message"]' });
  await settled();
  expect(poll.value?.body.description).toBe("Conflict: terminated by setWebhook request");
  say("a");
  const refused = watched(call("getUpdates"));
  await clock.advance(3_000);
  expect(refused.value).toMatchObject({
    status: 409,
    body: {
      description:
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    },
  });
  expect((await call("getWebhookInfo")).body.result).toMatchObject({
    url: "https://example.org/hook",
    pending_update_count: 1,
    allowed_updates: ["message"],
  });
  await call("deleteWebhook");
  expect(await ids()).toEqual([100]);
  await call("deleteWebhook", { drop_pending_updates: true });
  expect(await ids({ offset: 1 })).toEqual([]);
});

test("allowed_updates persists, absent keeps it, and the empty list leaves out the three optional kinds", async () => {
  const { call, api, bot, say } = core();
  const push = (kind: string): string => api.bot(bot).push(kind, "{}", { chat: 7 }).state;
  expect(["message", "chat_member", "message_reaction", "message_reaction_count"].map(push)).toEqual([
    "queued",
    "filtered",
    "filtered",
    "filtered",
  ]);
  await call("getUpdates", { allowed_updates: ["chat_member", "Poll"] });
  await call("getUpdates", { offset: 5 });
  expect(["message", "chat_member", "poll"].map(push)).toEqual(["filtered", "queued", "queued"]);
  await call("getUpdates", { offset: 6, allowed_updates: "[]" });
  say("a");
  expect(["message", "chat_member"].map(push)).toEqual(["queued", "filtered"]);
  expect(api.journal.counts(bot)).toMatchObject({ filtered: 5 });
});

test("the journal tells of each poll who asked, from when until when, and how it ended", async () => {
  const { api, bot, say, clock } = core();
  const { token } = api.bot(bot);
  const polls: PollEntry[] = [];
  api.journal.listen({ poll: (entry) => polls.push(entry) });
  const begunAt = clock.now();
  const get = (from: string, payload: object): (() => void) =>
    api.serve(token, "getUpdates", { ...payload }, () => undefined, from);
  get("/a", { timeout: 30 });
  await clock.advance(7);
  const leave = get("/b", { timeout: 30 });
  await clock.advance(1);
  leave();
  get("", { timeout: 30 });
  say("hello");
  await clock.advance(1);
  get("/a", {});
  expect(polls.map(({ from, at, endedAt, end }) => [from, at - begunAt, endedAt - begunAt, end])).toEqual([
    ["/a", 0, 7, "conflict"],
    ["/b", 7, 8, "left"],
    ["", 8, 9, "answered"],
    ["/a", 9, 9, "answered"],
  ]);
});
