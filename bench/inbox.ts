/**
 * CPU of the process per update (event loop and worker together) for append, hand-over and settle, in memory, in SQLite, and in Redis where
 * redis-server is installed (started here with `appendfsync always`; its own CPU is given apart; `redis apart`: one inbox appends,
 * another one hands out and settles, as where the poller is on another instance; the CPU is that of both):
 *
 *     bun bench/inbox.ts [--updates 200000] [--bots 8] [--batch 50] [--partitions 1] [--json]
 *
 * `--batch` updates of one bot in each append, one append in flight for each of `--bots`, every update settled `done` once handed out.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { limits } from "../config/limits.ts";
import { systemClock } from "../src/clock.ts";
import { type BotId, toBotId, type Update } from "../src/ids.ts";
import type { Inbox, Partition } from "../src/inbox/inbox.ts";
import { createMemoryInbox } from "../src/inbox/memory.ts";
import { createRedisInbox } from "../src/inbox/redis.ts";
import { createSqliteInbox } from "../src/inbox/sqlite.ts";
import { missing, own, redisServer } from "../test/live/programs.ts";
import { LiveRedis } from "../test/live/redis-server.ts";
import { botClaim, partitionClaim } from "../test/support/claims.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "200000" },
    bots: { type: "string", default: "8" },
    batch: { type: "string", default: "50" },
    partitions: { type: "string", default: "1" },
    group: { type: "string", default: String(limits.inbox.groupMaxWrites) },
    json: { type: "boolean", default: false },
  },
});
const updates = Number(values.updates);
const bots = Number(values.bots);
const batch = Number(values.batch);

interface Measured {
  readonly cpuMicros: number;
  readonly wallMicros: number;
  readonly perSecond: number;
  readonly meanGroup: number;
  /** Of the Redis server. */
  readonly serverMicros?: number;
}

const groups = { commits: 0, writes: 0 };
const onFlushed = (writes: number): void => {
  groups.commits++;
  groups.writes += writes;
};

async function measure(inbox: Inbox, serverSeconds?: () => Promise<number>, reader = inbox): Promise<Measured> {
  const opened = await Promise.all(
    Array.from({ length: reader.partitions }, (_, partition) => reader.open(partitionClaim(partition))),
  );
  const perBot = Math.floor(updates / bots / batch) * batch;
  const warmUp = Math.min(perBot, 10 * batch);
  const settledUpTo = startSettling(opened);
  await round(inbox, settledUpTo, 0, warmUp);
  Object.assign(groups, { commits: 0, writes: 0 });
  const serverBefore = (await serverSeconds?.()) ?? 0;
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await round(inbox, settledUpTo, warmUp, perBot);
  const { user, system } = process.cpuUsage(cpu);
  const wallMicros = (performance.now() - startedAt) * 1_000;
  const serverMicros = serverSeconds === undefined ? 0 : ((await serverSeconds()) - serverBefore) * 1_000_000;
  await reader.stop();
  if (reader !== inbox) await inbox.stop();
  const count = perBot * bots;
  return {
    cpuMicros: (user + system) / count,
    wallMicros: wallMicros / count,
    perSecond: (count / wallMicros) * 1_000_000,
    meanGroup: groups.writes / groups.commits,
    ...(serverSeconds === undefined ? {} : { serverMicros: serverMicros / count }),
  };
}

async function round(
  inbox: Inbox,
  settledUpTo: (count: number) => Promise<void>,
  fromId: number,
  count: number,
): Promise<void> {
  const settled = settledUpTo((fromId + count) * bots);
  const appended = Array.from({ length: bots }, (_, place) =>
    appendAll(inbox, toBotId(7_000_000_000 + place), fromId, count),
  );
  await Promise.all([...appended, settled]);
}

async function appendAll(inbox: Inbox, bot: BotId, fromId: number, count: number): Promise<void> {
  const claim = botClaim(bot);
  for (let done = 0; done < count; done += batch) {
    await inbox.append(
      claim,
      Array.from({ length: batch }, (_, place) => message(800_000_000 + fromId + done + place)),
    );
  }
}

/** Settles whatever is handed out, until the inbox stops. Answers how to wait until so many are settled in all. */
function startSettling(opened: readonly Partition[]): (count: number) => Promise<void> {
  let settled = 0;
  let wanted = { count: 0, reached: () => {} };
  const settleOf = async (partition: Partition): Promise<void> => {
    for (;;) {
      const entries = await partition.next(500);
      if (entries.length === 0) return;
      for (const { seq } of entries) void partition.settle(seq, { kind: "done", how: "handled" }).then(count);
    }
  };
  const count = (): void => {
    if (++settled === wanted.count) wanted.reached();
  };
  for (const partition of opened) void settleOf(partition);
  return (total) => new Promise((reached) => (wanted = { count: total, reached }));
}

/** About 350 bytes as JSON, as a text message usually has. */
function message(id: number): Update {
  const user = {
    id: 500_000_000 + (id % 1_000),
    first_name: "Ann",
    last_name: "Example",
    username: `ann_example_${id % 1_000}`,
  };
  const sent = {
    message_id: id,
    from: { ...user, is_bot: false, language_code: "en" },
    chat: { ...user, type: "private" as const },
    date: 1_800_000_000,
    text: `What is in my account, and what happened to number ${id}?`,
  };
  return { update_id: id, message: sent };
}

const inboxLimits = { ...limits.inbox, groupMaxWrites: Number(values.group) };
const common = { clock: systemClock, limits: inboxLimits, onFlushed, deduplicate: true };

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measureRedis(isApart: boolean): Promise<Measured> {
  const redis = await LiveRedis.start(["--appendonly", "yes", "--appendfsync", "always"]);
  const serverSeconds = async (): Promise<number> => {
    const info = String(await redis.command("INFO", "cpu"));
    const number = (name: string): number => Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(info)?.[1] ?? 0);
    return number("used_cpu_user") + number("used_cpu_sys");
  };
  try {
    const open = async (writer: string): Promise<Inbox> => {
      const { inbox } = await createRedisInbox({
        ...common,
        limits: { ...inboxLimits, ...limits.redisInbox },
        url: redis.url,
        partitions: Number(values.partitions),
        writer,
        allowLoss: false,
        newName: () => 1,
      });
      return inbox;
    };
    const inbox = await open("one");
    return await measure(inbox, serverSeconds, isApart ? await open("other") : inbox);
  } finally {
    await redis.stop();
  }
}

const results: Record<string, Measured> = {
  memory: await measure(createMemoryInbox(common)),
  sqlite: await inFolder(async (dataDir) => measure(await createSqliteInbox({ ...common, dataDir }))),
};
const missingRedis = missing(own(redisServer));
if (missingRedis === undefined) {
  results["redis"] = await measureRedis(false);
  results["redis apart"] = await measureRedis(true);
} else console.error(`without Redis: ${missingRedis}`);
if (values.json) console.log(JSON.stringify(results));
else for (const [name, result] of Object.entries(results)) console.log(name, rounded(result));

function rounded(result: Measured): Record<string, number> {
  return Object.fromEntries(Object.entries(result).map(([name, value]) => [name, Number(value.toPrecision(3))]));
}
