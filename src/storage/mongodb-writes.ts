/**
 * Compare-and-set of many users: one command for the new ones, one for the others, each unordered and with a majority. How a step can end:
 *
 *     refused before it was sent     rejects; nothing was written
 *     answered: all matched          all stored
 *     answered: fewer matched        who it was is not said: they are read back, and `writer` tells which are ours
 *     answered: duplicate key        of wallet or code: `taken`; of the id: somebody has registered the user, `conflict`; the others are not touched by it
 *     answered: no majority in time, another error of one write, no longer primary
 *     connection closed, time-out, server killed
 *                                    some may be written, and some of those may be rolled back: a write with a majority goes first, so that what
 *                                    was there before is either durable or gone, and then they are read back from what a majority has. Where
 *                                    even that fails the end stays unknown: the caller is told so, and nothing is read before that has been made up for
 *     applied only after that        its version is another by then, or whoever writes next conflicts: never twice
 */
import { Fault } from "../faults.ts";
import type { UserId } from "../ids.ts";
import type { User } from "../users/user.ts";
import type { Document, Mongo } from "./mongodb-connection.ts";
import { changesOf, documentOf } from "./mongodb-documents.ts";
import { codes, troubleOf, type WriteError } from "./mongodb-errors.ts";
import { reachMajority, users } from "./mongodb-prepare.ts";
import type { Write, Written } from "./store.ts";

export interface WriteLimits {
  /** What one command may hold, by an estimate that is never too low, bytes: the server takes 16 MiB and refuses more. */
  readonly commandMaxBytes: number;
}

type Update = Write & { readonly before: User };

/** One command on its way, and where the answers of its writes belong. */
interface Batch {
  readonly command: Document;
  readonly places: readonly number[];
  readonly ids: readonly UserId[];
}

const writeConcern = { w: "majority", wtimeout: 10_000 } as const;

/**
 * The answers in the order of the writes. Rejects with `user_invalid` before anything is written where a document is too large; with the driver's error
 * where it is not known what was written, or nothing was.
 */
export async function writeUsers(
  mongo: Mongo,
  writes: readonly Write[],
  writer: string,
  limits: WriteLimits,
): Promise<readonly Written[]> {
  const ends: Written[] = [];
  const batches = batchesOf(writes, writer, limits);
  const written = await Promise.allSettled(batches.map((batch) => writeBatch(mongo, batch, writer, ends)));
  const failed = written.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return ends;
}

function batchesOf(writes: readonly Write[], writer: string, { commandMaxBytes }: WriteLimits): readonly Batch[] {
  const batches: Batch[] = [];
  for (const isNew of [true, false]) {
    let statements: Document[] = [];
    let places: number[] = [];
    let ids: UserId[] = [];
    let bytes = 0;
    const close = (): void => {
      if (statements.length === 0) return;
      const what = isNew ? { insert: users, documents: statements } : { update: users, updates: statements };
      batches.push({ command: { ...what, ordered: false, writeConcern }, places, ids });
      [statements, places, ids, bytes] = [[], [], [], 0];
    };
    for (const [place, write] of writes.entries()) {
      if ((write.before === undefined) !== isNew) continue;
      const size = bytesOf(write.user);
      if (size > commandMaxBytes) throw tooLarge(write.user);
      if (bytes + size > commandMaxBytes) close();
      bytes += size;
      places.push(place);
      ids.push(write.user.telegramId);
      statements.push(isUpdate(write) ? statementOf(write, writer) : documentOf(write.user, writer));
    }
    close();
  }
  return batches;
}

function isUpdate(write: Write): write is Update {
  return write.before !== undefined;
}

function statementOf(write: Update, writer: string): Document {
  return { q: { _id: write.user.telegramId, version: write.before.version }, u: changesOf(write, writer) };
}

/** At least what its document takes: three bytes a character. */
function bytesOf({ firstName, username, languageCode, walletAddress, referralCode, ...user }: User): number {
  const texts = [
    firstName,
    username,
    languageCode,
    walletAddress,
    referralCode,
    user.deviceFingerprint,
    user.ipAddress,
  ];
  let characters = 0;
  for (const text of texts) characters += text?.length ?? 0;
  return 1_500 + 6 * characters + 100 * Object.keys(user.bots).length + 300 * user.applied.length;
}

function tooLarge({ telegramId }: User): Fault {
  return new Fault(
    "user_invalid",
    `user ${telegramId} cannot be stored: its document would be larger than the 16 MB that MongoDB takes; shorten its texts and lists by hand`,
  );
}

/** Fills in the answers of the batch. */
async function writeBatch(
  mongo: Mongo,
  { command, places, ids }: Batch,
  writer: string,
  ends: Written[],
): Promise<void> {
  let answer: Document;
  try {
    answer = await mongo.run(command);
  } catch (error) {
    if (troubleOf(error) !== "unknown") throw error;
    return await makeUp(mongo, { places, ids }, writer, ends, error);
  }
  const errors = (answer["writeErrors"] as readonly WriteError[] | undefined) ?? [];
  const strange = errors.find(({ code }) => code !== codes.duplicateKey);
  const unsure = answer["writeConcernError"] ?? strange;
  if (unsure !== undefined) {
    // A duplicate key among them is `conflict` then, and is found again when it is folded anew.
    const error = new Fault("unavailable", `MongoDB could not write: ${wordsOf(unsure)}`, { effect: "unknown" });
    return await makeUp(mongo, { places, ids }, writer, ends, error, strange);
  }
  await settle(mongo, { command, places, ids }, Number(answer["n"]), errors, writer, ends);
}

/** The answer is whole: what it does not say is read from the primary. */
async function settle(
  mongo: Mongo,
  { command, places, ids }: Batch,
  matched: number,
  errors: readonly WriteError[],
  writer: string,
  ends: Written[],
): Promise<void> {
  const isInsert = "insert" in command;
  const refused = new Map(errors.map((error) => [error.index, error]));
  const isAllSaid = matched + refused.size === places.length && !(isInsert && refused.size > 0);
  const writers = isAllSaid ? undefined : await readWriters(mongo, ids);
  for (const [at, place] of places.entries()) {
    const id = ids[at];
    if (id === undefined) continue;
    if (writers === undefined) ends[place] = refused.has(at) ? "taken" : "stored";
    else if (refused.has(at)) ends[place] = isInsert && writers.has(id) ? "conflict" : "taken";
    else ends[place] = writers.get(id) === writer || isInsert ? "stored" : "conflict";
  }
}

/** What took effect of a batch that was not answered, or not wholly. Rejects with `cause` where that cannot be found out. */
async function makeUp(
  mongo: Mongo,
  { places, ids }: Pick<Batch, "places" | "ids">,
  writer: string,
  ends: Written[],
  cause: unknown,
  strange?: WriteError,
): Promise<void> {
  let writers: ReadonlyMap<UserId, unknown>;
  try {
    await reachMajority(mongo);
    writers = await readWriters(mongo, ids, "majority");
  } catch {
    throw cause;
  }
  let isMissing = false;
  for (const [at, place] of places.entries()) {
    const isOurs = writers.get(ids[at] as UserId) === writer;
    isMissing ||= !isOurs;
    ends[place] = isOurs ? "stored" : "conflict";
  }
  // What the server refuses for a reason of its own is not to be tried again at once.
  if (isMissing && strange !== undefined && strange.code !== codes.writeConflict) throw cause;
}

async function readWriters(
  mongo: Mongo,
  ids: readonly UserId[],
  readConcern?: "majority",
): Promise<ReadonlyMap<UserId, unknown>> {
  const found = await mongo.find(users, {
    filter: { _id: { $in: ids } },
    projection: { writer: 1 },
    limit: ids.length,
    readPreference: "primary",
    ...(readConcern === undefined ? {} : { readConcern }),
  });
  return new Map(found.map(({ _id, writer }) => [_id as unknown as UserId, writer]));
}

/** Without the values that the server may repeat. */
function wordsOf(failure: unknown): string {
  const { code, codeName } = failure as { readonly code?: number; readonly codeName?: string };
  return `error ${code}${codeName === undefined ? "" : ` (${codeName})`}`;
}
