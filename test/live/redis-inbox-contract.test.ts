/** What every inbox promises, on a real Redis. */
import { afterAll, setDefaultTimeout } from "bun:test";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { inboxContract } from "../contract/inbox.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { openRedisInbox, redisInboxLimits } from "./redis-inbox-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(30_000);

describeLive("the inbox in Redis", [own(redisServer)], () => {
  let server: Promise<LiveRedis> | undefined;
  afterAll(async () => (await server)?.stop());

  inboxContract("Redis", async ({ handoverMaxEntries, deduplicate }) => {
    server ??= LiveRedis.start();
    const redis = await server;
    await redis.command("FLUSHALL");
    const lives: Inbox[] = [];
    const limits = { ...redisInboxLimits, handoverMaxEntries, callMaxMs: 10_000, hungMaxMs: 12_000 };
    return {
      async start() {
        const inbox = await openRedisInbox(redis.url, { limits, deduplicate });
        lives.push(inbox);
        return inbox;
      },
      async crash() {
        // A dead process says nothing more; that its connections are open for a while changes nothing.
      },
      async dispose() {
        for (const inbox of lives) await inbox.stop().catch(() => {});
      },
    };
  });
});
