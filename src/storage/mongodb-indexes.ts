/** The indexes of the collections, and how a database comes to have them while others use it. */
import { type Clock, sleep } from "../clock.ts";
import { Fault } from "../faults.ts";
import type { Log } from "../log.ts";
import { codeOf, codes, messageOf } from "./mongodb-errors.ts";
import type { Document, Run } from "./mongodb-connection.ts";

export interface Index {
  readonly name: string;
  readonly key: Readonly<Record<string, 1 | -1>>;
  readonly unique?: true;
  readonly sparse?: true;
  readonly partialFilterExpression?: Readonly<Record<string, unknown>>;
}

/** As the scaling guide asks for them, by MongoDB's own names. A sparse one of two fields holds all documents that have either. */
export const guideIndexes: readonly Index[] = [
  { name: "telegramId_1", key: { telegramId: 1 }, unique: true },
  { name: "walletAddress_1", key: { walletAddress: 1 }, unique: true, sparse: true },
  { name: "referralCode_1", key: { referralCode: 1 }, unique: true },
  { name: "deviceFingerprint_1_ipAddress_1", key: { deviceFingerprint: 1, ipAddress: 1 } },
  { name: "isActive_1_points_-1", key: { isActive: 1, points: -1 } },
  {
    name: "telegramId_1_miniappVerified_1_isVerified_1",
    key: { telegramId: 1, miniappVerified: 1, isVerified: 1 },
  },
  { name: "referralCode_1_isActive_1", key: { referralCode: 1, isActive: 1 }, sparse: true },
  { name: "referredBy_1_createdAt_-1", key: { referredBy: 1, createdAt: -1 }, sparse: true },
];

/** What botfleet asks for besides. */
export const ownIndexes: readonly Index[] = [
  // Of users with equal points the lower id comes first: without the id in the index, all of them would be sorted.
  { name: "isActive_1_points_-1__id_1", key: { isActive: 1, points: -1, _id: 1 } },
  // The same of referrals that came in one batch. Written once for a user, since neither field changes.
  {
    name: "referredBy_1_createdAt_-1__id_-1",
    key: { referredBy: 1, createdAt: -1, _id: -1 },
    partialFilterExpression: { referredBy: { $exists: true } },
  },
  { name: "activeIn_1__id_1", key: { activeIn: 1, _id: 1 } },
  {
    name: "owed_referral.since_1",
    key: { "referral.since": 1 },
    partialFilterExpression: { "referral.state": "owed" },
  },
];

/** Of the users. */
export const userIndexes: readonly Index[] = [...guideIndexes, ...ownIndexes];
/** Of the sessions: those alone that were deleted have the field. */
export const sessionIndexes: readonly Index[] = [{ name: "empty_1", key: { empty: 1 }, sparse: true }];

export interface IndexesOptions {
  readonly run: Run;
  readonly collection: string;
  readonly clock: Clock;
  /** Longest wait for indexes that only make queries fast, ms. */
  readonly waitMaxMs: number;
  readonly log: Pick<Log, "info" | "error">;
}

/**
 * Resolves once the unique indexes are there, and the others too where that takes no longer than `waitMaxMs`: on a large collection they are built in
 * the background. Instances may do it at the same time. Rejects with `settings_invalid` where an index of that name, or of that key, is another one,
 * or where stored users are not unique.
 */
export async function ensureIndexes(
  wanted: readonly Index[],
  { run, collection, clock, waitMaxMs, log }: IndexesOptions,
): Promise<void> {
  const present = await presentIndexes(run, collection);
  const absent = wanted.filter((index) => !isPresent(index, present, collection));
  await create(run, collection, absent.filter(isUnique));
  const others = absent.filter((index) => !isUnique(index));
  const building = create(run, collection, others).catch((error: unknown) =>
    log.error("indexes in MongoDB could not be created; the next start tries again", { collection, error }),
  );
  const wait = new AbortController();
  const isBuilt = await Promise.race([
    building.then(() => true),
    sleep(clock, waitMaxMs, wait.signal).then(() => false),
  ]);
  wait.abort();
  if (!isBuilt) {
    const names = others.map(({ name }) => name);
    log.info("indexes in MongoDB are built in the background; until then some queries are slow", { collection, names });
  }
}

function isUnique({ unique }: Index): boolean {
  return unique === true;
}

async function presentIndexes(run: Run, collection: string): Promise<readonly Document[]> {
  try {
    const answer = await run({ listIndexes: collection, cursor: { batchSize: 1_000 } });
    return (answer["cursor"] as { readonly firstBatch: readonly Document[] }).firstBatch;
  } catch (error) {
    if (codeOf(error) === codes.namespaceNotFound) return [];
    throw error;
  }
}

function isPresent(index: Index, present: readonly Document[], collection: string): boolean {
  const wanted = optionsOf(index);
  const found = present.find((each) => each["name"] === index.name || optionsOf(each) === wanted);
  if (found === undefined) return false;
  if (optionsOf(found) === wanted) return true;
  throw otherIndex(collection, index.name);
}

function otherIndex(collection: string, name: string): Fault {
  const repair = `db.${collection}.dropIndex(${JSON.stringify(name)})`;
  return new Fault(
    "settings_invalid",
    `MONGODB_URI: the index ${name} of the collection ${collection} has other keys or options than botfleet needs; remove it by ${repair}, and start botfleet again, which creates it`,
  );
}

/** What makes two indexes the same. Whatever else an index says (a collation, a life time of documents) makes it another one. */
function optionsOf({ key, ...options }: Document | Index): string {
  const { name: _name, v: _version, ns: _namespace, background: _background, ...rest } = options as Document;
  const set = Object.entries(rest).filter(([, value]) => value !== false);
  return JSON.stringify([key, set.sort(([a], [b]) => (a < b ? -1 : 1))]);
}

async function create(run: Run, collection: string, indexes: readonly Index[]): Promise<void> {
  if (indexes.length === 0) return;
  try {
    await run({ createIndexes: collection, indexes, writeConcern: { w: "majority" } });
  } catch (error) {
    const code = codeOf(error);
    const names = indexes.map(({ name }) => name).join(", ");
    if (code === codes.duplicateKey) {
      throw new Fault(
        "settings_invalid",
        `MONGODB_URI: stored users are not unique in the collection ${collection}, so that its unique indexes (${names}) cannot be created: remove the doubles, or name another database by MONGODB_DATABASE`,
      );
    }
    if (code === codes.indexOptionsConflict || code === codes.indexKeySpecsConflict) {
      // Somebody has made it since they were listed.
      const name = indexes.find((index) => messageOf(error).includes(index.name))?.name ?? names;
      throw otherIndex(collection, name);
    }
    throw error;
  }
}
