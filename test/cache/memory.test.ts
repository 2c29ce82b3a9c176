import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createMemoryTier } from "../../src/cache/memory.ts";
import { createStorageTier } from "../../src/cache/storage.ts";
import type { Tier } from "../../src/cache/tier.ts";
import { toUserId, type UserId } from "../../src/ids.ts";
import type { User } from "../../src/users/user.ts";
import { FakeClock } from "../support/fake-clock.ts";

const limits = { usersMax: 10, ttlMs: 60_000, absentMs: 5_000, absentMax: 10 };

function user(id: number, version: number): User {
  return {
    telegramId: toUserId(id),
    firstName: "P",
    referralCode: `code${id}`,
    points: version,
    referralCount: 0,
    isActive: true,
    isVerified: false,
    miniappVerified: false,
    createdAt: 1,
    updatedAt: version,
    version,
    bots: {},
    referral: { state: "none" },
    applied: [],
  };
}

/** A tier over storage whose answers come when the test says so. */
function createRig() {
  const clock = new FakeClock();
  const stored = new Map<UserId, User>();
  const asked: { readonly ids: readonly UserId[]; answer(): void; fail(): void }[] = [];
  const read: Tier["read"] = (ids) =>
    new Promise((resolve, reject) => {
      // As a database reads: what is there when it looks, told later.
      const found = new Map(ids.flatMap((id) => (stored.has(id) ? [[id, stored.get(id) as User] as const] : [])));
      asked.push({ ids, answer: () => resolve(found), fail: () => reject(new Error("lost")) });
    });
  const below: Tier = { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} };
  const tier = createMemoryTier({ below, clock, limits });
  const write = (changed: User): void => {
    stored.set(changed.telegramId, changed);
    tier.stored([changed]);
  };
  return { clock, stored, asked, tier, write };
}

const one = toUserId(1);

describe("the first tier", () => {
  test("asks once for a user that a thousand want at the same time", async () => {
    const { tier, asked, stored } = createRig();
    stored.set(one, user(1, 1));
    const reads = Array.from({ length: 1_000 }, () => tier.read([one]));
    expect(asked.length).toBe(1);
    asked[0]?.answer();
    for (const found of await Promise.all(reads)) expect(found.get(one)?.version).toBe(1);
    expect(tier.held(one)?.version).toBe(1);
  });

  test("keeps no answer that is older than what was written while it was on its way", async () => {
    const { tier, asked, stored, write } = createRig();
    stored.set(one, user(1, 1));
    const early = tier.read([one]);
    write(user(1, 2));
    asked[0]?.answer();
    expect((await early).get(one)?.version).toBe(1);
    expect(tier.held(one)?.version).toBe(2);
  });

  test("asks anew after a user was forgotten, although an answer is on its way", async () => {
    const { tier, asked, stored } = createRig();
    stored.set(one, user(1, 1));
    const early = tier.read([one]);
    stored.set(one, user(1, 2));
    tier.forget([one]);
    const late = tier.read([one]);
    expect(asked.length).toBe(2);
    asked[1]?.answer();
    expect((await late).get(one)?.version).toBe(2);
    asked[0]?.answer();
    await early;
    expect(tier.held(one)?.version).toBe(2);
  });

  test("remembers for seconds that a user does not exist, and forgets it when there is one", async () => {
    const { tier, asked, clock, write } = createRig();
    const first = tier.read([one]);
    asked[0]?.answer();
    expect((await first).size).toBe(0);
    expect((await tier.read([one])).size).toBe(0);
    expect(asked.length).toBe(1);
    await clock.advance(7_000);
    const again = tier.read([one]);
    expect(asked.length).toBe(2);
    asked[1]?.answer();
    await again;
    write(user(1, 1));
    expect((await tier.read([one])).get(one)?.version).toBe(1);
  });

  test("tells a failure to all who wait and keeps nothing of it", async () => {
    const { tier, asked } = createRig();
    const two = toUserId(2);
    const reads = [tier.read([one]), tier.read([one, two])].map((read) =>
      read.then(
        () => "answered",
        () => "failed",
      ),
    );
    for (const question of asked) question.fail();
    expect(await Promise.all(reads)).toEqual(["failed", "failed"]);
    void tier.read([one]);
    expect(asked.length).toBe(3);
  });

  test("forgets a user that was not written for its life time", async () => {
    const { tier, clock, write } = createRig();
    write(user(1, 1));
    await clock.advance(59_000);
    expect(tier.held(one)).toBeDefined();
    await clock.advance(3_000);
    expect(tier.held(one)).toBeUndefined();
  });

  test("answers the same user when it has been packed meanwhile", () => {
    const wide = createMemoryTier({
      below: createRig().tier,
      clock: new FakeClock(),
      limits: { ...limits, usersMax: 5_000 },
    });
    for (let id = 1; id <= 5_000; id++) wide.stored([user(id, id)]);
    for (const id of [1, 2_500, 5_000, 1, 2_500]) expect(wide.held(toUserId(id))).toEqual(user(id, id));
  });

  test("holds no more users than it may", () => {
    const { tier, write } = createRig();
    for (let id = 1; id <= 100; id++) write(user(id, 1));
    expect(tier.stats().users).toBe(10);
  });

  test("once quiet never holds what storage has replaced, in any interleaving", async () => {
    const step = fc.record({
      id: fc.integer({ min: 1, max: 3 }),
      act: fc.constantFrom("read", "write", "foreign", "answer", "fail", "fresh"),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const { tier, asked, stored, write } = createRig();
        const waiting: Promise<unknown>[] = [];
        let answered = 0;
        for (const { id, act } of steps) {
          const key = toUserId(id);
          const next = user(id, (stored.get(key)?.version ?? 0) + 1);
          if (act === "read") waiting.push(tier.read([key]).catch(() => {}));
          if (act === "fresh") waiting.push(tier.readFresh([key]).catch(() => {}));
          if (act === "write") write(next);
          if (act === "foreign") {
            stored.set(key, next);
            tier.forget([key]);
          }
          if (act === "answer") asked[answered++]?.answer();
          if (act === "fail") asked[answered++]?.fail();
          if (answered > asked.length) answered = asked.length;
          await Promise.resolve();
        }
        for (; answered < asked.length; answered++) asked[answered]?.answer();
        await Promise.all(waiting);
        for (const [id, now] of stored) {
          const held = tier.held(id);
          expect(held === undefined || held.version === now.version).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });
});

test("reads that come together are one question to storage, or each its own where grouping is off", async () => {
  for (const group of [true, false]) {
    const questions: (readonly UserId[])[] = [];
    const store = {
      read: async (ids: readonly UserId[]) => {
        questions.push(ids);
        return new Map(ids.map((id) => [id, user(id, 1)]));
      },
    };
    const tier = createStorageTier({ store, group, readMaxUsers: 100 });
    const found = await Promise.all([tier.read([one]), tier.read([toUserId(2)]), tier.read([one])]);
    expect(found.map((users) => [...users.keys()].map(Number))).toEqual([[1], [2], [1]]);
    expect(questions.map((ids) => ids.map(Number))).toEqual(group ? [[1, 2]] : [[1], [2], [1]]);
  }
});
