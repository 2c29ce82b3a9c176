/** The shipped configurations of Redis, started: what they set, and whether an inbox may be kept there. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { codeOf } from "../contract/inbox.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { openRedisInbox } from "./redis-inbox-rig.ts";
import { LiveRedis } from "./redis-server.ts";

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
});
