import { expect, test } from "bun:test";
import { FakeClock } from "../support/fake-clock.ts";
import { createHealth, createOutage, type Health } from "../../src/ops/health.ts";
import { createHeartbeat } from "../../src/ops/heartbeat.ts";
import type { BotStatus, Status } from "../../src/ops/status.ts";
import { statusOf } from "./fixtures/status.ts";

const limits = { stallMaxMs: 10_000, inboxLostMaxMs: 3_000 };

function bot(name: string, state: BotStatus["state"], more: Partial<BotStatus> = {}): BotStatus {
  return { name, id: 1, state, since: 0, backlog: 0, ...more };
}

function healthOf(status: Partial<Status> = {}, clock = new FakeClock()) {
  const inbox = createOutage(clock);
  const storage = createOutage(clock);
  const leases = createOutage(clock);
  const health = createHealth({
    clock,
    limits,
    lastBeatAt: () => 0,
    source: { status: () => statusOf({ bots: [bot("shop", "polling")], ...status }) },
    inboxLostSince: inbox.since,
    leasesLostSince: leases.since,
    storage: { lostSince: storage.since, lostMaxMs: 5_000 },
  });
  return { health, inbox, leases, storage, clock };
}

function codes(verdict: ReturnType<Health["ready"]>): readonly string[] {
  return verdict.reasons.map((reason) => reason.code);
}

test("a running botfleet is live and ready", () => {
  const { health } = healthOf();
  expect(health.live()).toEqual({ status: 200, state: "ok", reasons: [] });
  expect(health.ready()).toEqual({ status: 200, state: "ok", reasons: [] });
});

test("`/health` fails once the event loop stood still over the limit, and not before", async () => {
  const { health, clock } = healthOf();
  await clock.advance(10_000);
  expect(health.live().status).toBe(200);
  await clock.advance(1);
  expect(health.live()).toMatchObject({ status: 503, state: "unavailable", reasons: [{ code: "event_loop_stalled" }] });
});

test("the heart beats as long as the event loop moves, and what stands between beats is seen", async () => {
  const clock = new FakeClock();
  const heartbeat = createHeartbeat({ clock, everyMs: 1_000 });
  await clock.advance(5_500);
  expect(heartbeat.lastBeatAt()).toBe(5_000);
  expect(Atomics.load(heartbeat.beats, 0)).toBe(5);
  heartbeat.stop();
  await clock.advance(5_000);
  expect(heartbeat.lastBeatAt()).toBe(5_000);
  expect(clock.pending()).toBe(0);
});

for (const state of ["starting", "draining"] as const) {
  test(`a botfleet that is ${state} is live but not ready`, () => {
    const { health } = healthOf({ state });
    expect(health.live().status).toBe(200);
    expect(health.ready().status).toBe(503);
    expect(codes(health.ready())).toEqual([state]);
  });
}

test("`/ready` fails once the inbox is lost over 3 s, and is well again when the inbox is", async () => {
  const { health, inbox, clock } = healthOf();
  inbox.set(true);
  await clock.advance(2_000);
  inbox.set(true);
  await clock.advance(1_000);
  expect(health.ready().status).toBe(200);
  await clock.advance(1);
  expect(health.ready().status).toBe(503);
  expect(codes(health.ready())).toEqual(["inbox_lost"]);
  inbox.set(false);
  expect(health.ready().status).toBe(200);
});

test("`/ready` fails once the storage is lost over 5 s", async () => {
  const { health, storage, clock } = healthOf();
  storage.set(true);
  await clock.advance(5_000);
  expect(health.ready().status).toBe(200);
  await clock.advance(1);
  expect(codes(health.ready())).toEqual(["storage_lost"]);
});

test("one disabled bot is listed by name and takes nobody out", () => {
  const { health } = healthOf({
    bots: [bot("shop", "disabled", { error: "token refused (401)" }), bot("news", "polling")],
  });
  const verdict = health.ready();
  expect([verdict.status, verdict.state]).toEqual([200, "degraded"]);
  expect(verdict.reasons).toHaveLength(1);
  expect(verdict.reasons[0]).toMatchObject({ code: "bot_disabled", what: "bot shop: token refused (401)" });
});

test("`/ready` fails when all bots are disabled, and names each", () => {
  const { health } = healthOf({
    bots: [bot("shop", "disabled"), bot("news", "stopped", { error: "its module is broken" })],
  });
  expect(health.ready().status).toBe(503);
  expect(codes(health.ready())).toEqual(["all_bots_disabled", "bot_disabled", "bot_disabled"]);
});

test("a disk that is full is told, while what is in the inbox is still handled", () => {
  const { health } = healthOf({ inbox: { state: "full", deadLetters: 0 } });
  expect(health.ready()).toMatchObject({ status: 200, state: "degraded", reasons: [{ code: "disk_full" }] });
});

test("every reason says what to do", async () => {
  const clock = new FakeClock();
  const { health, inbox, storage } = healthOf(
    { state: "starting", bots: [bot("shop", "disabled")], inbox: { state: "full", deadLetters: 0 } },
    clock,
  );
  inbox.set(true);
  storage.set(true);
  await clock.advance(60_000);
  const reasons = [...health.ready().reasons, ...health.live().reasons];
  expect(reasons).toHaveLength(7);
  for (const { what, remedy } of reasons) expect([what.length > 10, remedy.length > 10]).toEqual([true, true]);
});

test("leases that Redis does not confirm make an instance unready after the same while as a lost inbox", async () => {
  const { health, leases, clock } = healthOf();
  leases.set(true);
  await clock.advance(limits.inboxLostMaxMs);
  expect(health.ready().status).toBe(200);
  await clock.advance(1);
  expect(codes(health.ready())).toEqual(["leases_lost"]);
  leases.set(false);
  expect(health.ready().status).toBe(200);
});
