/** Leases over a Redis of the test's own. */
import { systemClock } from "../../src/clock.ts";
import { readAddress } from "../../src/redis/address.ts";
import { IoredisServer } from "../../src/redis/ioredis.ts";
import { createRedisLeaseStore } from "../../src/leases/redis-store.ts";
import type { LeaseStore } from "../../src/leases/store.ts";

export const connectionLimits = {
  callMaxMs: 2_000,
  connectMaxMs: 1_000,
  hungMaxMs: 3_000,
  retryCapMs: 100,
  diskMaxMs: 500,
};

export function newName(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, 12);
}

export function openRedisLeaseStore(url: string): LeaseStore {
  const address = readAddress(url);
  return createRedisLeaseStore({
    connect: (onUsable) =>
      new IoredisServer({
        name: "leases",
        address,
        limits: connectionLimits,
        clock: systemClock,
        onUsable,
        onFailed: () => {},
      }),
    database: address.database,
    newName,
  });
}
