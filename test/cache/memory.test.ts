import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { createMemoryTier } from "../../src/cache/memory.ts";
import { createStorageTier } from "../../src/cache/storage.ts";
import type { Tier } from "../../src/cache/tier.ts";
import { toUserId, type UserId } from "../../src/ids.ts";
import type { User } from "../../src/users/user.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { userOf } from "../support/users.ts";

const limits = { heldMax: 10, ttlMs: 60_000, absentMs: 5_000, absentMax: 10 };

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
  /** As after a look at a user that is stored already. */
  const fill = async (user: User): Promise<void> => {
    stored.set(user.telegramId, user);
    const filled = tier.read([user.telegramId]);
    asked.at(-1)?.answer();
    await filled;
  };
  return { clock, stored, asked, tier, write, fill };
}

const one = toUserId(1);

describe("the first tier", () => {
  test("asks once for a user that a thousand want at the same time", async () => {
    const { tier, asked, stored } = createRig();
    stored.set(one, userOf(1, 1));
    const reads = Array.from({ length: 1_000 }, () => tier.read([one]));
    expect(asked.length).toBe(1);
    asked[0]?.answer();
    for (const found of await Promise.all(reads)) expect(found.get(one)?.version).toBe(1);
    expect(tier.held(one)?.version).toBe(1);
  });

  test("keeps no answer that is older than what was written while it was on its way", async () => {
    const { tier, asked, stored, write } = createRig();
    stored.set(one, userOf(1, 1));
    const early = tier.read([one]);
    write(userOf(1, 2));
    asked[0]?.answer();
    expect((await early).get(one)?.version).toBe(1);
    expect(tier.held(one)).toBeUndefined();
  });

  test("keeps what it has stored in the place of what that was made from, and nowhere else", async () => {
    const { tier, write, fill } = createRig();
    await fill(userOf(1, 5));
    write(userOf(1, 6));
    expect(tier.held(one)?.version).toBe(6);
    // Told of 8 while 7 was on its way back from storage.
    tier.changed(one, 8);
    tier.stored([userOf(1, 7)]);
    expect(tier.held(one)).toBeUndefined();
    await fill(userOf(1, 8));
    tier.changed(one, 0);
    tier.stored([userOf(1, 9)]);
    expect(tier.held(one)).toBeUndefined();
  });

  test("drops what another instance has replaced, and no answer on its way survives that either", async () => {
    const { tier, asked, stored, fill } = createRig();
    await fill(userOf(1, 5));
    tier.changed(one, 5);
    expect(tier.held(one)?.version).toBe(5);
    tier.changed(one, 6);
    expect(tier.held(one)).toBeUndefined();
    const early = tier.read([one]);
    tier.changed(one, 6);
    tier.changed(one, 0);
    stored.set(one, userOf(1, 7));
    const late = tier.read([one]);
    asked.at(-1)?.answer();
    expect((await late).get(one)?.version).toBe(7);
    asked.at(-2)?.answer();
    await early;
    expect(tier.held(one)?.version).toBe(7);
  });

  test("asks below for what is in doubt, keeps what was asked for since, and serves the rest while nobody can answer", async () => {
    const { tier, asked, stored, fill } = createRig();
    const two = toUserId(2);
    await fill(userOf(1, 5));
    const early = tier.read([two]);
    tier.doubt();
    stored.set(two, userOf(2, 1));
    asked.at(-1)?.answer();
    await early;
    expect([tier.held(one), tier.held(two)]).toEqual([undefined, undefined]);
    const failing = tier.read([one]);
    asked.at(-1)?.fail();
    expect((await failing).get(one)?.version).toBe(5);
    stored.set(one, userOf(1, 6));
    const checked = tier.read([one]);
    asked.at(-1)?.answer();
    await checked;
    expect(tier.held(one)?.version).toBe(6);
  });

  test("asks anew after a user was forgotten, although an answer is on its way", async () => {
    const { tier, asked, stored } = createRig();
    stored.set(one, userOf(1, 1));
    const early = tier.read([one]);
    stored.set(one, userOf(1, 2));
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
    write(userOf(1, 1));
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
    const { tier, clock, fill } = createRig();
    await fill(userOf(1, 1));
    await clock.advance(59_000);
    expect(tier.held(one)).toBeDefined();
    await clock.advance(3_000);
    expect(tier.held(one)).toBeUndefined();
  });

  test("answers the same user when it has been packed meanwhile", async () => {
    const read: Tier["read"] = async (ids) => new Map(ids.map((id) => [id, userOf(id, id)]));
    const wide = createMemoryTier({
      below: { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} },
      clock: new FakeClock(),
      limits: { ...limits, heldMax: 5_000 },
    });
    for (let id = 1; id <= 5_000; id++) await wide.read([toUserId(id)]);
    for (const id of [1, 2_500, 5_000, 1, 2_500]) expect(wide.held(toUserId(id))).toEqual(userOf(id, id));
  });

  test("holds no more users than it may", async () => {
    const { tier, fill } = createRig();
    for (let id = 1; id <= 100; id++) await fill(userOf(id, 1));
    expect(tier.stats().held).toBe(10);
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
          const next = userOf(id, (stored.get(key)?.version ?? 0) + 1);
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
        return new Map(ids.map((id) => [id, userOf(id, 1)]));
      },
    };
    const tier = createStorageTier({ store, group, readMax: 100 });
    const found = await Promise.all([tier.read([one]), tier.read([toUserId(2)]), tier.read([one])]);
    expect(found.map((users) => [...users.keys()].map(Number))).toEqual([[1], [2], [1]]);
    expect(questions.map((ids) => ids.map(Number))).toEqual(group ? [[1, 2]] : [[1], [2], [1]]);
  }
});
