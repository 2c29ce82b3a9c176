/** The indexes in a database, and that every query of ours is answered by one. */
import { expect, test } from "bun:test";
import type { Db, Document } from "mongodb";
import { Fault } from "../../src/faults.ts";
import { toUserId } from "../../src/ids.ts";
import { histogramStages } from "../../src/storage/mongodb-histogram.ts";
import type { UserStore } from "../../src/storage/store.ts";
import { fullUser, newUser } from "../contract/users.ts";
import { describeLive } from "./live.ts";
import { useMongodb } from "./mongodb-rig.ts";
import { mongodbServer, own } from "./programs.ts";

const at = 1_800_000_000_000;
/** Documents that may be looked at besides those that are answered. */
const constant = 2;

describeLive("the users in MongoDB", [own(mongodbServer)], () => {
  const mongodb = useMongodb();

  test("have the indexes of the scaling guide, by its names and options, and four more", async () => {
    const database = mongodb.database();
    await mongodb.open(database.databaseName);
    const present = await database.collection("users").indexes();
    const told = present.map(({ name, key, unique, sparse }) =>
      [name, ...Object.entries(key).flat(), unique === true && "unique", sparse === true && "sparse"]
        .filter((word) => word !== false)
        .join(" "),
    );
    const guide = [
      "telegramId_1 telegramId 1 unique",
      "walletAddress_1 walletAddress 1 unique sparse",
      "referralCode_1 referralCode 1 unique",
      "deviceFingerprint_1_ipAddress_1 deviceFingerprint 1 ipAddress 1",
      "isActive_1_points_-1 isActive 1 points -1",
      "telegramId_1_miniappVerified_1_isVerified_1 telegramId 1 miniappVerified 1 isVerified 1",
      "referralCode_1_isActive_1 referralCode 1 isActive 1 sparse",
      "referredBy_1_createdAt_-1 referredBy 1 createdAt -1 sparse",
    ];
    expect(told).toEqual(expect.arrayContaining(guide));
    expect(told.length).toBe(1 + guide.length + 4);
  });

  test("are given the indexes by many instances at once, on a new database and on one with users in it", async () => {
    const database = mongodb.database();
    const open = (): Promise<UserStore>[] => Array.from({ length: 6 }, () => mongodb.open(database.databaseName));
    const [first] = await Promise.all(open());
    expect(await first?.write([{ user: fullUser(1), before: undefined }], "first")).toEqual(["stored"]);
    const users = database.collection("users");
    await users.dropIndex("walletAddress_1");
    await users.dropIndex("isActive_1_points_-1");
    await Promise.all(open());
    expect((await users.indexes()).length).toBe(13);
  });

  test("are found by every query without looking at others", async () => {
    const database = mongodb.database();
    const store = await mongodb.open(database.databaseName);
    const people = Array.from({ length: 2_000 }, (_, place) => {
      const id = place + 1;
      return fullUser(id, {
        points: id % 50,
        createdAt: at + (id % 100),
        isActive: id % 3 > 0,
        referredBy: toUserId(5_000 + (id % 10)),
        deviceFingerprint: `device ${id % 400}`,
        walletAddress: `wallet ${id}`,
        referral: id % 20 === 0 ? { state: "owed", since: at + id } : { state: "none" },
        bots: { [id % 4 === 0 ? "77" : "88"]: { state: "active", since: at } },
      });
    });
    await store.write(
      people.map((user) => ({ user, before: undefined })),
      "first",
    );
    const asked = await commandsOf(database, async () => {
      await store.read([1, 5, 9, 4_000].map(toUserId));
      await store.idOfCode("code7");
      await store.byWallet("wallet 9");
      await store.byDevice("device 7", "192.0.2.7", 10);
      await store.referralsOf(toUserId(5_003), { max: 10 });
      await store.referralsOf(toUserId(5_003), { after: { createdAt: at + 43, telegramId: toUserId(1_000) }, max: 10 });
      await store.leaderboard(100);
      await store.activeIn(77 as never, { max: 10 });
      await store.activeIn(77 as never, { after: toUserId(700), max: 10 });
      await store.owedSince(at + 300, 10);
      await store.reward([20, 21, 40].map(toUserId), 50, at);
      const [, second] = people;
      if (second === undefined) throw new Error("no users");
      const changed = { ...second, points: 7, version: second.version + 1 };
      await store.write([{ user: changed, before: second }], "second");
    });
    expect(asked.length).toBeGreaterThan(12);
    for (const command of asked) {
      const { executionStats } = (await database.command({ explain: command, verbosity: "executionStats" })) as {
        readonly executionStats: { readonly nReturned: number; readonly totalDocsExamined: number };
      };
      // Who is asked for by id may be looked at, whatever is asked of them besides.
      const filter = command["filter"] as { readonly _id?: { readonly $in?: readonly number[] } } | undefined;
      const ids = filter?._id?.$in;
      const updates = command["updates"] as readonly Document[] | undefined;
      const most = updates?.length ?? Math.max(executionStats.nReturned + constant, ids?.length ?? 0);
      expect([JSON.stringify(command), executionStats.totalDocsExamined <= most]).toEqual([
        JSON.stringify(command),
        true,
      ]);
    }
    // Counted over the index alone.
    const users = database.collection("users");
    const counted = JSON.stringify(await users.aggregate(histogramStages()).explain("executionStats"));
    expect(counted).toContain('"totalDocsExamined":0');
  });

  for (const [title, other] of [
    ["another key", { key: { referralCode: -1 }, name: "referralCode_1", unique: true }],
    ["other options", { key: { walletAddress: 1 }, name: "walletAddress_1", unique: true }],
    ["more options", { key: { isActive: 1, points: -1 }, name: "isActive_1_points_-1", hidden: true }],
  ] as const) {
    test(`are refused where an index has ${title}, and the operator is told which`, async () => {
      const database = mongodb.database();
      await database.command({ createIndexes: "users", indexes: [other] });
      const error: unknown = await mongodb.open(database.databaseName).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(Fault);
      expect(error).toMatchObject({ code: "settings_invalid" });
      expect((error as Fault).message).toContain(`db.users.dropIndex("${other.name}")`);
    });
  }

  test("are refused where two of them hold what must be unique", async () => {
    const database = mongodb.database();
    const store = await mongodb.open(database.databaseName);
    await store.write([{ user: newUser(1), before: undefined }], "first");
    const users = database.collection<{ readonly _id: number; readonly telegramId: number }>("users");
    await users.dropIndex("referralCode_1");
    await users.insertOne({ ...newUser(2, { referralCode: "code1" }), _id: 2 });
    const error: unknown = await mongodb.open(database.databaseName).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "settings_invalid" });
    expect((error as Fault).message).toContain("not unique");
    expect((error as Fault).message).not.toContain("code1");
  });
});

/** The commands on users that `work` gives the server. */
async function commandsOf(database: Db, work: () => Promise<void>): Promise<readonly Document[]> {
  await database.command({ profile: 2 });
  await work();
  await database.command({ profile: 0 });
  const seen = await database.collection("system.profile").find().toArray();
  const names = ["find", "update"];
  return seen.flatMap(({ command }) => {
    const words = command as Document | undefined;
    const name = names.find((each) => words?.[each] === "users");
    if (words === undefined || name === undefined) return [];
    const { filter, sort, projection, limit, updates } = words;
    const kept = { [name]: "users", filter, sort, projection, limit, updates };
    return [Object.fromEntries(Object.entries(kept).filter(([, value]) => value !== undefined))];
  });
}
