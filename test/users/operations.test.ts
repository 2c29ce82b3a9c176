import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { toBotId, toUserId } from "../../src/ids.ts";
import { apply, type Operation } from "../../src/users/operations.ts";
import type { Outcome } from "../../src/users/outcome.ts";
import type { User } from "../../src/users/user.ts";

const id = toUserId(5);
const bot = toBotId(7);
const dayMs = 86_400_000;
const day0 = 1_700_000_000_000 - (1_700_000_000_000 % dayMs);
const register: Operation = { kind: "register", bot, profile: { firstName: "P" } };

function run(user: User | undefined, operation: Operation, at = day0): { user: User; outcome: Outcome } {
  const { user: changed, outcome } = apply(user, operation, { id, at, code: "abcdefgh" });
  if (changed === undefined) throw new Error("there is no user");
  return { user: changed, outcome };
}

function registered(referrer?: number): User {
  return run(undefined, { ...register, ...(referrer === undefined ? {} : { referrer: toUserId(referrer) }) }).user;
}

describe("register", () => {
  test("takes of a profile what it is made of, whatever else a module hands over", () => {
    const profile = {
      firstName: "P",
      username: undefined,
      points: 9,
      telegramId: 1,
      walletAddress: "w",
      isVerified: true,
    };
    const handedOver = (firstName: string): Operation =>
      ({ kind: "register", bot, profile: { ...profile, firstName } }) as unknown as Operation;
    expect(run(undefined, handedOver("P")).user).toStrictEqual(registered());
    expect(run(registered(), handedOver("Q")).user).toStrictEqual({ ...registered(), firstName: "Q" });
  });

  test("makes a user with the code it is given, active in the bot", () => {
    expect(registered(9)).toEqual({
      telegramId: id,
      firstName: "P",
      referralCode: "abcdefgh",
      referredBy: toUserId(9),
      points: 0,
      referralCount: 0,
      isActive: true,
      isVerified: false,
      miniappVerified: false,
      createdAt: day0,
      updatedAt: day0,
      version: 0,
      bots: { "7": { state: "active", since: day0 } },
      referral: { state: "none" },
      applied: [],
    });
  });

  test("never makes somebody their own referrer", () => {
    expect(registered(5).referredBy).toBeUndefined();
  });

  test("of a known user keeps referrer and code, refreshes the profile and drops what it no longer has", () => {
    const before = run(registered(9), { ...register, profile: { firstName: "Q", username: "q" } }).user;
    const { user, outcome } = run(before, { ...register, referrer: toUserId(11) });
    expect(user).toMatchObject({ firstName: "P", referredBy: toUserId(9), referralCode: "abcdefgh" });
    expect("username" in user).toBe(false);
    expect(outcome).toEqual({ kind: "known", returned: false });
  });

  test("of a known user without news changes nothing at all", () => {
    const before = registered();
    expect(run(before, register).user).toBe(before);
  });

  test("in another bot, or after a stop, is a return", () => {
    const stopped = run(registered(), { kind: "set_bot_state", bot, state: "blocked" }).user;
    expect(stopped.isActive).toBe(false);
    expect(run(stopped, register)).toMatchObject({ user: { isActive: true }, outcome: { returned: true } });
    expect(run(stopped, { ...register, bot: toBotId(8) })).toMatchObject({
      user: { isActive: true, bots: { "7": { state: "blocked" }, "8": { state: "active" } } },
    });
  });
});

describe("daily", () => {
  test("is granted once per UTC day, and the first one ever owes the referrer", () => {
    const first = run(registered(9), { kind: "daily" }, day0 + 5);
    expect(first).toMatchObject({
      user: { points: 10, referral: { state: "owed", since: day0 + 5 } },
      outcome: { owes: true },
    });
    expect(run(first.user, { kind: "daily" }, day0 + dayMs - 1).outcome).toEqual({ kind: "already" });
    const next = run(first.user, { kind: "daily" }, day0 + dayMs);
    expect(next.outcome).toEqual({ kind: "granted", points: 20, owes: false });
  });

  test("without a referrer owes nobody", () => {
    expect(run(registered(), { kind: "daily" })).toMatchObject({
      user: { referral: { state: "none" } },
      outcome: { owes: false },
    });
  });

  test("is granted for exactly the days of a month, in whatever order they are received", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 31 }), { maxLength: 60 }), (days) => {
        let user = registered();
        const granted = new Set<number>();
        for (const day of days) {
          const { user: after, outcome } = run(user, { kind: "daily" }, day0 + day * dayMs);
          expect(outcome.kind).toBe(granted.has(day) ? "already" : "granted");
          granted.add(day);
          user = after;
        }
        expect(user.points).toBe(granted.size * 10);
      }),
    );
  });

  test("is refused for a day that lies too far back to be known, and never granted twice across long pauses", () => {
    const later = run(run(registered(), { kind: "daily" }).user, { kind: "daily" }, day0 + 100 * dayMs).user;
    expect(later.points).toBe(20);
    for (const day of [0, 50, 68])
      expect(run(later, { kind: "daily" }, day0 + day * dayMs).outcome.kind).toBe("already");
    expect(run(later, { kind: "daily" }, day0 + 69 * dayMs).outcome.kind).toBe("granted");
  });
});

test("every operation but register answers that there is no such user", () => {
  const operations: Operation[] = [
    { kind: "daily" },
    { kind: "set_wallet", wallet: "w" },
    { kind: "set_bot_state", bot, state: "active" },
  ];
  for (const operation of operations) {
    expect(apply(undefined, operation, { id, at: 0, code: "" })).toEqual({
      user: undefined,
      outcome: { kind: "unregistered" },
    });
  }
});

test("a wallet is set, replaced, and the same again changes nothing", () => {
  const first = run(registered(), { kind: "set_wallet", wallet: "w1" });
  expect(first.outcome).toEqual({ kind: "wallet_set", replaced: false });
  expect(run(first.user, { kind: "set_wallet", wallet: "w2" }).outcome).toEqual({ kind: "wallet_set", replaced: true });
  expect(run(first.user, { kind: "set_wallet", wallet: "w1" })).toEqual({
    user: first.user,
    outcome: { kind: "wallet_same" },
  });
});
