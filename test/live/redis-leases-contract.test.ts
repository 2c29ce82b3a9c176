/** What every lease store promises, on a real Redis. */
import { afterAll, setDefaultTimeout } from "bun:test";
import { leaseStoreContract } from "../contract/leases.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { openRedisLeaseStore } from "./redis-leases-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(30_000);

describeLive("the leases in Redis", [own(redisServer)], () => {
  let server: Promise<LiveRedis> | undefined;
  afterAll(async () => (await server)?.stop());

  leaseStoreContract("Redis", async () => {
    server ??= LiveRedis.start();
    const redis = await server;
    await redis.command("FLUSHALL");
    return {
      open: () => openRedisLeaseStore(redis.url),
      pass: async () => {},
      dispose: async () => {},
    };
  });
});
