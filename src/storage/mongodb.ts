/**
 * The users of a fleet, in MongoDB. Users are written with a majority, so that no fail-over takes back what was answered; statistics with `w: 1`:
 * a lost one is counted again. How writes and rewards can be interrupted stands in `mongodb-compare-and-set.ts` and `mongodb-rewards.ts`.
 */
import type { Clock, Random } from "../clock.ts";
import { type BotId, toUserId, type UserId } from "../ids.ts";
import type { Log } from "../log.ts";
import { createUserCheck, invalidUser } from "../users/check-user.ts";
import type { User } from "../users/user.ts";
import { Damaged } from "./damaged.ts";
import {
  createMongo,
  type Document,
  type Find,
  type Mongo,
  type MongoLimits,
  type MongoPool,
} from "./mongodb-connection.ts";
import { type Compressor, usableCompressors } from "./mongodb-compressors.ts";
import { decoded, encoded, idsOf, userOf } from "./mongodb-documents.ts";
import { Histogram, type HistogramLimits } from "./mongodb-histogram.ts";
import { statistics, users } from "./mongodb-prepare.ts";
import { Reach } from "./mongodb-reach.ts";
import { rewardUsers, type RewardBounds } from "./mongodb-rewards.ts";
import { MongodbSessions } from "./mongodb-sessions.ts";
import { type MongoWatch, newPoolCounts } from "./mongodb-watch.ts";
import { type WriteLimits, writeUsers } from "./mongodb-writes.ts";
import type { Session, SessionStore, SessionWrite, SessionWritten } from "./session-store.ts";
import type {
  Page,
  PointsBucket,
  ReferralPage,
  Rewarded,
  Standing,
  StoreState,
  UserStore,
  Write,
  Written,
} from "./store.ts";

export interface MongodbUserStoreOptions {
  readonly uri: string;
  readonly database: string;
  readonly pool: MongoPool;
  /** In the order of preference; those that cannot be used here are left out, with a line in the log. */
  readonly compressors: readonly Compressor[];
  readonly zlibLevel: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: MongodbUserLimits;
  readonly log: Pick<Log, "info" | "warn" | "error">;
  readonly watch?: MongoWatch;
}

export interface MongodbUserLimits extends MongoLimits, WriteLimits, RewardBounds, HistogramLimits {
  /** Time between two tries to reach a majority while the store is lost, ms. */
  readonly probeMs: number;
  /** Longest wait at the start for indexes without which queries are right, and slow, ms; then they are built in the background. */
  readonly indexesMaxMs: number;
  /** Damaged users that are told. */
  readonly damagedToldMax: number;
}

export interface QueryCounts {
  readonly examined: number | undefined;
  readonly returned: number | undefined;
}

export interface MongodbStorage extends UserStore, SessionStore {
  /**
   * Documents that the queries of all clients have examined and returned since the start of the server; undefined where it does not count them. Rejects
   * where it is not asked.
   */
  queries(): Promise<QueryCounts>;
}

/**
 * Rejects with `settings_invalid` or `format_newer` where the database cannot hold users: the message says what to do. A server that cannot be reached
 * is no fault: the store begins `lost`, and asks for it until it can.
 */
export async function createMongodbUserStore(options: MongodbUserStoreOptions): Promise<MongodbStorage> {
  const { compressors, log } = options;
  const { usable, missing } = await usableCompressors(compressors);
  if (missing.length > 0) {
    log.info("compression of MongoDB's messages goes without what is not installed", { missing, usable });
  }
  const store = new MongodbUserStore({ ...options, compressors: usable });
  await store.open();
  return store;
}

class MongodbUserStore implements MongodbStorage {
  readonly #options: MongodbUserStoreOptions;
  readonly #mongo: Mongo;
  readonly #reach: Reach;
  readonly #check = createUserCheck();
  readonly #damaged: Damaged;
  readonly #histogram: Histogram;
  readonly #sessions: MongodbSessions;

  constructor(options: MongodbUserStoreOptions) {
    const { database, watch, limits, log, clock } = options;
    const { probeMs, indexesMaxMs, damagedToldMax } = limits;
    this.#options = options;
    const counts = watch?.pool ?? newPoolCounts();
    this.#mongo = createMongo({ ...options, counts, onCheckedOut: (ms) => watch?.checkedOut(ms) });
    this.#reach = new Reach({ mongo: this.#mongo, database, clock, probeMs, indexesMaxMs, log, watch });
    this.#damaged = new Damaged({ log, toldMax: damagedToldMax });
    this.#histogram = new Histogram({ mongo: this.#mongo, clock, limits });
    const { commandMaxBytes } = limits;
    this.#sessions = new MongodbSessions({ mongo: this.#mongo, reach: this.#reach, commandMaxBytes });
  }

  open(): Promise<void> {
    return this.#reach.open();
  }

  read(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>> {
    if (ids.length === 0) return Promise.resolve(new Map());
    return this.#reach.ask(users, "read", "read", async () => {
      const found = await this.#reach.find({ filter: { _id: { $in: ids } }, limit: ids.length });
      return new Map(found.map((document) => [document["_id"] as UserId, userOf(document, this.#check)]));
    });
  }

  write(writes: readonly Write[], writer: string): Promise<readonly Written[]> {
    if (writes.length === 0) return Promise.resolve([]);
    const { limits } = this.#options;
    return this.#reach.ask(users, "write", "change", () => writeUsers(this.#mongo, writes, writer, limits));
  }

  reward(referees: readonly UserId[], points: number, at: number): Promise<readonly Rewarded[]> {
    if (referees.length === 0) return Promise.resolve([]);
    const { limits } = this.#options;
    return this.#reach.ask(users, "reward", "change", () => rewardUsers(this.#mongo, referees, { points, at }, limits));
  }

  async idOfCode(code: string): Promise<UserId | undefined> {
    const find = { filter: { referralCode: encoded(code) }, projection: { _id: 1 }, limit: 1 };
    return (await this.#ids("of_code", find))[0];
  }

  byWallet(address: string): Promise<User | undefined> {
    return this.#one("by_wallet", { walletAddress: encoded(address) });
  }

  byDevice(deviceFingerprint: string, ipAddress: string, max: number): Promise<readonly User[]> {
    const filter = { deviceFingerprint: encoded(deviceFingerprint), ipAddress: encoded(ipAddress) };
    return this.#list("by_device", { filter }, max, (document) => userOf(document, this.#check));
  }

  async referralsOf(referrer: UserId, { after, max }: ReferralPage): Promise<readonly User[]> {
    const list = (filter: Document): Promise<User[]> => {
      const find = { filter: { referredBy: referrer, ...filter }, sort: { createdAt: -1, _id: -1 } };
      return this.#list("referrals", find, max, (document) => userOf(document, this.#check));
    };
    if (after === undefined) return await list({});
    const { createdAt, telegramId } = after;
    const [equal, older] = await Promise.all([
      list({ createdAt, _id: { $lt: telegramId } }),
      list({ createdAt: { $lt: createdAt } }),
    ]);
    return [...equal, ...older].slice(0, max);
  }

  leaderboard(max: number): Promise<readonly Standing[]> {
    const projection = { firstName: 1, points: 1 };
    const find = { filter: { isActive: true }, sort: { points: -1, _id: 1 }, projection };
    return this.#list("leaderboard", find, max, standingOf);
  }

  histogram(): Promise<readonly PointsBucket[]> {
    return this.#reach.ask(statistics, "histogram", "read", () => this.#histogram.read());
  }

  activeIn(bot: BotId, { after, max }: Page): Promise<readonly UserId[]> {
    const filter = { activeIn: bot, ...(after === undefined ? {} : { _id: { $gt: after } }) };
    return this.#ids("active", { filter, sort: { _id: 1 }, projection: { _id: 1 }, limit: max });
  }

  owedSince(before: number, max: number): Promise<readonly UserId[]> {
    const filter = { "referral.state": "owed", "referral.since": { $lt: before } };
    return this.#ids("owed", { filter, sort: { "referral.since": 1 }, projection: { _id: 1 }, limit: max });
  }

  readSessions(keys: readonly string[]): Promise<ReadonlyMap<string, Session>> {
    return this.#sessions.readSessions(keys);
  }

  writeSessions(writes: readonly SessionWrite[], writer: string): Promise<readonly SessionWritten[]> {
    return this.#sessions.writeSessions(writes, writer);
  }

  emptied(after: string | undefined, max: number): Promise<readonly Session[]> {
    return this.#sessions.emptied(after, max);
  }

  removeSessions(gone: readonly Pick<Session, "key" | "version">[]): Promise<void> {
    return this.#sessions.removeSessions(gone);
  }

  async queries(): Promise<QueryCounts> {
    // Not every user may ask for it, which says nothing of the store.
    const { metrics } = (await this.#mongo.run({ serverStatus: 1 })) as { readonly metrics?: Document };
    return {
      examined: numberOf(metrics?.["queryExecutor"]?.["scannedObjects"]),
      returned: numberOf(metrics?.["document"]?.["returned"]),
    };
  }

  onState(changed: (state: StoreState) => void): () => void {
    return this.#reach.onState(changed);
  }

  stop(): Promise<void> {
    return this.#reach.stop();
  }

  #one(operation: string, filter: Document): Promise<User | undefined> {
    return this.#reach.ask(users, operation, "read", async () => {
      const [document] = await this.#reach.find({ filter, limit: 1 });
      return document === undefined ? undefined : userOf(document, this.#check);
    });
  }

  #ids(operation: string, find: Find): Promise<readonly UserId[]> {
    return this.#reach.ask(users, operation, "read", async () => idsOf(await this.#reach.find(find)));
  }

  /** At most `max`, damaged ones left out; fewer only where there are no more. */
  #list<T>(operation: string, find: Omit<Find, "limit">, max: number, of: (document: Document) => T): Promise<T[]> {
    return this.#reach.ask(users, operation, "read", async () => {
      for (let limit = max; ;) {
        const documents = await this.#reach.find({ ...find, limit });
        const sound = documents.flatMap((document) => this.#damaged.leaveOut(() => of(document)) ?? []);
        if (sound.length >= max || documents.length < limit) return sound.slice(0, max);
        limit = max + 2 * (documents.length - sound.length);
      }
    });
  }
}

function standingOf({ _id, firstName, points }: Document): Standing {
  const name = decoded(firstName);
  if (typeof name !== "string") throw invalidUser(Number(_id), "firstName");
  if (!Number.isSafeInteger(points)) throw invalidUser(Number(_id), "points");
  return { telegramId: toUserId(Number(_id)), firstName: name, points: points as number };
}

/** The driver hands long integers out as numbers where they fit. */
function numberOf(value: unknown): number | undefined {
  return typeof value === "number" || typeof value === "bigint" ? Number(value) : undefined;
}
