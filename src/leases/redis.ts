/** Leases of a fleet in the Redis of its inbox: two connections of their own, so that a big group of the inbox does not hold a renewal up. */
import { readAddress } from "../redis/address.ts";
import { IoredisServer, type RedisServerLimits } from "../redis/ioredis.ts";
import { createRedisLeaseStore } from "./redis-store.ts";
import { SharedLeases, type SharedLeasesOptions } from "./shared.ts";

export interface RedisLeasesOptions extends Omit<SharedLeasesOptions, "store" | "limits"> {
  /** As `readAddress` reads it: the same as of the inbox, which is opened before and says what is wrong with it. */
  readonly url: string;
  readonly limits: SharedLeasesOptions["limits"] & RedisServerLimits;
}

/** Throws `settings_invalid` where `url` has not the form. Connects with `start`. */
export function createRedisLeases(options: RedisLeasesOptions): SharedLeases {
  const { url, limits, clock, newName } = options;
  const address = readAddress(url);
  const connect = (onUsable: () => void): IoredisServer =>
    new IoredisServer({ name: "leases", address, limits, clock, onUsable, onFailed: () => {} });
  const store = createRedisLeaseStore({ connect, database: address.database, newName });
  return new SharedLeases({ ...options, store });
}
