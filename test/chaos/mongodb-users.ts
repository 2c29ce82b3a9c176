/** Looks at the users in MongoDB from outside. */
import { expect } from "bun:test";
import { MongoClient } from "mongodb";
import { createMongodbUserStore } from "../../src/storage/mongodb.ts";
import { referralPoints } from "../../src/users/operations.ts";
import type { MongodbServer } from "../live/mongodb-process.ts";
import { mongodbOptions } from "../live/mongodb-rig.ts";
import type { Standing } from "./crowd.ts";

/** Pays at once what is owed, as botfleet does after a minute. Returns how many rewards that were. */
export async function sweep({ url }: MongodbServer): Promise<number> {
  const store = await createMongodbUserStore(mongodbOptions(url, "botfleet"));
  try {
    const owed = await store.owedSince(Date.now() + 1, 1_000);
    const ends = await store.reward(owed, referralPoints, Date.now());
    expect(ends.map(({ end }) => end)).toEqual(owed.map(() => "paid"));
    return owed.length;
  } finally {
    await store.stop();
  }
}

export async function storedUsers({ url }: MongodbServer): Promise<ReadonlyMap<number, Standing>> {
  const client = new MongoClient(url);
  try {
    const users = client.db("botfleet").collection<{ readonly _id: number }>("users");
    const found = await users.find({}, { projection: { points: 1, referralCount: 1, referredBy: 1 } }).toArray();
    return new Map(
      found.map(({ _id, ...user }) => {
        const { points, referralCount, referredBy } = user as unknown as Standing;
        return [_id, { points, referralCount, referredBy }];
      }),
    );
  } finally {
    await client.close();
  }
}
