/** A server for a test file, and stores on databases of their own in it. */
import { afterAll, beforeAll } from "bun:test";
import { type Db, type Document, MongoClient } from "mongodb";
import { systemClock } from "../../src/clock.ts";
import {
  createMongodbUserStore,
  type MongodbStorage,
  type MongodbUserStoreOptions,
} from "../../src/storage/mongodb.ts";
import type { MongodbServer } from "./mongodb-process.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer } from "./programs.ts";

/** As in production, but a lost store looks for itself soon, and statistics are never old. */
export const mongodbLimits = {
  selectMaxMs: 1_000,
  connectMaxMs: 1_000,
  transactionMaxMs: 5_000,
  conflictMaxMs: 1_000,
  transactionMaxUsers: 200,
  commandMaxBytes: 12 * 1024 * 1024,
  histogramMaxMs: 0,
  histogramMaxShare: 1_000,
  histogramCountMaxMs: 10_000,
  probeMs: 20,
  indexesMaxMs: 10_000,
  damagedToldMax: 10,
} as const;

export const quiet = { debug() {}, info() {}, warn() {}, error() {} };

export function mongodbOptions(uri: string, database: string): MongodbUserStoreOptions {
  return {
    uri,
    database,
    pool: { maxPoolSize: 20, minPoolSize: 0, socketTimeoutMs: 5_000, waitQueueTimeoutMs: 2_000 },
    compressors: [],
    zlibLevel: 1,
    clock: systemClock,
    random: Math.random,
    limits: mongodbLimits,
    log: quiet,
  };
}

/** `times`: so many commands. */
export type FailMode = "alwaysOn" | { readonly times: number };

export interface MongodbRig {
  readonly url: string;
  /** A client that does as it is told, to look at a database and to spoil it. */
  readonly client: MongoClient;
  /** Makes commands of stores fail as `data` says, until the function that is answered is called. Absent on a server that is not the file's own. */
  readonly fail: ((data: Document, mode?: FailMode) => Promise<() => Promise<void>>) | undefined;
  /** Of a name that no other has; dropped at the end. */
  database(): Db;
  /** Opened on a database; ends with the tests of the file. */
  open(database: string, options?: Partial<MongodbUserStoreOptions>): Promise<MongodbStorage>;
}

/** The server of `MONGO_TEST_URL`, else one of the file's own. Call within `describe`; use it within tests. */
export function useMongodb(): MongodbRig {
  let server: MongodbServer | undefined;
  let url = process.env[mongodbServer.url ?? ""] ?? "";
  let client: MongoClient | undefined;
  const databases: Db[] = [];
  const stores: MongodbStorage[] = [];

  beforeAll(async () => {
    if (url === "") server = await startMongodbServer();
    url = server?.url ?? url;
    client = new MongoClient(url);
  });
  afterAll(async () => {
    await Promise.all(stores.map((store) => store.stop()));
    for (const database of databases) await database.dropDatabase();
    await client?.close();
    await server?.[Symbol.asyncDispose]();
  });
  return {
    get url() {
      return url;
    },
    get client() {
      if (client === undefined) throw new Error("the server is started before the first test");
      return client;
    },
    get fail() {
      return server === undefined ? undefined : failing(this.client);
    },
    database() {
      const database = this.client.db(`botfleet_test_${crypto.randomUUID().replaceAll("-", "")}`);
      databases.push(database);
      return database;
    },
    async open(database, options) {
      const store = await createMongodbUserStore({ ...mongodbOptions(url, database), ...options });
      stores.push(store);
      return store;
    },
  };
}

/** mongodb.com/docs: the fail point `failCommand`. Of stores alone, which name themselves. */
function failing(client: MongoClient): NonNullable<MongodbRig["fail"]> {
  const admin = client.db("admin");
  return async (data, mode = "alwaysOn") => {
    await admin.command({ configureFailPoint: "failCommand", mode, data: { appName: "botfleet", ...data } });
    return async () => void (await admin.command({ configureFailPoint: "failCommand", mode: "off" }));
  };
}
