import { expect, test } from "bun:test";
import { createSessionTier } from "../../src/cache/sessions.ts";
import type { Tier } from "../../src/cache/tier.ts";
import type { Session } from "../../src/storage/session-store.ts";
import { FakeClock } from "../support/fake-clock.ts";

const below: Tier<string, Session> = {
  held: () => undefined,
  read: async () => new Map(),
  readFresh: async (keys) => new Map(keys.map((key) => [key, sessionOf(key)])),
  stored: () => {},
  forget: () => {},
};

const sessionOf = (key: string): Session => ({ key, version: 1, value: "x".repeat(10_000), past: [] });

test("holds as many sessions as its memory takes, those that were looked at last", async () => {
  const limits = { heldMax: 1_000, heldMaxBytes: 100_000, ttlMs: 60_000, absentMs: 5_000, absentMax: 10 };
  const tier = createSessionTier({ below, clock: new FakeClock(), limits });
  for (let at = 0; at < 50; at++) await tier.readFresh([`7::${at}`]);
  const { held, bytes, evictions } = tier.stats();
  expect([held, evictions]).toEqual([9, 41]);
  expect(bytes).toBeLessThanOrEqual(limits.heldMaxBytes);
  expect(tier.held("7::49")?.key).toBe("7::49");
  expect(tier.held("7::0")).toBeUndefined();
  tier.forget(Array.from({ length: 50 }, (_, at) => `7::${at}`));
  expect(tier.stats()).toMatchObject({ held: 0, bytes: 0 });
});
