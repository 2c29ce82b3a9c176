/** The lowest tier: storage itself, asked for many users at a time. */
import DataLoader from "dataloader";
import { Fault, faultOf, isOutage } from "../faults.ts";
import type { UserId } from "../ids.ts";
import type { UserStore } from "../storage/store.ts";
import type { User } from "../users/user.ts";
import type { Tier } from "./tier.ts";

export interface StorageTierOptions {
  readonly store: Pick<UserStore, "read">;
  /** Reads that come together are one (`ENABLE_QUERY_BATCHING`). */
  readonly group: boolean;
  /** Users asked for at once. */
  readonly readMaxUsers: number;
}

export function createStorageTier({ store, group, readMaxUsers }: StorageTierOptions): Tier {
  /** One damaged document must not hide those that are asked for with it. */
  async function readEach(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User | Error>> {
    try {
      return await store.read(ids);
    } catch (error) {
      const fault = faultOf(error);
      if (ids.length === 1 || fault === undefined || isOutage(fault)) throw error;
      const users = new Map<UserId, User | Error>();
      for (const id of ids) {
        for (const [found, user] of await readEach([id]).catch((failed: unknown) => new Map([[id, asError(failed)]]))) {
          users.set(found, user);
        }
      }
      return users;
    }
  }

  // Holds nothing itself: remembering is the business of the tiers above.
  const loader = new DataLoader<UserId, User | undefined>(
    async (ids) => {
      const users = await readEach([...new Set(ids)]);
      return ids.map((id) => users.get(id));
    },
    { cache: false, batch: group, maxBatchSize: readMaxUsers },
  );

  async function read(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>> {
    const users = new Map<UserId, User>();
    const failed: unknown[] = [];
    for (const [at, found] of (await loader.loadMany(ids)).entries()) {
      const id = ids[at];
      if (found instanceof Error) failed.push(found);
      else if (found !== undefined && id !== undefined) users.set(id, found);
    }
    const [error] = failed;
    if (error !== undefined)
      throw error instanceof Fault ? error : new Fault("unavailable", "users cannot be read", { cause: error });
    return users;
  }

  return { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} };
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
