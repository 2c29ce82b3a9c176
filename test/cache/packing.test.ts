import { expect, test } from "bun:test";
import fc from "fast-check";
import { pack, unpack } from "../../src/cache/packing.ts";
import { toSeq, toUserId } from "../../src/ids.ts";
import type { User } from "../../src/users/user.ts";

const text = fc.string({ unit: "binary", maxLength: 20 });
const time = fc.integer({ min: 0, max: 2 ** 45 });
const maybe = <T>(name: string, value: fc.Arbitrary<T>): fc.Arbitrary<Record<string, T>> =>
  fc.option(value, { nil: undefined }).map((found) => (found === undefined ? {} : { [name]: found }));

const bots = fc.dictionary(
  fc.integer({ min: 1, max: 2 ** 40 }).map(String),
  fc.record({ state: fc.constantFrom("active" as const, "blocked" as const), since: time }),
);
const applied = fc.array(
  fc
    .tuple(
      fc.record({
        op: text,
        partition: fc.nat(16),
        seq: fc.nat().map(toSeq),
        outcome: fc.record({ kind: fc.constant("granted" as const), points: fc.nat(), owes: fc.boolean() }),
      }),
      maybe("at", time),
    )
    .map(([one, at]) => Object.assign(one, at)),
  { maxLength: 3 },
);
const id = fc.integer({ min: 1, max: 2 ** 52 }).map(toUserId);

const required = fc.record({
  telegramId: id,
  firstName: text,
  referralCode: text,
  points: fc.nat(),
  referralCount: fc.nat(),
  isActive: fc.boolean(),
  isVerified: fc.boolean(),
  miniappVerified: fc.boolean(),
  createdAt: time,
  updatedAt: time,
  version: fc.nat(),
  bots,
  referral: fc.oneof(
    fc.constant({ state: "none" as const }),
    fc.record({ state: fc.constantFrom("owed" as const, "paid" as const), since: time }),
  ),
  applied,
});
const optional = fc.tuple(
  maybe("username", text),
  maybe("languageCode", text),
  maybe("walletAddress", text),
  maybe("referredBy", id),
  maybe("deviceFingerprint", text),
  maybe("ipAddress", text),
  maybe("daily", fc.record({ last: fc.nat(), before: fc.integer({ min: 0, max: 2 ** 32 - 1 }) })),
);
const users: fc.Arbitrary<User> = fc
  .tuple(required, optional)
  .map(([user, fields]) => Object.assign({}, user, ...fields) as User);

test("a user comes back from its packing as it was, whatever its fields hold", () => {
  fc.assert(
    fc.property(users, (user) => {
      const packed = pack(user);
      expect(unpack(packed)).toEqual(user);
      // A letter beyond Latin-1 would double the memory of all of it.
      expect(/^[\0-\xff]*$/.test(packed)).toBe(true);
    }),
    { numRuns: 2_000 },
  );
});
