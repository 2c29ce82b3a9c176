/**
 * Rewards: a referee becomes `paid` and its referrer gets the points, in one transaction or not at all. How a step can end:
 *
 *     who owes what is read         fails: rejects, nothing was written
 *     the transaction conflicts     with a change of one of them: begun again, from its start, for a second; then it rejects, and nothing was written
 *                                   (an instance that dies in a transaction holds its documents until the server ends that, after a minute)
 *     somebody has paid meanwhile   fewer documents match than should: it is aborted, and done by who still owes as it sees it
 *     aborted by anything else      rejects; nothing was written
 *     the commit is not answered    asked for again until it is, or time is up; then it rejects, and the state of the referee decides the next time
 */
import type { UserId } from "../ids.ts";
import type { Document, Mongo, Run } from "./mongodb-connection.ts";
import { users } from "./mongodb-prepare.ts";
import type { Rewarded } from "./store.ts";

export interface RewardBounds {
  /** Referees in one transaction: the more, the more often one of them conflicts. */
  readonly transactionMaxUsers: number;
}

interface Reward {
  readonly points: number;
  readonly at: number;
}

interface Owing {
  readonly referee: UserId;
  readonly referrer: UserId | undefined;
}

const owed = { "referral.state": "owed" } as const;

export async function rewardUsers(
  mongo: Mongo,
  referees: readonly UserId[],
  reward: Reward,
  limits: RewardBounds,
): Promise<readonly Rewarded[]> {
  const ids = [...new Set(referees)];
  const found = await mongo.find(users, { ...whoOwes(ids), readPreference: "primary" });
  const paid = new Map<UserId, UserId | undefined>();
  for (const group of groupsOf(found.map(owingOf), limits)) {
    for (const { referee, referrer } of await payGroup(mongo, group, reward)) paid.set(referee, referrer);
  }
  return referees.map((referee) => {
    if (!paid.has(referee)) return { referee, end: "not_owed" };
    const referrer = paid.get(referee);
    paid.delete(referee);
    return referrer === undefined ? { referee, end: "paid" } : { referee, end: "paid", referrer };
  });
}

function whoOwes(ids: readonly UserId[]): {
  readonly filter: Document;
  readonly projection: Document;
  readonly limit: number;
} {
  return { filter: { _id: { $in: ids }, ...owed }, projection: { referredBy: 1 }, limit: ids.length };
}

function owingOf({ _id, referredBy }: Document): Owing {
  return { referee: _id as UserId, referrer: referredBy as UserId | undefined };
}

/** Those of one referrer together, as far as they fit. */
function groupsOf(owing: readonly Owing[], { transactionMaxUsers }: RewardBounds): readonly (readonly Owing[])[] {
  const sorted = owing.toSorted((a, b) => (a.referrer ?? 0) - (b.referrer ?? 0));
  const count = Math.ceil(sorted.length / transactionMaxUsers);
  return Array.from({ length: count }, (_, at) =>
    sorted.slice(at * transactionMaxUsers, (at + 1) * transactionMaxUsers),
  );
}

/** Answers whom it paid, and who got it: a referrer that does not exist gets nothing. */
async function payGroup(mongo: Mongo, group: readonly Owing[], reward: Reward): Promise<readonly Owing[]> {
  const isPaid = await mongo.transaction(async (run, abort) => {
    const statements = statementsOf(group, reward);
    const matched = await update(run, statements);
    return matched === statements.length ? true : await abort(false);
  });
  if (isPaid) return group;
  return await mongo.transaction(async (run) => {
    const owing = await stillOwing(run, group);
    if (owing.length > 0) await update(run, statementsOf(owing, reward));
    return owing;
  });
}

/** Those of the group that owe as the transaction sees it, with the referrers that exist. */
async function stillOwing(run: Run, group: readonly Owing[]): Promise<readonly Owing[]> {
  const found = await findAll(run, whoOwes(group.map(({ referee }) => referee)));
  const owing = found.map(owingOf);
  const ids = [...new Set(owing.flatMap(({ referrer }) => referrer ?? []))];
  const referrers = await findAll(run, { filter: { _id: { $in: ids } }, projection: { _id: 1 }, limit: ids.length });
  const existing = new Set(referrers.map(({ _id }) => _id as unknown as UserId));
  return owing.map(({ referee, referrer }) => ({
    referee,
    referrer: referrer !== undefined && existing.has(referrer) ? referrer : undefined,
  }));
}

async function findAll(run: Run, { limit, ...find }: ReturnType<typeof whoOwes>): Promise<readonly Document[]> {
  // Ids alone: a thousand of them are far from what one answer holds.
  const answer = await run({ find: users, ...find, batchSize: limit + 1, singleBatch: true });
  return (answer["cursor"] as { readonly firstBatch: readonly Document[] }).firstBatch;
}

/** Answers how many matched. */
async function update(run: Run, statements: readonly Document[]): Promise<number> {
  const { n, writeErrors } = await run({ update: users, updates: statements, ordered: true });
  if (writeErrors !== undefined) throw new Error("rewards cannot be written");
  return Number(n);
}

function statementsOf(owing: readonly Owing[], { points, at }: Reward): Document[] {
  const referees = owing.map(({ referee }) => ({
    q: { _id: referee, ...owed },
    u: { $set: { referral: { state: "paid", since: at }, updatedAt: at }, $inc: { version: 1 } },
  }));
  const counts = new Map<UserId, number>();
  for (const { referrer } of owing) if (referrer !== undefined) counts.set(referrer, (counts.get(referrer) ?? 0) + 1);
  const referrers = [...counts].map(([referrer, count]) => ({
    q: { _id: referrer },
    u: { $set: { updatedAt: at }, $inc: { points: points * count, referralCount: count, version: 1 } },
  }));
  return [...referees, ...referrers];
}
