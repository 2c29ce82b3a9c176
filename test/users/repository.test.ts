/** What the users promise over a store in memory. Longer than other files because the promises of one part belong side by side. */
import { describe, expect, test } from "bun:test";
import { limits } from "../../config/limits.ts";
import { type Attempt, createAttemptScope } from "../../src/attempts.ts";
import { toSeq, toUserId } from "../../src/ids.ts";
import { Fault, faultOf } from "../../src/faults.ts";
import type { Operation } from "../../src/users/operations.ts";
import { fakeAttempt } from "../support/fake-attempt.ts";
import { bot, createUsersRig, register } from "./rig.ts";

const daily = { kind: "daily" } as const;
const dayMs = 86_400_000;

describe("an operation", () => {
  test("takes effect once and answers the same, however often its update is run", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 5, register()));
    const first = await rig.until(rig.inUpdate(2, 5, daily));
    rig.tier.forget([toUserId(5)]);
    const again = await rig.until(rig.inUpdate(2, 5, daily));
    expect(first).toEqual({ kind: "granted", points: 10, owes: false });
    expect(again).toEqual(first);
    expect(rig.durable.users.get(toUserId(5))).toMatchObject({ points: 10, version: 2 });
  });

  test("replayed after 10,000 others on the same user changes nothing and answers as at first", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 5, register()));
    const at = rig.clock.now();
    const first = await rig.until(rig.inUpdate(2, 5, daily, at));
    for (let seq = 3; seq < 10_003; seq++) {
      // The oldest one stays unsettled all the time: nothing is below it.
      rig.state.settledBelow = 2;
      await rig.until(rig.inUpdate(seq, 5, { kind: "set_wallet", wallet: `w${seq}` }, at));
      rig.state.unsettled.delete(toSeq(seq));
    }
    const before = rig.durable.users.get(toUserId(5));
    expect(await rig.until(rig.inUpdate(2, 5, daily, at + dayMs))).toEqual(first);
    expect(rig.durable.users.get(toUserId(5))).toEqual(before as NonNullable<typeof before>);
    // 500,000 users in memory would take gigabytes with a hundred each.
    expect(before?.applied.length).toBeLessThan(10);
  });

  test("is forgotten when its update is settled", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 5, register()));
    rig.state.settledBelow = 2;
    await rig.until(rig.inUpdate(2, 5, daily));
    expect(rig.durable.users.get(toUserId(5))?.applied.map(({ seq }) => Number(seq))).toEqual([2]);
  });

  test("waits while too many updates of its user may still come again, and a replay does not", async () => {
    const rig = createUsersRig({ limits: { appliedCheckAt: 4, appliedMax: 8 } });
    await rig.until(rig.inUpdate(1, 5, register()));
    for (let seq = 2; seq <= 8; seq++) await rig.until(rig.inUpdate(seq, 5, { kind: "set_wallet", wallet: `w${seq}` }));
    const refused = await rig.until(rig.inUpdate(9, 5, { kind: "set_wallet", wallet: "w9" })).catch(faultOf);
    expect(refused).toMatchObject({ code: "unavailable" });
    expect(await rig.until(rig.inUpdate(8, 5, { kind: "set_wallet", wallet: "w8" }))).toMatchObject({
      kind: "wallet_set",
    });
    rig.state.unsettled.delete(toSeq(3));
    expect(await rig.until(rig.inUpdate(9, 5, { kind: "set_wallet", wallet: "w9" }))).toMatchObject({
      kind: "wallet_set",
    });
  });

  test("of another inbox's update blocks its user until it is old, and no longer", async () => {
    const rig = createUsersRig({ limits: { appliedCheckAt: 4, appliedMax: 8 } });
    const { othersMaxMs } = limits.users;
    const partitionsOf = () => rig.durable.users.get(toUserId(5))?.applied.map(({ partition }) => partition);
    await rig.until(rig.inUpdate(1, 5, register()));
    // An inbox that was lost again and again.
    const setWallet = (life: number, receivedAt = rig.clock.now()) =>
      rig.until(rig.inUpdate(1 + life, 5, { kind: "set_wallet", wallet: `w${life}` }, receivedAt, life));
    // However old the update: it is a short time ago that it took effect.
    for (let life = 1; life <= 7; life++) await setWallet(life, rig.clock.now() - othersMaxMs);
    expect(await setWallet(8).catch(faultOf)).toMatchObject({ code: "unavailable" });
    await rig.clock.advance(othersMaxMs);
    expect(await setWallet(8)).toMatchObject({ kind: "wallet_set" });
    expect(partitionsOf()).toEqual([0, 8]);
  });

  test("that found nobody finds nobody again, though the next update of the chat has registered the user since", async () => {
    const rig = createUsersRig();
    const received = rig.clock.now();
    expect(await rig.until(rig.inUpdate(1, 5, daily))).toEqual({ kind: "unregistered" });
    expect(await rig.until(rig.inUpdate(2, 5, register()))).toEqual({ kind: "registered" });
    // Neither was settled when the process died.
    expect(await rig.until(rig.inUpdate(1, 5, daily, received))).toEqual({ kind: "unregistered" });
    expect(await rig.until(rig.inUpdate(2, 5, register()))).toEqual({ kind: "registered" });
    expect(rig.durable.users.get(toUserId(5))?.points).toBe(0);
    expect(await rig.until(rig.inUpdate(3, 5, daily))).toMatchObject({ kind: "granted" });
  });

  test("of a bot's own timer, which fires when its update is over, does not need the update's partition any more", async () => {
    const scope = createAttemptScope();
    const rig = createUsersRig({ scope });
    await rig.until(rig.inUpdate(1, 5, register()));
    const change = (changes: Partial<Attempt>) =>
      rig.until(
        scope.run(fakeAttempt(2, { bot, mayAct: () => false, ...changes }), () =>
          rig.repository.change(toUserId(5), daily),
        ),
      );
    expect(await change({}).catch(faultOf)).toMatchObject({ code: "unavailable" });
    expect(await change({ isOver: true })).toMatchObject({ kind: "granted" });
  });

  test("tells its update that storage answered, which says nothing of Telegram", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 5, register()));
    expect(rig.answerers).toEqual(["storage"]);
  });

  test.each<[string, unknown, unknown]>([
    ["of no kind", 5, { kind: "dayly" }],
    ["without a user", undefined, { kind: "daily" }],
    ["for a user whose id is none", 1.5, { kind: "daily" }],
    ["with a profile without a name", 5, { kind: "register", bot, profile: {} }],
    ["with a name that is no text", 5, { kind: "register", bot, profile: { firstName: "P", username: 7 } }],
    ["without a profile", 5, { kind: "register", bot }],
    ["with a bot that is none", 5, { kind: "register", bot: "7", profile: { firstName: "P" } }],
    ["with a referrer that is none", 5, { kind: "register", bot, profile: { firstName: "P" }, referrer: "ref" }],
    ["with a wallet that is no text", 5, { kind: "set_wallet", wallet: 7 }],
    ["with an empty wallet", 5, { kind: "set_wallet", wallet: "" }],
    ["with a state that is none", 5, { kind: "set_bot_state", bot, state: "asleep" }],
  ])("%s is its caller's mistake: no outage, and nothing of it is stored", async (_what, id, operation) => {
    const rig = createUsersRig();
    const ended = await rig
      .until(rig.inUpdate(1, id as number, operation as Operation))
      .catch((error: unknown) => error);
    expect(ended).toBeInstanceOf(TypeError);
    expect(rig.durable.users.size).toBe(0);
  });

  test("outside of an update is done and not remembered", async () => {
    const rig = createUsersRig();
    await rig.until(rig.repository.change(toUserId(5), { kind: "register", bot, profile: { firstName: "P" } }));
    expect(rig.durable.users.get(toUserId(5))?.applied).toEqual([]);
  });
});

describe("changes", () => {
  test("of one user that come together are one write", async () => {
    const rig = createUsersRig({ limits: { appliedMax: 2_000, appliedCheckAt: 2_000 } });
    await rig.until(rig.inUpdate(1, 5, register()));
    const firstAt = rig.clock.now();
    const changes = Array.from({ length: 1_000 }, (_, at) => rig.inUpdate(2 + at, 5, daily, firstAt + at * dayMs));
    await rig.until(Promise.all(changes));
    expect(rig.writes.length).toBe(2);
    expect(rig.durable.users.get(toUserId(5))).toMatchObject({ points: 10_000, version: 2 });
  });

  test("of many users are one write of each", async () => {
    const rig = createUsersRig();
    const changes = Array.from({ length: 500 }, (_, at) => rig.inUpdate(1 + at, 100 + at, register()));
    await rig.until(Promise.all(changes));
    expect(rig.writes.map((group) => group.length)).toEqual([500]);
  });

  test("fold again on what another instance stored meanwhile", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 5, register()));
    const user = rig.durable.users.get(toUserId(5));
    if (user === undefined) throw new Error("the user was not registered");
    await rig.durable.write([{ user: { ...user, points: 40, version: 2 }, before: user }], "another");
    expect(await rig.until(rig.inUpdate(2, 5, daily))).toMatchObject({ points: 50 });
  });

  test("to a wallet of somebody else are refused for that one alone, and stay refused", async () => {
    const rig = createUsersRig();
    for (const id of [5, 6]) await rig.until(rig.inUpdate(id, id, register()));
    await rig.until(rig.inUpdate(10, 5, { kind: "set_wallet", wallet: "mine" }));
    const [granted, taken] = await rig.until(
      Promise.all([rig.inUpdate(11, 6, daily), rig.inUpdate(12, 6, { kind: "set_wallet", wallet: "mine" })]),
    );
    expect([granted?.kind, taken?.kind]).toEqual(["granted", "wallet_taken"]);
    await rig.until(rig.inUpdate(13, 5, { kind: "set_wallet", wallet: "other" }));
    expect(await rig.until(rig.inUpdate(12, 6, { kind: "set_wallet", wallet: "mine" }))).toEqual({
      kind: "wallet_taken",
    });
    expect(await rig.until(rig.inUpdate(14, 6, { kind: "set_wallet", wallet: "mine" }))).toMatchObject({
      kind: "wallet_set",
    });
  });

  test("to two wallets at once are each judged by the store: one of somebody else is not hidden by the next", async () => {
    const rig = createUsersRig();
    for (const id of [5, 6]) await rig.until(rig.inUpdate(id, id, register()));
    await rig.until(rig.inUpdate(10, 5, { kind: "set_wallet", wallet: "theirs" }));
    const wallets = ["theirs", "free", "theirs", "last"];
    const ends = wallets.map((wallet, at) => rig.inUpdate(11 + at, 6, { kind: "set_wallet", wallet }));
    expect((await rig.until(Promise.all(ends))).map(({ kind }) => kind)).toEqual([
      "wallet_taken",
      "wallet_set",
      "wallet_taken",
      "wallet_set",
    ]);
    expect(rig.durable.users.get(toUserId(6))?.walletAddress).toBe("last");
  });

  test("are refused beyond what may wait, and taken again once there is room", async () => {
    const rig = createUsersRig({ limits: { pendingMax: 2 } });
    const waiting = [rig.inUpdate(1, 1, register()), rig.inUpdate(2, 2, register())];
    expect(await rig.inUpdate(3, 3, register()).catch(faultOf)).toMatchObject({ code: "unavailable" });
    await rig.until(Promise.all(waiting));
    expect(await rig.until(rig.inUpdate(3, 3, register()))).toMatchObject({ kind: "registered" });
  });

  test("end as unavailable while storage is down, and take effect once when it is back", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 5, register()));
    rig.state.isDown = true;
    for (let second = 0; second < 60; second++) {
      expect(await rig.until(rig.inUpdate(2, 5, daily)).catch(faultOf)).toBeInstanceOf(Fault);
      await rig.clock.advance(1_000);
    }
    rig.state.isDown = false;
    expect(await rig.until(rig.inUpdate(2, 5, daily))).toMatchObject({ kind: "granted", points: 10 });
    expect(rig.durable.users.get(toUserId(5))?.points).toBe(10);
  });

  test("whose answer is lost end as an outage that nobody need ask about, and are found again", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 5, register()));
    rig.state.deafTo.add("write");
    const lost = await rig.until(rig.inUpdate(2, 5, daily)).catch(faultOf);
    // `unknown` is the word for a message that may be sent twice; an update that meets it a hundred times is given up.
    expect(lost).toMatchObject({ code: "unavailable", effect: "not_done" });
    rig.state.deafTo.clear();
    expect((await rig.repository.get(toUserId(5)))?.points).toBe(10);
    expect(await rig.until(rig.inUpdate(2, 5, daily))).toMatchObject({ kind: "granted", points: 10 });
    expect(rig.durable.users.get(toUserId(5))?.points).toBe(10);
  });

  test("of others go on beside a user whose document is damaged", async () => {
    const rig = createUsersRig();
    await rig.until(Promise.all([1, 2, 3].map((id) => rig.inUpdate(id, id, register()))));
    for (const id of [1, 2, 3]) rig.tier.forget([toUserId(id)]);
    rig.state.damaged = toUserId(2);
    const ends = [1, 2, 3].map((id) =>
      rig.inUpdate(10 + id, id, daily).then(
        ({ kind }) => kind,
        (error: unknown) => faultOf(error)?.code,
      ),
    );
    expect(await rig.until(Promise.all(ends))).toEqual(["granted", "user_invalid", "granted"]);
    // However many they are, in one write.
    expect(rig.writes.at(-1)?.map(({ user }) => Number(user.telegramId))).toEqual([1, 3]);
    expect((await rig.repository.get(toUserId(3)))?.points).toBe(10);
  });

  test("of others go on beside a user whose document the store cannot hold", async () => {
    const rig = createUsersRig();
    await rig.until(Promise.all([1, 2, 3].map((id) => rig.inUpdate(id, id, register()))));
    rig.state.tooLarge = toUserId(2);
    const ends = [1, 2, 3].map((id) =>
      rig.inUpdate(10 + id, id, daily).then(
        ({ kind }) => kind,
        (error: unknown) => faultOf(error)?.code,
      ),
    );
    expect(await rig.until(Promise.all(ends))).toEqual(["granted", "user_invalid", "granted"]);
    expect((await rig.repository.get(toUserId(2)))?.points).toBe(0);
  });

  test("of others go on beside a user whom the store cannot write, whatever it says", async () => {
    const rig = createUsersRig();
    await rig.until(Promise.all([1, 2, 3].map((id) => rig.inUpdate(id, id, register()))));
    rig.state.unwritable = toUserId(2);
    const ends = [1, 2, 3].map((id) =>
      rig.inUpdate(10 + id, id, daily).then(
        ({ kind }) => kind,
        (error: unknown) => faultOf(error)?.code,
      ),
    );
    expect(await rig.until(Promise.all(ends))).toEqual(["granted", "unavailable", "granted"]);
    rig.state.unwritable = undefined;
    expect(await rig.until(rig.inUpdate(12, 2, daily))).toMatchObject({ kind: "granted", points: 10 });
  });

  test("that wait are stored before the stop ends, and later ones are refused", async () => {
    const rig = createUsersRig();
    const change = rig.inUpdate(1, 5, register());
    await rig.until(rig.repository.stop());
    expect(await change).toMatchObject({ kind: "registered" });
    expect(await rig.inUpdate(2, 5, daily).catch(faultOf)).toMatchObject({ code: "unavailable" });
  });
});

describe("a reward", () => {
  test("of each of 1,000 referees at once is paid once", async () => {
    const rig = createUsersRig();
    await rig.until(rig.inUpdate(1, 1, register()));
    const ids = Array.from({ length: 1_000 }, (_, at) => 10 + at);
    await rig.until(Promise.all(ids.map((id) => rig.inUpdate(id, id, register(1)))));
    for (let run = 0; run < 2; run++) {
      await rig.until(Promise.all(ids.map((id) => rig.inUpdate(10_000 + id, id, daily))));
    }
    expect(await rig.repository.get(toUserId(1))).toMatchObject({ points: 50_000, referralCount: 1_000 });
    expect(rig.calls.reward).toBeLessThan(10);
  });

  test("whose answer is lost is shown to its referrer all the same", async () => {
    const rig = createUsersRig();
    for (const [id, referrer] of [[1], [2, 1]] as const) await rig.until(rig.inUpdate(id, id, register(referrer)));
    expect(await rig.repository.get(toUserId(1))).toMatchObject({ points: 0 });
    rig.state.deafTo.add("reward");
    await rig.until(rig.inUpdate(3, 2, daily));
    expect(await rig.repository.get(toUserId(1))).toMatchObject({ points: 50, referralCount: 1 });
  });

  test("that takes effect long after its answer was lost is shown with the next sweeps", async () => {
    const rig = createUsersRig();
    for (const [id, referrer] of [[1], [2, 1]] as const) await rig.until(rig.inUpdate(id, id, register(referrer)));
    rig.repository.start();
    rig.state.rewardsFail = new Fault("unavailable", "no answer", { effect: "unknown" });
    await rig.until(rig.inUpdate(3, 2, daily));
    rig.state.rewardsFail = false;
    expect(await rig.repository.get(toUserId(1))).toMatchObject({ points: 0 });
    await rig.durable.reward([toUserId(2)], 50, rig.clock.now());
    expect(await rig.repository.get(toUserId(1))).toMatchObject({ points: 0 });
    await rig.clock.advance(limits.users.sweepMs + 1_000);
    expect(await rig.repository.get(toUserId(1))).toMatchObject({ points: 50, referralCount: 1 });
  });

  test("is not hidden by a write of its referrer that was stored before it and is answered after it", async () => {
    const rig = createUsersRig();
    for (const [id, referrer] of [[1], [2, 1]] as const) await rig.until(rig.inUpdate(id, id, register(referrer)));
    rig.state.rewardsFail = new Fault("unavailable", "storage is down");
    await rig.until(rig.inUpdate(3, 2, daily));
    rig.state.rewardsFail = false;
    await rig.clock.advance(61_000);
    const answered = Promise.withResolvers<void>();
    rig.state.writesAnswered = answered.promise;
    const wallet = rig.inUpdate(4, 1, { kind: "set_wallet", wallet: "w" });
    await rig.clock.advance(10);
    rig.repository.start();
    await rig.clock.advance(10);
    expect(rig.durable.users.get(toUserId(1))).toMatchObject({ points: 50, walletAddress: "w" });
    answered.resolve();
    await rig.until(wallet);
    expect(await rig.repository.get(toUserId(1))).toMatchObject({ points: 50, walletAddress: "w" });
  });

  test("that fails for another reason than an outage is told, and paid when that has passed", async () => {
    const rig = createUsersRig();
    for (const [id, referrer] of [[1], [2, 1]] as const) await rig.until(rig.inUpdate(id, id, register(referrer)));
    rig.state.rewardsFail = new Error("no transactions here");
    await rig.until(rig.inUpdate(3, 2, daily));
    expect(rig.errors).toEqual(["referrers could not be credited; it is tried again"]);
    rig.state.rewardsFail = false;
    rig.repository.start();
    await rig.clock.advance(100_000);
    expect(rig.durable.users.get(toUserId(1))).toMatchObject({ points: 50, referralCount: 1 });
    expect(rig.errors).toHaveLength(1);
  });

  test("that cannot be paid keeps no other from being paid", async () => {
    const rig = createUsersRig();
    for (const [id, referrer] of [[1], [2, 1], [3, 1], [4, 1]] as const)
      await rig.until(rig.inUpdate(id, id, register(referrer)));
    rig.state.rewardsFail = new Error("something is wrong with this one");
    rig.state.unpayable = toUserId(3);
    await rig.until(Promise.all([2, 3, 4].map((id) => rig.inUpdate(10 + id, id, daily))));
    expect(rig.durable.users.get(toUserId(1))).toMatchObject({ points: 100, referralCount: 2 });
    expect(rig.errors).toHaveLength(1);
  });

  test("that could not be paid at once is swept a minute later", async () => {
    const rig = createUsersRig();
    for (const [id, referrer] of [[1], [2, 1]] as const) await rig.until(rig.inUpdate(id, id, register(referrer)));
    rig.state.rewardsFail = new Fault("unavailable", "storage is down");
    expect(await rig.until(rig.inUpdate(3, 2, daily))).toMatchObject({ kind: "granted", owes: true });
    expect(rig.durable.users.get(toUserId(1))?.points).toBe(0);
    rig.state.rewardsFail = false;
    rig.repository.start();
    await rig.clock.advance(50_000);
    expect(rig.durable.users.get(toUserId(1))?.points).toBe(0);
    await rig.clock.advance(50_000);
    expect(rig.durable.users.get(toUserId(1))).toMatchObject({ points: 50, referralCount: 1 });
  });
});

describe("the leaderboard", () => {
  test("ranks the first exactly and the others by how points are spread, and is read twice a minute at most", async () => {
    const rig = createUsersRig({ limits: { exactMax: 20 } });
    const users = Array.from({ length: 100 }, (_, at) => 1 + at);
    await rig.until(Promise.all(users.map((id) => rig.inUpdate(id, id, register()))));
    for (const id of users) {
      const user = rig.durable.users.get(toUserId(id));
      if (user === undefined) throw new Error("not registered");
      await rig.durable.write([{ user: { ...user, points: id * 10, version: 2 }, before: user }], "test");
    }
    const board = await rig.until(rig.repository.leaderboard());
    expect(board.top.map(({ points }) => points)).toEqual([1000, 990, 980, 970, 960, 950, 940, 930, 920, 910]);
    const placeOf = (id: number): unknown => {
      const user = rig.durable.users.get(toUserId(id));
      return user === undefined ? undefined : board.rankOf(user);
    };
    expect(placeOf(100)).toEqual({ place: 1, isExact: true });
    expect(placeOf(81)).toEqual({ place: 20, isExact: true });
    expect(placeOf(80)).toEqual({ place: 21, isExact: false });
    expect(placeOf(1)).toEqual({ place: 100, isExact: false });
    await rig.clock.advance(29_000);
    await rig.repository.leaderboard();
    expect(rig.calls.leaderboard).toBe(1);
    await rig.clock.advance(2_000);
    rig.state.isDown = true;
    expect((await rig.repository.leaderboard()).top).toEqual(board.top);
    expect(rig.calls.leaderboard).toBe(2);
  });
});
