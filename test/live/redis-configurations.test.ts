/** The shipped configurations of Redis, started: what they set, and whether an inbox may be kept there. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { botClaim, codeOf, message } from "../contract/inbox.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { openRedisInbox } from "./redis-inbox-rig.ts";
import { LiveRedis } from "./redis-server.ts";
import { until } from "./until.ts";

setDefaultTimeout(30_000);

const fileOf = (name: string): string => join(import.meta.dir, "../../config/deploy", `${name}.conf`);

async function running(name: string, look: (redis: LiveRedis) => Promise<void>): Promise<void> {
  const redis = await LiveRedis.start(["--include", fileOf(name)]);
  try {
    await look(redis);
  } finally {
    await redis.stop();
  }
}

async function settingsOf(redis: LiveRedis): Promise<Readonly<Record<string, unknown>>> {
  const names = ["maxmemory", "maxmemory-policy", "save", "appendonly", "appendfsync"];
  const values = await Promise.all(names.map(async (name) => (await redis.command("CONFIG", "GET", name)) as string[]));
  return Object.fromEntries(values.map(([name, value]) => [name, value]));
}

const guide = { maxmemory: String(8 * 1024 ** 3), save: "900 1 300 10", appendonly: "yes", appendfsync: "everysec" };

/** As in production. `lines`: what an operator reads. */
function openInbox(redis: LiveRedis) {
  const lines: string[] = [];
  const say = (text: string): void => void lines.push(text);
  const log = { info: say, warn: say, error: say };
  return { lines, inbox: openRedisInbox(redis.url, { allowLoss: false, log }) };
}

describeLive("the shipped configurations of Redis", [own(redisServer)], () => {
  test("redis-inbox.conf may hold an inbox; the one thing that is said is what `everysec` loses", () =>
    running("redis-inbox", async (redis) => {
      expect(await settingsOf(redis)).toEqual({ ...guide, "maxmemory-policy": "noeviction" });
      const { lines, inbox } = openInbox(redis);
      await (await inbox).stop();
      expect(lines).toHaveLength(1);
      expect(lines[0]).toMatch(/what the last second brought \(appendfsync everysec\)|WAITAOF/);
    }));

  test("redis-cache.conf is refused as an inbox, since it may throw updates away", () =>
    running("redis-cache", async (redis) => {
      expect(await settingsOf(redis)).toEqual({ ...guide, "maxmemory-policy": "allkeys-lru" });
      const { inbox } = openInbox(redis);
      expect(await codeOf(inbox)).toBe("settings_invalid");
      expect(await inbox.catch(String)).toContain("maxmemory-policy allkeys-lru");
    }));

  test("an unsettled update takes its JSON and under 130 bytes more", () =>
    running("redis-inbox", async (redis) => {
      const memory = async (): Promise<number> =>
        Number(/^used_memory:(\d+)/m.exec(String(await redis.command("INFO", "memory")))?.[1]);
      const inbox = await openInbox(redis).inbox;
      try {
        const updates = Array.from({ length: 20_000 }, (_, at) => message(at + 1, 1 + (at % 2_000), "x".repeat(250)));
        const before = await memory();
        for (let at = 0; at < updates.length; at += 100) await inbox.append(botClaim(), updates.slice(at, at + 100));
        const json = updates.reduce((sum, update) => sum + JSON.stringify(update).length, 0);
        const [whole, text] = [(await memory()) - before, json].map((bytes) => bytes / updates.length);
        console.log(`  ${Math.round(whole ?? 0)} bytes for an update of ${Math.round(text ?? 0)}`);
        expect((whole ?? 0) - (text ?? 0)).toBeWithin(40, 130);
      } finally {
        await inbox.stop();
      }
    }));

  test("with `min-replicas-to-write 1` an append is refused while there is no replica, as after a network split", () =>
    running("redis-inbox", async (redis) => {
      const inbox = await openInbox(redis).inbox;
      try {
        await redis.command("CONFIG", "SET", "min-replicas-to-write", 1);
        expect(await codeOf(inbox.append(botClaim(), [message(1)]))).toBe("inbox_refused");
        await redis.command("CONFIG", "SET", "min-replicas-to-write", 0);
        await until(async () => (await codeOf(inbox.append(botClaim(), [message(1)]))) === undefined);
      } finally {
        await inbox.stop();
      }
    }));
});
