/** `bun run start` with MongoDB: what an operator sees, and what is refused. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { MongoClient } from "mongodb";
import { Fault } from "../../src/faults.ts";
import { toUserId } from "../../src/ids.ts";
import type { StoreState } from "../../src/storage/store.ts";
import { newUser } from "../contract/users.ts";
import { createStage, type Stage } from "../start/stage.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { describeLive } from "./live.ts";
import { mongodbLimits, mongodbOptions, useMongodb } from "./mongodb-rig.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own } from "./programs.ts";
import { until } from "./until.ts";

setDefaultTimeout(40_000);

const bots = [{ name: "points", module: "referral" }];
const password = "pa/ss-word";

/** Asks the bot for the points of a person, and waits for the answer. */
async function ask({ simulator: { api, botIds } }: Stage, person: number, text = "/points"): Promise<string> {
  const bot = botIds[0] ?? 0;
  const answer = api.people.waitForAnswer(bot, person, undefined, { maxMs: 40_000 });
  api.people.person(person).say(bot, text);
  return (await answer).text ?? "";
}

async function metric(botfleet: BotfleetProcess, series: string): Promise<number> {
  const { text } = await botfleet.page("/metrics");
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1));
}

describeLive("botfleet with its users in MongoDB", [own(mongodbServer)], () => {
  const mongodb = useMongodb();

  test("starts before its connections are open, opens as many as it shall, and waits while MongoDB is down", async () => {
    await using server = await startMongodbServer();
    await using stage = await createStage(bots);
    const env = {
      MONGODB_URI: `${server.url}/guide`,
      MONGODB_MAX_POOL_SIZE: "60",
      MONGODB_MIN_POOL_SIZE: "40",
      MONGODB_SOCKET_TIMEOUT_MS: "30000",
      MONGODB_WAIT_QUEUE_TIMEOUT_MS: "10000",
      METRICS_COLLECTION_INTERVAL: "60000",
      ENABLE_PERFORMANCE_MONITORING: "true",
    };
    const botfleet = await stage.spawn(env).started;
    const open = 'botfleet_mongodb_connections{state="open"}';
    await until(async () => (await metric(botfleet, open)) >= 40);
    await ask(stage, 5, "/start");
    await ask(stage, 5, "/daily");
    expect(await ask(stage, 5)).toContain("10");
    const client = new MongoClient(server.url);
    const stored = await client.db("guide").collection<{ readonly _id: number }>("users").findOne({ _id: 5 });
    expect(stored).toMatchObject({ telegramId: 5, points: 10, isActive: true });
    await client.close();
    expect(
      await metric(botfleet, 'botfleet_mongodb_seconds_count{collection="users",operation="write"}'),
    ).toBeGreaterThan(1);

    await server.kill();
    const late = ask(stage, 6, "/start");
    // Who is known is still shown.
    expect(await ask(stage, 5)).toContain("10");
    await botfleet.line(({ msg }) => msg.startsWith("MongoDB cannot be reached"));
    await until(async () => (await botfleet.page("/ready")).status === 503);
    expect((await botfleet.status()).inbox.deadLetters).toBe(0);
    await server.restart();
    await botfleet.line(({ msg }) => msg === "the users can be written again");
    expect(await late).not.toBe("");
    expect((await botfleet.page("/ready")).status).toBe(200);
    botfleet.kill("SIGTERM");
    expect(await botfleet.exited).toBe(0);
  });

  test("starts without a server, and says what to look at", async () => {
    const server = await startMongodbServer();
    await using disposed = server;
    await disposed.kill();
    await using stage = await createStage(bots);
    const uri = `mongodb://ann:${encodeURIComponent(password)}@127.0.0.1:${server.port}/?authMechanism=SCRAM-SHA-256`;
    const botfleet = await stage.spawn({ MONGODB_URI: uri }).started;
    const { msg } = await botfleet.line(({ level }) => level === "error");
    expect(msg).toContain("look at the server, the network and MONGODB_URI");
    await until(async () => (await botfleet.page("/ready")).status === 503);
    expect(botfleet.output.stdout + botfleet.output.stderr).not.toMatch(/pa(?:%2F|\/)ss/);
  });

  test("keeps users as soon as there is a server, and says once what is wrong with the one that comes", async () => {
    await using server = await startMongodbServer();
    await server.kill();
    const told: string[] = [];
    const log = { debug() {}, info() {}, warn() {}, error: (message: string) => void told.push(message) };
    const store = await mongodb.open("late", { ...mongodbOptions(server.url, "late"), log });
    const states: StoreState[] = [];
    store.onState((state) => states.push(state));
    expect(states).toEqual(["lost"]);
    const writes = [{ user: newUser(1), before: undefined }];
    expect(await store.write(writes, "early").catch((error: unknown) => error)).toMatchObject({ code: "unavailable" });
    await server.restart(["--standalone"]);
    await until(() => told.some((message) => message.includes("rs.initiate()")));
    await Bun.sleep(mongodbLimits.probeMs * 5);
    expect(told.length).toBe(2);
    await server.kill();
    await server.restart();
    await until(() => states.at(-1) === "ok");
    expect(await store.write(writes, "late")).toEqual(["stored"]);
    await store.stop();
  });

  test("refuses a wrong password, rights that are missing, and a URI that makes no sense, without a word of the password", async () => {
    await using server = await startMongodbServer({ words: ["--auth"] });
    const client = new MongoClient(server.url);
    const roles = [
      { role: "readWrite", db: "hers" },
      { role: "userAdminAnyDatabase", db: "admin" },
    ];
    await client.db("admin").command({ createUser: "ann", pwd: password, roles });
    await client.close();
    const uri = (secret: string, rest: string): string =>
      `mongodb://ann:${encodeURIComponent(secret)}@127.0.0.1:${server.port}/${rest}`;
    await using stage = await createStage(bots);
    for (const [address, words] of [
      [uri("wrong-password", "hers?authSource=admin"), "refuses the user name or password"],
      [uri(password, "others?authSource=admin"), "has not the rights for the database others"],
      [`mongodb://127.0.0.1:${server.port}/hers`, "has not the rights for the database hers"],
      [uri(password, "hers?authSource=admin&nonsense=1"), "cannot be read"],
      [`mongodb://127.0.0.1:${server.port}/hers?authMechanism=SCRAM-SHA-256`, "cannot be read"],
    ] as const) {
      const botfleet = stage.spawn({ MONGODB_URI: address });
      expect([words, await botfleet.exited]).toEqual([words, 78]);
      const text = botfleet.output.stderr + botfleet.output.stdout;
      expect(text).toContain("MONGODB_URI: ");
      expect(text).toContain(words);
      expect(text).not.toMatch(/pa(?:%2F|\/)ss|wrong-password/);
    }
    const botfleet = await stage.spawn({ MONGODB_URI: uri(password, "hers?authSource=admin") }).started;
    expect(await ask(stage, 5, "/start")).not.toBe("");
    botfleet.kill("SIGTERM");
    expect(await botfleet.exited).toBe(0);
  });

  test("refuses a server that stands alone, since rewards need transactions", async () => {
    await using server = await startMongodbServer({ words: ["--standalone"] });
    await using stage = await createStage(bots);
    const botfleet = stage.spawn({ MONGODB_URI: server.url });
    expect(await botfleet.exited).toBe(78);
    expect(botfleet.output.stderr).toContain("rs.initiate()");
  });

  test("refuses a database that another program or a newer botfleet has written", async () => {
    const foreign = mongodb.database();
    await foreign.collection("users").insertOne({ name: "Ann" });
    const newer = mongodb.database();
    await newer
      .collection<{ readonly _id: string; readonly number: number }>("botfleet")
      .insertOne({ _id: "format", number: 2 });
    for (const [database, code, words] of [
      [foreign, "settings_invalid", "name another database by MONGODB_DATABASE"],
      [newer, "format_newer", "run the newer one"],
    ] as const) {
      const error: unknown = await mongodb.open(database.databaseName).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(Fault);
      expect(error).toMatchObject({ code });
      expect((error as Fault).message).toContain(words);
    }
    expect(await foreign.collection("botfleet").countDocuments()).toBe(0);
  });

  test("names the user of an older or damaged document and the field, and goes on with the others", async () => {
    const database = mongodb.database();
    const store = await mongodb.open(database.databaseName);
    const people = [1, 2, 3, 4, 5, 6].map((id) => newUser(id));
    await store.write(
      people.map((user) => ({ user, before: undefined })),
      "first",
    );
    const users = database.collection<{ readonly _id: number }>("users");
    for (const [_id, change, field] of [
      [2, { $set: { createdAt: new Date() } }, "createdAt"],
      [3, { $unset: { version: "" } }, "version"],
      [4, { $set: { applied: [] } }, "applied"],
      [5, { $set: { points: "many" } }, "points"],
      [6, { $set: { telegramId: 7 } }, "telegramId"],
    ] as const) {
      await users.updateOne({ _id }, change);
      const error: unknown = await store.read([1, _id].map(toUserId)).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "user_invalid" });
      expect((error as Fault).message).toContain(`user ${_id} is no user: its field ${field} is damaged`);
    }
    expect((await store.read([toUserId(1)])).size).toBe(1);
  });

  test("refuses a user of more than 16 MB by name, before anything is written", async () => {
    const database = mongodb.database();
    const store = await mongodb.open(database.databaseName);
    const large = newUser(2, { firstName: "x".repeat(17_000_000) });
    const writes = [newUser(1), large].map((user) => ({ user, before: undefined }));
    const error: unknown = await store.write(writes, "large").catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "user_invalid" });
    expect((error as Fault).message).toContain("user 2 cannot be stored");
    expect((await store.read([1, 2].map(toUserId))).size).toBe(0);
    // Many that are large together are several commands.
    const many = Array.from({ length: 12 }, (_, at) => newUser(10 + at, { firstName: "é".repeat(900_000) }));
    const ends = await store.write(
      many.map((user) => ({ user, before: undefined })),
      "many",
    );
    expect(ends).toEqual(many.map(() => "stored" as const));
    expect((await store.read(many.map(({ telegramId }) => telegramId))).size).toBe(12);
  });

  test("tells which compressors it does without, and talks through those that it has", async () => {
    const lines: string[] = [];
    const log = { debug() {}, warn() {}, error() {}, info: (message: string) => void lines.push(message) };
    for (const compressors of [["zstd", "snappy", "zlib"], ["zlib"]] as const) {
      const database = mongodb.database();
      const options = { ...mongodbOptions(mongodb.url, database.databaseName), compressors, log };
      const store = await mongodb.open(database.databaseName, options);
      expect(await store.write([{ user: newUser(1), before: undefined }], "first")).toEqual(["stored"]);
      expect((await store.read([toUserId(1)])).size).toBe(1);
    }
    expect(lines).toEqual(["compression of MongoDB's messages goes without what is not installed"]);
  });
});
