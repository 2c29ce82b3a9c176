/** What is asked of a MongoDB before users are kept in it. */
import type { Clock } from "../clock.ts";
import { Fault } from "../faults.ts";
import type { Log } from "../log.ts";
import type { Document, Mongo } from "./mongodb-connection.ts";
import { codeOf, codes, messageOf, troubleOf } from "./mongodb-errors.ts";
import { ensureIndexes, sessionIndexes, userIndexes } from "./mongodb-indexes.ts";

export const users = "users";
export const sessions = "sessions";
export const statistics = "statistics";
/** One document: the format of the others, and the writes that show whether a majority can be reached. */
export const meta = "botfleet";
const formatId = "format";
/** Of the documents. Raise it where an older botfleet would read them wrongly. */
const newest = 1;

export interface PrepareOptions {
  readonly mongo: Mongo;
  readonly database: string;
  readonly clock: Clock;
  /** Longest wait for indexes without which queries are right, and slow, ms. */
  readonly indexesMaxMs: number;
  readonly log: Pick<Log, "info" | "error">;
}

/**
 * Resolves when users can be kept in the database. Rejects with `settings_invalid` or `format_newer` where it takes an operator to change that: the
 * message says what to do. Rejects with the error of the driver in an outage.
 */
export async function prepare({ mongo, database, clock, indexesMaxMs, log }: PrepareOptions): Promise<void> {
  try {
    await refuseStandalone(mongo);
    await checkFormat(mongo, database);
    const options = { run: mongo.run, clock, waitMaxMs: indexesMaxMs, log };
    await ensureIndexes(userIndexes, { ...options, collection: users });
    await ensureIndexes(sessionIndexes, { ...options, collection: sessions });
  } catch (error) {
    throw misconfigured(error, database) ?? error;
  }
}

async function refuseStandalone(mongo: Mongo): Promise<void> {
  const hello = await mongo.run({ hello: 1 });
  if (hello["setName"] !== undefined || hello["msg"] === "isdbgrid") return;
  throw new Fault(
    "settings_invalid",
    "MONGODB_URI: the server runs alone, without transactions, which rewards need: start it as a replica set, of one member at least (mongod --replSet rs0, then rs.initiate() in mongosh)",
  );
}

async function checkFormat(mongo: Mongo, database: string): Promise<void> {
  const [known] = await mongo.find(meta, { filter: { _id: formatId }, limit: 1, readPreference: "primary" });
  if (known === undefined) {
    await refuseOthers(mongo, database);
    const update = { q: { _id: formatId }, u: { $setOnInsert: { number: newest } }, upsert: true };
    const answer = await mongo.run({ update: meta, updates: [update], writeConcern: { w: "majority" } });
    const [refused] = (answer["writeErrors"] as readonly Document[] | undefined) ?? [];
    // Another instance was faster.
    if (refused === undefined || refused["code"] === codes.duplicateKey) return;
    throw new Error(`the format cannot be written: ${String(refused["errmsg"])}`);
  }
  const number = Number(known["number"]);
  if (number === newest) return;
  throw new Fault(
    "format_newer",
    `the database ${database} of MONGODB_URI has format ${number}, written by a newer botfleet; this one knows up to ${newest}: run the newer one, or name another database by MONGODB_DATABASE`,
  );
}

/** Another program's users must not be taken for ours. */
async function refuseOthers(mongo: Mongo, database: string): Promise<void> {
  const [first] = await mongo.find(users, { filter: {}, limit: 1, readPreference: "primary" });
  if (first === undefined || (typeof first["_id"] === "number" && typeof first["version"] === "number")) return;
  throw new Fault(
    "settings_invalid",
    `MONGODB_URI: the database ${database} has a collection ${users} that botfleet has not written; name another database by MONGODB_DATABASE`,
  );
}

/** The fault of an operator that an error of MongoDB tells of. */
function misconfigured(error: unknown, database: string): Fault | undefined {
  const words = messageOf(error);
  if (codeOf(error) === codes.databaseDifferCase) {
    const message = `MONGODB_DATABASE: the server has a database whose name differs from ${database} in capital letters alone: use its spelling`;
    return new Fault("settings_invalid", message, { cause: error });
  }
  if (troubleOf(error) !== "credentials") return undefined;
  const message =
    codeOf(error) === codes.unauthorized
      ? `MONGODB_URI: its user has not the rights for the database ${database} (${words}): grant it readWrite there, give user and password where they are missing, or name another database by MONGODB_DATABASE`
      : `MONGODB_URI: the server refuses the user name or password (${words}): correct them, and give the database of the user as ?authSource=... where it is not the one in the URI`;
  return new Fault("settings_invalid", message, { cause: error });
}

/** Resolves once a majority has stored a write that is younger than all that went before. */
export async function reachMajority(mongo: Mongo): Promise<void> {
  const update = { q: { _id: formatId }, u: { $inc: { majorities: 1 } } };
  const answer = await mongo.run({ update: meta, updates: [update], writeConcern: { w: "majority" } });
  const failed = answer["writeErrors"] ?? answer["writeConcernError"];
  if (failed !== undefined) throw new Error(`a majority cannot be reached: ${JSON.stringify(failed)}`);
}
