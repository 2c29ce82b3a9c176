/**
 * What every user store promises, run on each implementation: `userStoreContract("memory", () => ...)`. Longer than other files because
 * the promises of one port belong side by side.
 */
import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/faults.ts";
import { type BotId, toBotId, toSeq, toUserId, type UserId } from "../../src/ids.ts";
import { createMemoryUserStore } from "../../src/storage/memory.ts";
import type { StoreState, UserStore, Write, Written } from "../../src/storage/store.ts";
import type { User } from "../../src/users/user.ts";

export interface UserStoreHarness {
  readonly store: UserStore;
  /** Makes every write of the store fail; answers how to end that. Absent: the store cannot fail. */
  readonly fail?: () => Promise<() => Promise<void>>;
  /** Makes the stored document of a user none. Absent: the store cannot hold such a one. */
  readonly damage?: (id: UserId) => Promise<void>;
  /** The store again, opened over what is kept of it. Absent: it keeps nothing. */
  readonly reopen?: () => Promise<UserStore>;
  /** Removes everything. Called once, whatever state the store is in. */
  dispose(): Promise<void>;
}

const at = 1_800_000_000_000;
const bot = toBotId(7_000_000_001);
const otherBot = toBotId(42);
/** The bounds of what Telegram may send are 52 bits. */
const largestId = 2 ** 52 - 1;

/** A user with every field, freshly registered. */
export function fullUser(id: number, changes: Partial<User> = {}): User {
  return {
    ...newUser(id),
    username: `user_${id}`,
    languageCode: "pt-br",
    walletAddress: `0x${id}`,
    referredBy: toUserId(99_999),
    deviceFingerprint: "device",
    ipAddress: "192.0.2.7",
    points: 10,
    referral: { state: "owed", since: at },
    daily: { last: 20_000, before: 0xffff_ffff },
    applied: [
      mark(1, { kind: "granted", points: 10, owes: true }),
      mark(2, { kind: "registered", referredBy: toUserId(5) }),
      mark(3, { kind: "known", returned: false }),
      mark(4, { kind: "wallet_set", replaced: true }),
      mark(5, { kind: "wallet_taken" }),
    ],
    ...changes,
  };
}

/** The least a user has. */
export function newUser(id: number, changes: Partial<User> = {}): User {
  return {
    telegramId: toUserId(id),
    firstName: `Ann ${id}`,
    referralCode: `code${id}`,
    points: 0,
    referralCount: 0,
    isActive: true,
    isVerified: false,
    miniappVerified: false,
    createdAt: at + (id % 1_000_000),
    updatedAt: at,
    version: 1,
    bots: { [bot]: { state: "active", since: at } },
    referral: { state: "none" },
    applied: [],
    ...changes,
  };
}

function mark(seq: number, outcome: User["applied"][number]["outcome"]): User["applied"][number] {
  return {
    op: `${bot}:${seq}:0:${outcome.kind}`,
    partition: 0,
    seq: toSeq(seq),
    ...(seq % 2 === 0 ? {} : { at }),
    outcome,
  };
}

let writers = 0;

/** Writes users that must not exist yet. */
async function insert(store: UserStore, ...users: readonly User[]): Promise<readonly Written[]> {
  return await store.write(
    users.map((user) => ({ user, before: undefined })),
    `writer-${writers++}`,
  );
}

function changed(user: User, changes: Partial<User>): Write {
  return { user: { ...user, ...changes, version: user.version + 1 }, before: user };
}

async function update(store: UserStore, ...writes: readonly Write[]): Promise<readonly Written[]> {
  return await store.write(writes, `writer-${writers++}`);
}

async function readOne(store: UserStore, id: number): Promise<User> {
  const user = (await store.read([toUserId(id)])).get(toUserId(id));
  if (user === undefined) throw new Error(`no user ${id}`);
  return user;
}

const ids = (users: readonly Pick<User, "telegramId">[]): number[] => users.map(({ telegramId }) => telegramId);
const rising = (numbers: readonly number[]): number[] => numbers.toSorted((a, b) => a - b);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, place) => place + 1);

/** A small generator of numbers below `end`, the same in every run. */
function dice(seed: number): (end: number) => number {
  let state = seed;
  return (end) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * end);
  };
}

export const hostileTexts: readonly string[] = [
  "$gt",
  "__proto__",
  "constructor",
  '{"$ne":null}',
  "a\0b",
  "\0",
  "\ud800",
  "x\udfffy",
  "\udc00\ud800",
  "\u202eevil\u2066",
  "مرحبا",
  "👩‍👩‍👧‍👦 🇺🇦",
  "<script>alert('1')</script>&amp;",
  "'; DROP TABLE users; --",
  '"quoted"',
  '"\\ud800"',
  "\ufeffbom",
  "line\nbreak\r\u2028",
  "\\u0000",
  "",
  " ",
  "null",
  "x".repeat(65_536),
];

export function userStoreContract(name: string, create: () => Promise<UserStoreHarness> | UserStoreHarness): void {
  function promise(title: string, work: (store: UserStore, harness: UserStoreHarness) => Promise<void>): void {
    test(title, async () => {
      const harness = await create();
      try {
        await work(harness.store, harness);
      } finally {
        await harness.dispose();
      }
    });
  }

  describe(`the ${name} user store`, () => {
    describe("reading and writing", () => {
      promise("gives back what was stored, every field of it, and leaves absent users out", async (store) => {
        const users = [fullUser(1), newUser(2), fullUser(largestId, { createdAt: at + 5 })];
        expect(await insert(store, ...users)).toEqual(["stored", "stored", "stored"]);
        const found = await store.read([1, 2, 3, largestId].map(toUserId));
        expect([...found.values()].toSorted((a, b) => a.telegramId - b.telegramId)).toEqual(users);
        for (const [id, user] of found) expect(user.telegramId).toBe(id);
        expect((await store.read([])).size).toBe(0);
      });

      promise("changes any field, and takes optional ones away again", async (store) => {
        const bare = newUser(1);
        await insert(store, bare);
        const flags = { isActive: false, isVerified: true, miniappVerified: true };
        const full = changed(bare, {
          ...fullUser(1),
          ...flags,
          referralCode: "another",
          referralCount: 7,
          createdAt: at + 9,
        });
        expect(await update(store, full)).toEqual(["stored"]);
        expect(await readOne(store, 1)).toEqual(full.user);
        expect(await store.idOfCode("another")).toBe(toUserId(1));
        const again: Write = { user: newUser(1, { version: 3 }), before: full.user };
        expect(await update(store, again)).toEqual(["stored"]);
        expect(await readOne(store, 1)).toEqual(again.user);
      });

      promise("stores over the expected version alone", async (store) => {
        const user = newUser(1);
        expect(await update(store, changed(user, {}))).toEqual(["conflict"]);
        expect(await insert(store, user)).toEqual(["stored"]);
        expect(await insert(store, newUser(1, { firstName: "Eve" }))).toEqual(["conflict"]);
        expect(await update(store, changed(user, { points: 5 }))).toEqual(["stored"]);
        expect(await update(store, changed(user, { points: 7 }))).toEqual(["conflict"]);
        expect(await readOne(store, 1)).toEqual({ ...user, points: 5, version: 2 });
      });

      promise("loses no increment of many writers that try again after a conflict", async (store) => {
        await insert(store, newUser(1));
        let conflicts = 0;
        const increment = async (): Promise<void> => {
          for (;;) {
            const user = await readOne(store, 1);
            const [end] = await update(store, changed(user, { points: user.points + 1 }));
            if (end === "stored") return;
            conflicts++;
          }
        };
        const writer = async (): Promise<void> => {
          for (let done = 0; done < 10; done++) await increment();
        };
        await Promise.all(upTo(8).map(writer));
        expect(await readOne(store, 1)).toMatchObject({ points: 80, version: 81 });
        expect(conflicts).toBeGreaterThan(0);
      });

      promise("refuses a wallet or code that is another user's, until it is free", async (store) => {
        const ann = newUser(1, { walletAddress: "wallet" });
        const bob = newUser(2);
        await insert(store, ann, bob);
        expect(await insert(store, newUser(3, { referralCode: "code1" }))).toEqual(["taken"]);
        expect(await insert(store, newUser(3, { walletAddress: "wallet" }))).toEqual(["taken"]);
        expect(await update(store, changed(bob, { walletAddress: "wallet" }))).toEqual(["taken"]);
        expect(await readOne(store, 2)).toEqual(bob);
        expect((await store.read([toUserId(3)])).size).toBe(0);
        // Its own stays its own.
        const richer = changed(ann, { points: 3 });
        expect(await update(store, richer)).toEqual(["stored"]);
        expect(await update(store, changed(richer.user, { walletAddress: "other" }))).toEqual(["stored"]);
        expect(await update(store, changed(bob, { walletAddress: "wallet" }))).toEqual(["stored"]);
        expect((await store.byWallet("wallet"))?.telegramId).toBe(toUserId(2));
        expect((await store.byWallet("other"))?.telegramId).toBe(toUserId(1));
      });

      promise("lets each write of a batch end on its own, in order", async (store) => {
        const ann = newUser(1, { walletAddress: "w1" });
        const bob = newUser(2);
        await insert(store, ann, bob);
        const ends = await update(
          store,
          changed(ann, { points: 1 }),
          { user: newUser(3), before: undefined },
          { user: newUser(2), before: undefined },
          { user: newUser(4, { walletAddress: "w1" }), before: undefined },
          changed(newUser(9), { points: 1 }),
          changed(bob, { points: 2 }),
        );
        expect(ends).toEqual(["stored", "stored", "conflict", "taken", "conflict", "stored"]);
        const found = await store.read(upTo(9).map(toUserId));
        expect(found.size).toBe(3);
        expect([1, 2, 3].map((id) => found.get(toUserId(id))?.points)).toEqual([1, 2, 0]);
        expect(await update(store)).toEqual([]);
      });
    });

    describe("a reward", () => {
      const owing = (id: number, referredBy: number): User =>
        newUser(id, { referredBy: toUserId(referredBy), referral: { state: "owed", since: at } });

      promise("pays the referrer once, however many ask at the same time and later", async (store) => {
        await insert(store, newUser(1, { points: 10 }), owing(2, 1));
        const asked = upTo(20).map(() => store.reward([toUserId(2)], 50, at + 7));
        const ends = (await Promise.all(asked)).flat();
        expect(ends.filter(({ end }) => end === "paid")).toEqual([
          { referee: toUserId(2), end: "paid", referrer: toUserId(1) },
        ]);
        expect(ends).toContainEqual({ referee: toUserId(2), end: "not_owed" });
        expect(await store.reward([toUserId(2)], 50, at + 8)).toEqual([{ referee: toUserId(2), end: "not_owed" }]);
        const expected = { points: 60, referralCount: 1, version: 2, updatedAt: at + 7 };
        expect(await readOne(store, 1)).toMatchObject(expected);
        const paid = { referral: { state: "paid", since: at + 7 }, version: 2, updatedAt: at + 7 };
        expect(await readOne(store, 2)).toEqual({ ...owing(2, 1), ...paid } as User);
      });

      promise("is paid once for each of 1,000 referees of one referrer in one call", async (store) => {
        const referees = upTo(1_000).map((place) => place + 1);
        await insert(store, newUser(1), ...referees.map((id) => owing(id, 1)));
        const ends = await store.reward([...referees, 2, 3].map(toUserId), 50, at);
        expect(ends.map(({ referee }) => Number(referee))).toEqual([...referees, 2, 3]);
        expect(ends.map(({ end }) => end)).toEqual([...referees.map(() => "paid" as const), "not_owed", "not_owed"]);
        const referrer = await readOne(store, 1);
        expect(referrer).toMatchObject({ points: 50_000, referralCount: 1_000 });
        expect(referrer.version).toBeGreaterThan(1);
      });

      promise("conflicts with a write that was made from what was there before", async (store) => {
        const [referrer, referee] = [newUser(1), owing(2, 1)];
        await insert(store, referrer, referee);
        await store.reward([toUserId(2)], 50, at);
        const late = [changed(referrer, { points: 10 }), changed(referee, { points: 10 })];
        expect(await update(store, ...late)).toEqual(["conflict", "conflict"]);
        expect(await readOne(store, 1)).toMatchObject({ points: 50, referralCount: 1 });
      });

      promise("is not paid where nothing is owed, nobody is there, or it was paid", async (store) => {
        const paid = newUser(3, { referredBy: toUserId(1), referral: { state: "paid", since: at } });
        await insert(store, newUser(1), newUser(2, { referredBy: toUserId(1) }), paid);
        const asked = [2, 3, 4].map(toUserId);
        expect(await store.reward(asked, 50, at)).toEqual(asked.map((referee) => ({ referee, end: "not_owed" })));
        expect(await readOne(store, 1)).toEqual(newUser(1));
        expect(await readOne(store, 3)).toEqual(paid);
        expect(await store.reward([], 50, at)).toEqual([]);
      });

      promise("is paid to nobody, for ever, where the referrer does not exist", async (store) => {
        const alone = newUser(3, { referral: { state: "owed", since: at } });
        await insert(store, owing(2, 1), alone);
        const ends = [2, 3].map((id) => ({ referee: toUserId(id), end: "paid" as const }));
        expect(await store.reward([toUserId(2), toUserId(3)], 50, at)).toEqual(ends);
        await insert(store, newUser(1));
        expect((await store.reward([toUserId(2)], 50, at)).map(({ end }) => end)).toEqual(["not_owed"]);
        expect(await readOne(store, 1)).toEqual(newUser(1));
      });

      promise("passes from referee to referrer along a chain in one call", async (store) => {
        await insert(store, newUser(1), owing(2, 1), owing(3, 2));
        await store.reward([toUserId(2), toUserId(3)], 50, at);
        expect(await readOne(store, 1)).toMatchObject({ points: 50, referralCount: 1 });
        expect(await readOne(store, 2)).toMatchObject({ points: 50, referralCount: 1, referral: { state: "paid" } });
        expect(await readOne(store, 3)).toMatchObject({ points: 0, referral: { state: "paid" } });
      });
    });

    describe("finding", () => {
      promise("finds a user by referral code and by wallet, and nobody by another", async (store) => {
        await insert(store, fullUser(1), newUser(2));
        expect(await store.idOfCode("code1")).toBe(toUserId(1));
        expect(await store.idOfCode("code2")).toBe(toUserId(2));
        expect(await store.byWallet("0x1")).toEqual(fullUser(1));
        for (const text of ["", "CODE1", "code", "code1 ", "0x2"]) {
          expect(await store.idOfCode(text)).toBeUndefined();
          expect(await store.byWallet(text)).toBeUndefined();
        }
      });

      promise("finds users by device and address, at most so many", async (store) => {
        const on = (id: number, deviceFingerprint: string, ipAddress: string): User =>
          newUser(id, { deviceFingerprint, ipAddress });
        await insert(store, on(1, "d", "i"), on(2, "d", "i"), on(3, "d", "j"), on(4, "e", "i"), newUser(5));
        expect(rising(ids(await store.byDevice("d", "i", 10)))).toEqual([1, 2]);
        expect(await store.byDevice("d", "i", 1)).toHaveLength(1);
        expect(await store.byDevice("e", "j", 10)).toEqual([]);
      });

      promise("pages through the referrals of a user, the newest first", async (store) => {
        // As many at a time as come in one batch of updates.
        const brought = upTo(25).map((id) =>
          newUser(id + 10, { referredBy: toUserId(1), createdAt: at + Math.floor(((id * 7) % 26) / 8) }),
        );
        await insert(store, newUser(1), newUser(2, { referredBy: toUserId(3) }), ...brought);
        const newest = ids(brought.toSorted((a, b) => b.createdAt - a.createdAt || b.telegramId - a.telegramId));
        const paged: number[] = [];
        for (let after: User | undefined; ;) {
          const page = await store.referralsOf(toUserId(1), after === undefined ? { max: 10 } : { after, max: 10 });
          paged.push(...ids(page));
          if (page.length < 10) break;
          after = page.at(-1);
        }
        expect(paged).toEqual(newest);
        expect(await store.referralsOf(toUserId(9), { max: 10 })).toEqual([]);
      });

      promise("ranks active users by points, with equal points the lower id first", async (store) => {
        const points = [5, 90, 5, 5_000, 0] as const;
        await insert(store, ...points.map((each, place) => newUser(place + 1, { points: each })));
        await insert(store, newUser(8, { points: 7_000, isActive: false }));
        const all = await store.leaderboard(10);
        expect(all.map(({ telegramId }) => Number(telegramId))).toEqual([4, 2, 1, 3, 5]);
        expect(all[0]).toEqual({ telegramId: toUserId(4), firstName: "Ann 4", points: 5_000 });
        expect((await store.leaderboard(3)).map(({ telegramId }) => Number(telegramId))).toEqual([4, 2, 1]);
      });

      promise("pages through the active users of a bot by rising id", async (store) => {
        const member = (id: number, state: "active" | "blocked"): User =>
          newUser(id, { bots: { [bot]: { state, since: at }, [otherBot]: { state: "active", since: at } } });
        const users = upTo(25).map((id) => member(id, id % 5 === 0 ? "blocked" : "active"));
        await insert(store, ...users.toReversed(), newUser(30, { bots: {} }));
        const pages = async (of: BotId): Promise<number[]> => {
          const found: number[] = [];
          for (let after: UserId | undefined; ;) {
            const page = await store.activeIn(of, after === undefined ? { max: 7 } : { after, max: 7 });
            found.push(...page);
            if (page.length < 7) return found;
            after = page.at(-1) ?? after;
          }
        };
        expect(await pages(bot)).toEqual(upTo(25).filter((id) => id % 5 !== 0));
        expect(await pages(otherBot)).toEqual(upTo(25));
        expect(await pages(toBotId(5))).toEqual([]);
        await update(store, changed(member(1, "active"), { bots: { [bot]: { state: "blocked", since: at + 1 } } }));
        await update(store, changed(member(5, "blocked"), { bots: member(5, "active").bots }));
        expect(await pages(bot)).toEqual(upTo(25).filter((id) => (id % 5 !== 0 || id === 5) && id !== 1));
        expect(await pages(otherBot)).toEqual(upTo(25).filter((id) => id !== 1));
      });

      promise("tells what has been owed since before a time, until it is paid", async (store) => {
        const owed = (id: number, since: number): User => newUser(id, { referral: { state: "owed", since } });
        await insert(store, newUser(1), owed(2, at), owed(3, at + 10), owed(4, at + 20), newUser(5, fullPaid));
        expect(rising(await store.owedSince(at + 20, 10))).toEqual([2, 3]);
        expect(await store.owedSince(at + 20, 1)).toHaveLength(1);
        expect(await store.owedSince(at, 10)).toEqual([]);
        await store.reward([toUserId(2)], 50, at);
        expect(rising(await store.owedSince(at + 100, 10))).toEqual([3, 4]);
      });

      promise("has a histogram that equals a recount after any operations", async (store) => {
        const roll = dice(7);
        const known = new Map<number, User>();
        for (let round = 0; round < 60; round++) {
          const writes: Write[] = upTo(10).flatMap((place) => {
            const id = 1 + roll(20) + place * 20;
            const before = known.get(id);
            const points = roll(4) === 0 ? roll(1_000_000) : roll(3_000);
            const isActive = roll(4) > 0;
            const referral = { state: "owed", since: at } as const;
            if (before === undefined)
              return [
                { user: newUser(id, { points, isActive, referral, referredBy: toUserId(30) }), before: undefined },
              ];
            // Some of them conflict, some take a code that another has.
            const stale = roll(5) === 0 ? { version: before.version + 3 } : {};
            const taken = roll(6) === 0 ? { referralCode: `code${1 + roll(220)}` } : {};
            return [changed({ ...before, ...stale }, { points, isActive, ...taken })];
          });
          await update(store, ...writes);
          await store.reward([toUserId(1 + roll(220))], 50, at);
          for (const [id, user] of await store.read(upTo(240).map(toUserId))) known.set(id, user);
        }
        const buckets = (await store.histogram()).filter(({ users }) => users > 0);
        expect(buckets.map(({ from }) => from)).toEqual(buckets.map(({ from }) => from).toSorted((a, b) => a - b));
        const active = [...known.values()].filter(({ isActive }) => isActive);
        const recount = buckets.map(({ from }, place) => {
          const next = buckets[place + 1]?.from ?? Infinity;
          return { from, users: active.filter(({ points }) => points >= from && points < next).length };
        });
        expect(buckets).toEqual(recount);
        expect(buckets.reduce((sum, { users }) => sum + users, 0)).toBe(active.length);
        expect(buckets.length).toBeGreaterThan(50);
      });
    });

    promise("leaves a damaged document out of lists, and names it to who reads it alone", async (store, { damage }) => {
      if (damage === undefined) return;
      const users = upTo(9).map((id) =>
        fullUser(id, { points: 100 - id, createdAt: at + id, referredBy: toUserId(99), walletAddress: `w${id}` }),
      );
      await insert(store, ...users);
      for (const id of [1, 2, 5]) await damage(toUserId(id));
      const sound = [3, 4, 6, 7, 8, 9];
      expect(ids(await store.leaderboard(10))).toEqual(sound);
      // A list that is shorter than asked for has come to its end.
      expect(ids(await store.leaderboard(3))).toEqual([3, 4, 6]);
      expect(ids(await store.referralsOf(toUserId(99), { max: 5 }))).toEqual([9, 8, 7, 6, 4]);
      expect(ids(await store.referralsOf(toUserId(99), { after: users[3] as User, max: 5 }))).toEqual([3]);
      expect(rising(ids(await store.byDevice("device", "192.0.2.7", 10)))).toEqual(sound);
      expect(await store.byDevice("device", "192.0.2.7", 2)).toHaveLength(2);
      expect((await store.read([3, 4].map(toUserId))).size).toBe(2);
      for (const asked of [store.read([toUserId(5)]), store.byWallet("w5")]) {
        const error = await asked.catch((reason: unknown) => reason);
        expect(error).toMatchObject({ code: "user_invalid", message: expect.stringContaining("user 5 ") as string });
      }
      // Who only counts, pays or goes through ids is not in its way.
      expect(await store.idOfCode("code5")).toBe(toUserId(5));
      expect((await store.histogram()).reduce((sum, bucket) => sum + bucket.users, 0)).toBe(9);
      expect(await store.activeIn(bot, { max: 10 })).toHaveLength(9);
      expect((await store.reward([toUserId(6)], 50, at)).map(({ end }) => end)).toEqual(["paid"]);
    });

    promise("keeps what the store in memory keeps, after any writes and rewards", async (store) => {
      const roll = dice(11);
      const model = createMemoryUserStore();
      const known = upTo(20).map(toUserId);
      for (let round = 0; round < 100; round++) {
        const writes = known
          .filter(() => roll(4) === 0)
          .map((id): Write => {
            const before = model.users.get(id);
            if (before === undefined) return { user: otherwise(newUser(id), roll), before };
            // As the first tier gives it back, perhaps with less remembered, or of a version that is gone.
            const stale = roll(10) === 0 ? { version: before.version + 5 } : {};
            const copy = { ...structuredClone(before), applied: before.applied.slice(roll(2)), ...stale };
            return changed(copy, otherwise(copy, roll));
          });
        expect(await update(store, ...writes)).toEqual(await model.write(writes, ""));
        const referee = toUserId(1 + roll(20));
        expect(await store.reward([referee], 50, at + round)).toEqual(await model.reward([referee], 50, at + round));
        if (round % 10 === 9) expect(await store.read(known)).toEqual(await model.read(known));
      }
      expect(await store.leaderboard(30)).toEqual(await model.leaderboard(30));
      for (const each of [bot, otherBot]) {
        expect(await store.activeIn(each, { max: 30 })).toEqual(await model.activeIn(each, { max: 30 }));
      }
      expect(rising(await store.owedSince(at + 1, 30))).toEqual(rising(await model.owedSince(at + 1, 30)));
    });

    promise("gives hostile texts back verbatim, finds by them, and tells them apart", async (store) => {
      const users = hostileTexts.map((text, place) =>
        newUser(place + 1, {
          firstName: text,
          username: text,
          languageCode: text,
          walletAddress: text,
          referralCode: text,
          deviceFingerprint: text,
          ipAddress: text,
        }),
      );
      expect(new Set(await insert(store, ...users))).toEqual(new Set(["stored"]));
      const found = await store.read(users.map(({ telegramId }) => telegramId));
      for (const user of users) {
        expect(found.get(user.telegramId)).toEqual(user);
        expect(await store.idOfCode(user.referralCode)).toBe(user.telegramId);
        expect((await store.byWallet(user.walletAddress ?? ""))?.telegramId).toBe(user.telegramId);
        expect(ids(await store.byDevice(user.deviceFingerprint ?? "", user.ipAddress ?? "", 9))).toEqual([
          user.telegramId,
        ]);
      }
      const names = (await store.leaderboard(100)).map(({ firstName }) => firstName);
      expect(names).toEqual([...hostileTexts]);
      expect(({} as Record<string, unknown>)["stored"]).toBeUndefined();
    });

    promise("keeps what it stored when it is opened again", async (store, { reopen }) => {
      if (reopen === undefined) return;
      await insert(store, fullUser(1), fullUser(2, { referredBy: toUserId(1), walletAddress: "w" }));
      await store.reward([toUserId(2)], 50, at);
      const before = await store.read([1, 2].map(toUserId));
      const again = await reopen();
      expect(await again.read([1, 2].map(toUserId))).toEqual(before);
      expect(await again.histogram()).toEqual([
        { from: 10, users: 1 },
        { from: 60, users: 1 },
      ]);
    });

    promise(
      "ends every write of an outage with `unavailable`, changes nothing, and tells both ends of it",
      async (store, { fail }) => {
        if (fail === undefined) return;
        const states: StoreState[] = [];
        const stopListening = store.onState((state) => states.push(state));
        const ann = newUser(1);
        const owing = newUser(2, { referredBy: toUserId(1), referral: { state: "owed", since: at } });
        await insert(store, ann, owing);
        const repair = await fail();
        const writes = [insert(store, newUser(3)), update(store, changed(ann, { points: 9 }))];
        for (const end of await Promise.allSettled([...writes, store.reward([toUserId(2)], 50, at)])) {
          const error: unknown = end.status === "rejected" ? end.reason : undefined;
          expect(error).toBeInstanceOf(Fault);
          expect((error as Fault).code).toBe("unavailable");
        }
        expect(states).toEqual(["lost"]);
        const found = Promise.withResolvers<void>();
        store.onState((state) => state === "ok" && found.resolve());
        await repair();
        // Nobody writes: the store looks for itself.
        await found.promise;
        expect(states).toEqual(["lost", "ok"]);
        expect([...(await store.read([1, 2, 3].map(toUserId))).values()]).toEqual([ann, owing]);
        stopListening();
        expect(await update(store, changed(ann, { points: 9 }))).toEqual(["stored"]);
        expect((await store.reward([toUserId(2)], 50, at)).map(({ end }) => end)).toEqual(["paid"]);
      },
    );

    promise("stores what was asked before its stop, and refuses what comes later", async (store, { reopen }) => {
      if (reopen === undefined) return;
      const asked = insert(store, newUser(1));
      const stopped = store.stop();
      const late = insert(store, newUser(2)).catch((error: unknown) => error);
      expect(await asked).toEqual(["stored"]);
      await stopped;
      await store.stop();
      expect(await late).toMatchObject({ code: "unavailable" });
      expect([...(await (await reopen()).read([1, 2].map(toUserId))).keys()]).toEqual([toUserId(1)]);
    });
  });
}

/** One to three of its fields are others. */
function otherwise(user: User, roll: (end: number) => number): User {
  const flip = (): boolean => roll(2) === 0;
  const changes: readonly (() => Partial<User>)[] = [
    () => ({ points: roll(3_000) }),
    () => ({ isActive: flip() }),
    () => ({ bots: { [flip() ? bot : otherBot]: { state: flip() ? "active" : "blocked", since: at + roll(9) } } }),
    () => ({ walletAddress: `w${roll(12)}` }),
    () => ({ referral: { state: flip() ? "owed" : "paid", since: at }, referredBy: nextTo(user) }),
    () => ({ referral: { state: "none" } }),
    () => ({ isVerified: flip(), miniappVerified: flip() }),
    () => ({ deviceFingerprint: `d${roll(3)}`, ipAddress: `i${roll(3)}` }),
    () => ({ firstName: hostileTexts[roll(12)] ?? "", daily: { last: roll(30_000), before: roll(2 ** 31) } }),
    () => ({ applied: [mark(roll(90), { kind: "already" }), mark(90 + roll(9), { kind: "wallet_taken" })] }),
  ];
  const made = { ...user, updatedAt: at + roll(9) };
  for (let times = 1 + roll(3); times > 0; times--) Object.assign(made, changes[roll(changes.length)]?.());
  return made;
}

function nextTo({ telegramId }: User): UserId {
  return toUserId((telegramId % 20) + 1);
}

const fullPaid: Partial<User> = { referral: { state: "paid", since: at } };
