/**
 * Every way in which a write or a reward can be interrupted, on a real server: see the heads of `mongodb-compare-and-set.ts` and `mongodb-rewards.ts`.
 * What depends on several members (a step-down, a roll-back) cannot be had on one; its errors are injected. Longer than other files because one server
 * serves them all.
 */
import { expect, test } from "bun:test";
import { Fault } from "../../src/faults.ts";
import { toSeq, toUserId } from "../../src/ids.ts";
import type { MongodbUserStoreOptions } from "../../src/storage/mongodb.ts";
import type { StoreState, UserStore } from "../../src/storage/store.ts";
import type { User } from "../../src/users/user.ts";
import { newUser } from "../contract/users.ts";
import { describeLive } from "./live.ts";
import { mongodbLimits, mongodbOptions, type MongodbRig, useMongodb } from "./mongodb-rig.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own } from "./programs.ts";
import { startProxy } from "./proxy.ts";
import { until } from "./until.ts";

const at = 1_800_000_000_000;
/** How the wire shows a command. */
const asCommand = (name: string): string => `\x02${name}\0`;
const commit = "\x10commitTransaction\0";

const next = (user: User, changes: Partial<User>): { readonly user: User; readonly before: User } => ({
  user: { ...user, ...changes, version: user.version + 1 },
  before: user,
});

async function one(store: UserStore, id: number): Promise<User | undefined> {
  return (await store.read([toUserId(id)])).get(toUserId(id));
}

const owing = (id: number, referredBy: number): User =>
  newUser(id, { referredBy: toUserId(referredBy), referral: { state: "owed", since: at } });

const faultIn = (error: unknown): Fault => {
  if (error instanceof Fault) return error;
  throw error;
};

describeLive("a store on MongoDB", [own(mongodbServer)], () => {
  const mongodb = useMongodb();

  /** A store of its own with these users in it, behind a proxy. */
  async function stage(users: readonly User[], options: Partial<MongodbUserStoreOptions> = {}) {
    const database = mongodb.database();
    const proxy = await startProxy(Number(new URL(mongodb.url).port));
    const uri = `mongodb://127.0.0.1:${proxy.port}/?directConnection=true`;
    const store = await mongodb.open(database.databaseName, { uri, ...options });
    if (users.length > 0) {
      await store.write(
        users.map((user) => ({ user, before: undefined })),
        "first",
      );
    }
    const states: StoreState[] = [];
    store.onState((state) => states.push(state));
    return {
      store,
      database: database.databaseName,
      proxy,
      states,
      fail: mongodb.fail as NonNullable<MongodbRig["fail"]>,
      found: () => until(() => states.at(-1) === "ok"),
      async [Symbol.asyncDispose]() {
        await store.stop();
        await proxy[Symbol.asyncDispose]();
      },
    };
  }

  test("knows of each write whose answer was lost that it is stored, by its token", async () => {
    const [ann, bob] = [newUser(1), newUser(2)];
    await using rig = await stage([ann, bob]);
    rig.proxy.loseAnswers(asCommand("update"), 1);
    const writes = [next(ann, { points: 1 }), next(bob, { points: 2 })];
    expect(await rig.store.write(writes, "mine")).toEqual(["stored", "stored"]);
    expect(rig.proxy.lost).toBe(1);
    rig.proxy.loseAnswers(asCommand("insert"), 1);
    expect(await rig.store.write([{ user: newUser(3), before: undefined }], "mine too")).toEqual(["stored"]);
    expect(rig.proxy.lost).toBe(2);
    expect(await one(rig.store, 1)).toEqual({ ...ann, points: 1, version: 2 });
    expect(rig.states).toEqual([]);
  });

  test("tells the writes apart that were not stored when the answer was lost", async () => {
    const [ann, bob] = [newUser(1), newUser(2, { version: 5 })];
    await using rig = await stage([ann, bob]);
    rig.proxy.loseAnswers(asCommand("update"), 1);
    const writes = [next(ann, { points: 1 }), next({ ...bob, version: 4 }, { points: 2 })];
    expect(await rig.store.write(writes, "mine")).toEqual(["stored", "conflict"]);
    expect(await one(rig.store, 2)).toEqual(bob);
    const inserts = [newUser(3), newUser(1), newUser(4, { referralCode: "code2" })];
    rig.proxy.loseAnswers(asCommand("insert"), 1);
    const ends = await rig.store.write(
      inserts.map((user) => ({ user, before: undefined })),
      "others",
    );
    // Of the last one it is not known why: folded again, it is found to be taken.
    expect(ends).toEqual(["stored", "conflict", "conflict"]);
  });

  test("takes a write for stored only once a majority has it", async () => {
    const ann = newUser(1);
    await using rig = await stage([ann]);
    const writeConcernError = { code: 64, codeName: "WriteConcernFailed", errmsg: "waiting for replication timed out" };
    let repair = await rig.fail({ failCommands: ["update"], writeConcernError }, { times: 1 });
    expect(await rig.store.write([next(ann, { points: 1 })], "mine")).toEqual(["stored"]);
    await repair();

    repair = await rig.fail({ failCommands: ["update"], writeConcernError });
    const again = next({ ...ann, version: 2 }, { points: 9 });
    const fault = faultIn(await rig.store.write([again], "late").catch((error: unknown) => error));
    expect(fault).toMatchObject({ code: "unavailable", effect: "unknown" });
    // It may be taken back: nobody may see it before it can not.
    expect(await one(rig.store, 1).catch(faultIn)).toMatchObject({ code: "unavailable" });
    await repair();
    expect(await one(rig.store, 1)).toMatchObject({ points: 9, version: 3 });
    await rig.found();
    expect(rig.states).toEqual(["lost", "ok"]);
  });

  for (const [name, code] of [
    ["NotWritablePrimary", 10_107],
    ["InterruptedDueToReplStateChange", 11_602],
    ["PrimarySteppedDown", 189],
    ["ShutdownInProgress", 91],
    ["WriteConflict", 112],
    ["ExceededTimeLimit", 262],
  ] as const) {
    test(`changes nothing and is asked again after ${name}`, async () => {
      const ann = newUser(1);
      await using rig = await stage([ann]);
      const repair = await rig.fail({ failCommands: ["update"], errorCode: code }, { times: 1 });
      const end = await rig.store.write([next(ann, { points: 1 })], "mine").catch(faultIn);
      await repair();
      if (end instanceof Fault) expect(end.code).toBe("unavailable");
      else expect(end).toEqual(["conflict"]);
      expect(await one(rig.store, 1)).toEqual(ann);
      expect(await rig.store.write([next(ann, { points: 1 })], "again")).toEqual(["stored"]);
    });
  }

  test("does a write that is not known to be done again, and it takes effect once", async () => {
    const ann = newUser(1);
    await using rig = await stage([ann]);
    const repair = await rig.fail({ failCommands: ["update"], closeConnection: true }, { times: 1 });
    expect(await rig.store.write([next(ann, { points: 1 })], "mine")).toEqual(["conflict"]);
    await repair();
    expect(await one(rig.store, 1)).toEqual(ann);
  });

  test("ends as unavailable where not even a look back is possible, and says that its effect is unknown", async () => {
    const ann = newUser(1);
    await using rig = await stage([ann]);
    rig.proxy.loseAnswers(asCommand("update"), 1_000);
    const fault = faultIn(await rig.store.write([next(ann, { points: 1 })], "mine").catch((error: unknown) => error));
    expect(fault).toMatchObject({ code: "unavailable", effect: "unknown" });
    rig.proxy.loseAnswers("", 0);
    await rig.found();
    expect(await one(rig.store, 1)).toMatchObject({ points: 1, version: 2 });
    expect(await rig.store.write([next(ann, { points: 5 })], "again")).toEqual(["conflict"]);
  });

  test("ends a read that is not answered as unavailable, and never says that it may have done something", async () => {
    await using rig = await stage([newUser(1)]);
    // The driver asks once more by itself.
    rig.proxy.loseAnswers(asCommand("find"), 2);
    const fault = faultIn(await one(rig.store, 1).catch((error: unknown) => error));
    expect([fault.code, fault.effect]).toEqual(["unavailable", "not_done"]);
    expect(rig.proxy.lost).toBe(2);
  });

  test("waits for a connection as long as it is told to, and changes nothing then", async () => {
    const [ann, bob] = [newUser(1), newUser(2)];
    const pool = { maxPoolSize: 1, minPoolSize: 0, socketTimeoutMs: 5_000, waitQueueTimeoutMs: 50 };
    await using rig = await stage([ann, bob], { pool });
    const repair = await rig.fail({ failCommands: ["update"], blockConnection: true, blockTimeMS: 500 }, { times: 1 });
    const slow = rig.store.write([next(ann, { points: 1 })], "slow");
    const fault = faultIn(await rig.store.write([next(bob, { points: 1 })], "late").catch((error: unknown) => error));
    expect(fault).toMatchObject({ code: "unavailable", effect: "not_done" });
    expect(fault.message).toContain("checking out a connection");
    expect(await slow).toEqual(["stored"]);
    await repair();
    await rig.found();
    expect(await one(rig.store, 2)).toEqual(bob);
  });

  test("gives a server up that stands still, and does nothing twice when it goes on", async () => {
    await using server = await startMongodbServer();
    const options = mongodbOptions(server.url, "frozen");
    const store = await mongodb.open("frozen", {
      ...options,
      pool: { ...options.pool, socketTimeoutMs: 200 },
      limits: { ...mongodbLimits, selectMaxMs: 300, connectMaxMs: 300 },
    });
    const states: StoreState[] = [];
    store.onState((state) => states.push(state));
    const ann = newUser(1);
    expect(await store.write([{ user: ann, before: undefined }], "first")).toEqual(["stored"]);
    server.freeze();
    const fault = faultIn(await store.write([next(ann, { points: 1 })], "mine").catch((error: unknown) => error));
    expect(fault).toMatchObject({ code: "unavailable", effect: "unknown" });
    server.thaw();
    await until(() => states.at(-1) === "ok");
    // What was in the server's ears is done meanwhile, or never will be.
    const user = await one(store, 1);
    const [end] = await store.write([next(ann, { points: 1 })], "again");
    expect(end).toBe(user?.version === 1 ? "stored" : "conflict");
    expect(await one(store, 1)).toMatchObject({ points: 1, version: 2 });
    await store.stop();
  });

  test("loses nothing and does nothing twice while connections are closed and the server is killed under load", async () => {
    await using server = await startMongodbServer();
    const store = await mongodb.open("killed", mongodbOptions(server.url, "killed"));
    const people = Array.from({ length: 40 }, (_, place) => newUser(place + 1));
    const start = people.map((user) => ({ user, before: undefined }));
    expect(new Set(await store.write(start, "first"))).toEqual(new Set(["stored"]));
    const confirmed: string[] = [];
    const over = new AbortController();
    let writers = 0;
    const work = async (person: User): Promise<void> => {
      while (!over.signal.aborted) {
        const op = `w${writers++}`;
        try {
          const user = await one(store, person.telegramId);
          if (user === undefined) continue;
          const mark = { op, partition: 0, seq: toSeq(0), outcome: { kind: "state_set" } as const };
          const changes = { points: user.points + 1, applied: [...user.applied, mark] };
          if ((await store.write([next(user, changes)], op))[0] === "stored") confirmed.push(op);
        } catch (error) {
          faultIn(error);
          await Bun.sleep(10);
        }
      }
    };
    const working = people.map(work);
    for (let round = 0; round < 4; round++) {
      const enough = confirmed.length + 100;
      await until(() => confirmed.length > enough);
      await server.kill();
      await server.restart();
    }
    over.abort();
    await Promise.all(working);
    const stored = await store.read(people.map(({ telegramId }) => telegramId));
    const done = [...stored.values()].flatMap(({ applied }) => applied.map(({ op }) => op));
    expect(new Set(done).size).toBe(done.length);
    expect(confirmed.filter((op) => !done.includes(op))).toEqual([]);
    for (const { points, applied, version } of stored.values()) {
      expect([points, version]).toEqual([applied.length, applied.length + 1]);
    }
    await store.stop();
  });

  test("pays a reward once whose commit was not answered", async () => {
    await using rig = await stage([newUser(1), owing(2, 1)]);
    rig.proxy.loseAnswers(commit, 1);
    const ends = await rig.store.reward([toUserId(2)], 50, at);
    expect(rig.proxy.lost).toBe(1);
    expect(ends).toEqual([{ referee: toUserId(2), end: "paid", referrer: toUserId(1) }]);
    expect(await one(rig.store, 1)).toMatchObject({ points: 50, referralCount: 1, version: 2 });
    expect(await rig.store.reward([toUserId(2)], 50, at)).toEqual([{ referee: toUserId(2), end: "not_owed" }]);
  });

  for (const [title, data, times] of [
    ["that conflicts with changes", { failCommands: ["update"], errorCode: 112 }, 3],
    // The driver asks a second time itself.
    ["whose commit ends unknown again and again", { failCommands: ["commitTransaction"], errorCode: 91 }, 5],
    ["whose commit finds the transaction gone", { failCommands: ["commitTransaction"], errorCode: 251 }, 1],
    ["whose connection is closed", { failCommands: ["update"], closeConnection: true }, 1],
    ["whose commit waits too long for a majority", wtimeoutAt("commitTransaction"), 1],
  ] as const) {
    test(`pays a reward once ${title}`, async () => {
      await using rig = await stage([newUser(1), owing(2, 1), owing(3, 1)]);
      const repair = await rig.fail(data, { times });
      const asked = [2, 3].map(toUserId);
      const ends = await rig.store.reward(asked, 50, at);
      await repair();
      expect(ends.map(({ end }) => end)).toEqual(["paid", "paid"]);
      expect((await rig.store.reward(asked, 50, at)).map(({ end }) => end)).toEqual(["not_owed", "not_owed"]);
      expect(await one(rig.store, 1)).toMatchObject({ points: 100, referralCount: 2 });
      expect(await one(rig.store, 2)).toMatchObject({ referral: { state: "paid", since: at } });
    });
  }

  test("leaves a reward to the sweep, and is not lost, where an instance that died in a transaction still holds the referrer", async () => {
    // Far beyond the time of this test.
    const limits = { ...mongodbLimits, transactionMaxMs: 120_000 };
    await using rig = await stage([newUser(1), owing(2, 1)], { limits });
    const session = mongodb.client.startSession();
    session.startTransaction();
    const users = mongodb.client.db(rig.database).collection<{ readonly _id: number }>("users");
    await users.updateOne({ _id: 1 }, { $set: { points: 7 } }, { session });
    const fault = await rig.store.reward([toUserId(2)], 50, at).catch(faultIn);
    expect([fault instanceof Fault && fault.code, rig.states]).toEqual(["unavailable", []]);
    await session.abortTransaction();
    await session.endSession();
    expect(await rig.store.reward([toUserId(2)], 50, at)).toMatchObject([{ end: "paid" }]);
    expect(await one(rig.store, 1)).toMatchObject({ points: 50, referralCount: 1 });
  });

  test("changes nothing where a reward cannot be committed, and pays it later", async () => {
    await using rig = await stage([newUser(1), owing(2, 1)], { limits: { ...mongodbLimits, transactionMaxMs: 100 } });
    const repair = await rig.fail({ failCommands: ["commitTransaction"], errorCode: 91 });
    expect(await rig.store.reward([toUserId(2)], 50, at).catch(faultIn)).toMatchObject({ code: "unavailable" });
    await repair();
    await rig.found();
    expect((await one(rig.store, 1))?.points).toBe(0);
    expect(await rig.store.reward([toUserId(2)], 50, at)).toMatchObject([{ end: "paid" }]);
    expect(await one(rig.store, 1)).toMatchObject({ points: 50, referralCount: 1 });
  });

  test("pays each reward once while its server is killed, and two stores are asked for the same", async () => {
    await using server = await startMongodbServer();
    const stores = [1, 2].map(() => mongodb.open("rewarded", mongodbOptions(server.url, "rewarded")));
    const [first, second] = await Promise.all(stores);
    if (first === undefined || second === undefined) throw new Error("no stores");
    const referees = Array.from({ length: 120 }, (_, place) => owing(10 + place, 1 + (place % 4)));
    const referrers = [1, 2, 3, 4].map((id) => newUser(id));
    const users = [...referrers, ...referees].map((user) => ({ user, before: undefined }));
    await first.write(users, "first");
    const pay = async (store: UserStore): Promise<void> => {
      for (;;) {
        const owed = await store.owedSince(at + 1, 10).catch(() => undefined);
        if (owed?.length === 0) return;
        await store.reward(owed ?? [], 50, at).catch(faultIn);
        await Bun.sleep(5);
      }
    };
    const paying = [pay(first), pay(second)];
    await until(async () => ((await one(first, 1))?.points ?? 0) > 0);
    await server.kill();
    await server.restart();
    await Promise.all(paying);
    const paid = await first.read(referrers.map(({ telegramId }) => telegramId));
    for (const { points, referralCount } of paid.values()) expect([points, referralCount]).toEqual([1_500, 30]);
    await Promise.all([first.stop(), second.stop()]);
  });
});

function wtimeoutAt(command: string) {
  const writeConcernError = { code: 64, codeName: "WriteConcernFailed", errmsg: "waiting for replication timed out" };
  return { failCommands: [command], writeConcernError };
}
