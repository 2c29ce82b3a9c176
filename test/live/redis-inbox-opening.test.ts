/** What an operator is told of an inbox Redis before anything is entrusted to it. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { Inbox } from "../../src/inbox/inbox.ts";
import type { RedisInboxOptions } from "../../src/inbox/redis.ts";
import { botClaim, codeOf, message, partitionClaim, take } from "../contract/inbox.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { always, openNamedInbox, openRedisInbox, redisInboxLimits } from "./redis-inbox-rig.ts";
import { until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(30_000);

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.stop().catch(() => {});
});

async function startRedis(args: readonly string[] = always, password?: string): Promise<LiveRedis> {
  const redis = await LiveRedis.start(args, password);
  open.push(redis);
  return redis;
}

interface Opening {
  readonly lines: string[];
  readonly inbox: Promise<Inbox>;
}

/** As in production: no loss is allowed. */
function openStrictly(url: string, options: Partial<RedisInboxOptions> = {}): Opening {
  const lines: string[] = [];
  const say = (text: string, fields?: object): void => void lines.push(`${text} ${Bun.inspect(fields)}`);
  const log = { info: say, warn: say, error: say };
  const inbox = openRedisInbox(url, { allowLoss: false, log, ...options });
  inbox.then(
    (opened) => open.push(opened),
    () => {},
  );
  return { lines, inbox };
}

describeLive("the opening of an inbox in Redis", [own(redisServer)], () => {
  test("says nothing of a Redis that keeps everything", async () => {
    const { lines, inbox } = openStrictly((await startRedis()).url);
    await inbox;
    expect(lines).toEqual([]);
  });

  test("refuses one that may evict, and one that keeps nothing, unless losses are allowed", async () => {
    const evicting = await startRedis([...always, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"]);
    const forgetting = await startRedis([]);
    for (const [redis, advice] of [
      [evicting, "set maxmemory-policy noeviction"],
      [forgetting, "set appendonly yes"],
    ] as const) {
      const { inbox } = openStrictly(redis.url);
      expect(await codeOf(inbox)).toBe("settings_invalid");
      expect(await inbox.catch(String)).toContain(advice);
      const { lines, inbox: allowed } = openStrictly(redis.url, { allowLoss: true });
      expect((await (await allowed).append(botClaim(), [message(1)])).stored).toBe(1);
      expect(lines.join()).toContain(advice);
    }
  });

  test("warns of `everysec`, and where CONFIG is forbidden", async () => {
    const everysec = openStrictly((await startRedis(["--appendonly", "yes", "--appendfsync", "everysec"])).url);
    await everysec.inbox;
    expect(everysec.lines).toHaveLength(1);
    expect(everysec.lines[0]).toContain("what the last second brought");
    const hosted = openStrictly((await startRedis([...always, "--rename-command", "CONFIG", ""])).url);
    await hosted.inbox;
    expect(hosted.lines).toHaveLength(1);
    expect(hosted.lines[0]).toContain("CONFIG is forbidden");
  });

  test("warns of a user that may not use channels, and stores all the same", async () => {
    const redis = await startRedis();
    await redis.command("ACL", "SETUSER", "mute", "on", ">pw", "~*", "+@all", "resetchannels");
    const { lines, inbox } = openStrictly(redis.url.replace("redis://", "redis://mute:pw@"));
    const opened = await inbox;
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("&botfleet:*");
    await redis.command("HSET", "botfleet:inbox:{s0}:claims", `b${botClaim().bot}`, botClaim().token);
    expect((await opened.append(botClaim(), [message(1)])).stored).toBe(1);
  });

  test("refuses wrong credentials; no password is in any error or line, also when Redis fails later", async () => {
    const redis = await startRedis(always, "right-secret");
    const wrong = openStrictly(redis.url.replace("right-secret", "wrong-secret"));
    expect(await codeOf(wrong.inbox)).toBe("settings_invalid");
    const { lines, inbox } = openStrictly(redis.url);
    const opened = await inbox;
    await redis.kill();
    await until(() => opened.state() === "failing");
    const refusal = await opened.append(botClaim(), [message(1, 1, "private text")]).catch((error: unknown) => error);
    const all = Bun.inspect([await wrong.inbox.catch((error: unknown) => error), wrong.lines, lines, refusal], {
      depth: 9,
    });
    expect(all).toContain("inbox_refused");
    for (const secret of ["wrong-secret", "right-secret", "private text"]) expect(all).not.toContain(secret);
  });

  test("ends in order without Redis where every partition was given back", async () => {
    const redis = await startRedis();
    const inbox = await openRedisInbox(redis.url);
    const partition = await inbox.open(partitionClaim());
    await partition.close();
    await redis.kill();
    await until(() => inbox.state() === "failing");
    expect(await codeOf(inbox.stop())).toBeUndefined();
  });

  test("refuses an inbox that a newer botfleet has written, and changes nothing of it", async () => {
    const redis = await startRedis();
    await redis.command("HSET", "botfleet:inbox:{s0}:meta", "format", 2);
    const { inbox } = openStrictly(redis.url);
    expect(await codeOf(inbox)).toBe("format_newer");
    expect(await inbox.catch(String)).toContain("format 2");
    expect(await redis.command("KEYS", "*")).toEqual(["botfleet:inbox:{s0}:meta"]);
  });

  test("waits for a Redis that is not there yet, until it is told to give up", async () => {
    const redis = await startRedis();
    await redis.kill();
    const stopping = new AbortController();
    const given = openStrictly(redis.url, { signal: stopping.signal });
    const { inbox } = openStrictly(redis.url);
    expect(await Promise.race([inbox.then(() => "opened"), Bun.sleep(200).then(() => "waiting")])).toBe("waiting");
    stopping.abort();
    expect(await codeOf(given.inbox)).toBe("unavailable");
    await redis.boot();
    expect((await (await inbox).append(botClaim(), [message(1)])).stored).toBe(1);
  });

  test("two databases of one Redis hold two inboxes that do not hear of each other", async () => {
    const redis = await startRedis();
    const [first, second] = await Promise.all([
      openStrictly(`${redis.url}/1`).inbox,
      openStrictly(`${redis.url}/2`).inbox,
    ]);
    const partition = await first.open(partitionClaim());
    await second.append(botClaim(), [message(1)]);
    await first.append(botClaim(), [message(1)]);
    expect(await take(partition, 1)).toHaveLength(1);
    expect(await first.backlog()).toEqual(new Map([[botClaim().bot, 1]]));
  });
});

describeLive("a server with WAITAOF and appendfsync everysec", [own(redisServer)], () => {
  /** What a client says and hears goes through here; WAITAOF, which the installed server lacks, becomes a script that answers `synced`. */
  async function withWaitAof(port: number, said: { waits: number; synced: 0 | 1 }) {
    const upstreams = new Map<object, Promise<{ write(data: Buffer): unknown; end(): unknown }>>();
    const proxy = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(client) {
          upstreams.set(
            client,
            Bun.connect({ hostname: "127.0.0.1", port, socket: { data: (_, data) => void client.write(data) } }),
          );
        },
        async data(client, data) {
          const upstream = upstreams.get(client);
          let text = data.toString("latin1");
          text = text.replace("INFO\r\n$7\r\nWAITAOF", "INFO\r\n$3\r\nGET");
          text = text.replace(/\*4\r\n\$7\r\nWAITAOF\r\n(?:\$\d+\r\n\d+\r\n){3}/, () => {
            said.waits++;
            return `*3\r\n$4\r\nEVAL\r\n$12\r\nreturn {${said.synced},0}\r\n$1\r\n0\r\n`;
          });
          (await upstream)?.write(Buffer.from(text, "latin1"));
        },
        async close(client) {
          (await upstreams.get(client))?.end();
        },
      },
    });
    open.push({ stop: async () => proxy.stop(true) });
    return `redis://127.0.0.1:${proxy.port}`;
  }

  test("an append resolves once it is on the server's disk, and is refused where that takes too long", async () => {
    const redis = await startRedis(["--appendonly", "yes", "--appendfsync", "everysec"]);
    const said: { waits: number; synced: 0 | 1 } = { waits: 0, synced: 1 };
    const url = await withWaitAof(Number(new URL(redis.url).port), said);
    const { lines, inbox } = openStrictly(url, { limits: { ...redisInboxLimits, diskCheckMs: 600_000 } });
    const opened = await inbox;
    expect(lines.join()).toContain("WAITAOF");
    expect((await opened.append(botClaim(), [message(1)])).stored).toBe(1);
    expect(said.waits).toBe(1);
    said.synced = 0;
    expect(await codeOf(opened.append(botClaim(), [message(2)]))).toBe("inbox_refused");
    said.synced = 1;
    await until(() => opened.state() === "ok");
    expect(await opened.append(botClaim(), [message(2)])).toMatchObject({ stored: 0, known: 1 });
  });

  test("the names of its partitions are drawn at the first start, and never change", async () => {
    const redis = await startRedis();
    const names = async (from: number): Promise<readonly number[]> => {
      const { inbox, nameOf } = await openNamedInbox(redis.url, { partitions: 2, newName: () => from });
      await inbox.stop();
      return [nameOf(0), nameOf(1)];
    };
    expect(await names(5_000)).toEqual([5_000, 5_001]);
    expect(await names(9_000)).toEqual([5_000, 5_001]);
  });
});
