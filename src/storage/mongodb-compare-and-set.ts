/**
 * Compare-and-set of many documents: unordered commands with a majority, of inserts or of updates of one version each. How a step can end:
 *
 *     refused before it was sent     rejects; nothing was written
 *     answered: all matched          all stored
 *     answered: fewer matched        who it was is not said: they are read back, and `writer` tells which are ours
 *     answered: duplicate key        of the id: somebody has inserted it, `conflict`; of another unique field: `taken`; the others are not touched by it
 *     answered: no majority in time, another error of one write, no longer primary
 *     connection closed, time-out, server killed
 *                                    some may be written, and some of those may be rolled back: a write with a majority goes first, so that what
 *                                    was there before is either durable or gone, and then they are read back from what a majority has. Where
 *                                    even that fails the end stays unknown: the caller is told so, and nothing is read before that has been made up for
 *     applied only after that        its version is another by then, or whoever writes next conflicts: never twice
 */
import { Fault } from "../faults.ts";
import type { Document, Mongo } from "./mongodb-connection.ts";
import { codeOf, codes, troubleOf, type WriteError } from "./mongodb-errors.ts";
import { reachMajority } from "./mongodb-prepare.ts";
import type { Written } from "./store.ts";

type DocumentId = number | string;

/** A document to be written, as a statement of MongoDB's: what `insert` takes, or what `update` takes. Both set `writer`. */
export interface Statement {
  readonly id: DocumentId;
  readonly isNew: boolean;
  readonly statement: Document;
  /** Of it in BSON, never too few. */
  readonly bytes: number;
}

/** One command on its way, and where the answers of its writes belong. */
interface Batch {
  readonly collection: string;
  readonly command: Document;
  readonly places: readonly number[];
  readonly ids: readonly DocumentId[];
}

const writeConcern = { w: "majority", wtimeout: 10_000 } as const;

/**
 * The answers in the order of the statements. `commandMaxBytes`: what one command may hold. Rejects with the driver's error where it is not known what was
 * written, or nothing was.
 */
export async function compareAndSet(
  mongo: Mongo,
  collection: string,
  statements: readonly Statement[],
  writer: string,
  commandMaxBytes: number,
): Promise<readonly Written[]> {
  const ends: Written[] = [];
  const batches = batchesOf(collection, statements, commandMaxBytes);
  const written = await Promise.allSettled(batches.map((batch) => writeBatch(mongo, batch, writer, ends)));
  const failed = written.find((each) => each.status === "rejected");
  if (failed !== undefined) throw failed.reason;
  return ends;
}

function batchesOf(collection: string, all: readonly Statement[], commandMaxBytes: number): readonly Batch[] {
  const batches: Batch[] = [];
  for (const isNew of [true, false]) {
    let statements: Document[] = [];
    let places: number[] = [];
    let ids: DocumentId[] = [];
    let bytes = 0;
    const close = (): void => {
      if (statements.length === 0) return;
      const what = isNew ? { insert: collection, documents: statements } : { update: collection, updates: statements };
      batches.push({ collection, command: { ...what, ordered: false, writeConcern }, places, ids });
      [statements, places, ids, bytes] = [[], [], [], 0];
    };
    for (const [place, each] of all.entries()) {
      if (each.isNew !== isNew) continue;
      if (bytes + each.bytes > commandMaxBytes) close();
      bytes += each.bytes;
      places.push(place);
      ids.push(each.id);
      statements.push(each.statement);
    }
    close();
  }
  return batches;
}

/** Fills in the answers of the batch. */
async function writeBatch(
  mongo: Mongo,
  { collection, command, places, ids }: Batch,
  writer: string,
  ends: Written[],
): Promise<void> {
  let answer: Document;
  try {
    answer = await mongo.run(command);
  } catch (error) {
    if (troubleOf(error) !== "unknown" && codeOf(error) !== codes.duplicateKey) throw error;
    return await makeUp(mongo, { collection, places, ids }, writer, ends, error);
  }
  const errors = (answer["writeErrors"] as readonly WriteError[] | undefined) ?? [];
  const strange = errors.find(({ code }) => code !== codes.duplicateKey);
  const unsure = answer["writeConcernError"] ?? strange;
  if (unsure !== undefined) {
    // A duplicate key among them is `conflict` then, and is found again when it is folded anew.
    const error = new Fault("unavailable", `MongoDB could not write: ${wordsOf(unsure)}`, { effect: "unknown" });
    return await makeUp(mongo, { collection, places, ids }, writer, ends, error, strange);
  }
  await settle(mongo, { collection, command, places, ids }, Number(answer["n"]), errors, writer, ends);
}

/** The answer is whole: what it does not say is read from the primary. */
async function settle(
  mongo: Mongo,
  { collection, command, places, ids }: Batch,
  matched: number,
  errors: readonly WriteError[],
  writer: string,
  ends: Written[],
): Promise<void> {
  const isInsert = "insert" in command;
  const refused = new Map(errors.map((error) => [error.index, error]));
  const isAllSaid = matched + refused.size === places.length && !(isInsert && refused.size > 0);
  const writers = isAllSaid ? undefined : await readWriters(mongo, collection, ids);
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
  { collection, places, ids }: Pick<Batch, "collection" | "places" | "ids">,
  writer: string,
  ends: Written[],
  cause: unknown,
  strange?: WriteError,
): Promise<void> {
  let writers: ReadonlyMap<DocumentId, unknown>;
  try {
    await reachMajority(mongo);
    writers = await readWriters(mongo, collection, ids, "majority");
  } catch {
    throw cause;
  }
  let isMissing = false;
  for (const [at, place] of places.entries()) {
    const isOurs = writers.get(ids[at] as DocumentId) === writer;
    isMissing ||= !isOurs;
    ends[place] = isOurs ? "stored" : "conflict";
  }
  // What the server refuses for a reason of its own is not to be tried again at once.
  if (isMissing && strange !== undefined && strange.code !== codes.writeConflict) throw cause;
}

async function readWriters(
  mongo: Mongo,
  collection: string,
  ids: readonly DocumentId[],
  readConcern?: "majority",
): Promise<ReadonlyMap<DocumentId, unknown>> {
  const found = await mongo.find(collection, {
    filter: { _id: { $in: ids } },
    projection: { writer: 1 },
    limit: ids.length,
    readPreference: "primary",
    ...(readConcern === undefined ? {} : { readConcern }),
  });
  return new Map(found.map(({ _id, writer }) => [_id as unknown as DocumentId, writer]));
}

/** Without the values that the server may repeat. */
function wordsOf(failure: unknown): string {
  const { code, codeName } = failure as { readonly code?: number; readonly codeName?: string };
  return `error ${code}${codeName === undefined ? "" : ` (${codeName})`}`;
}
