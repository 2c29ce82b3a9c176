/**
 * CPU of the process per update (event loop and worker together) for append, hand-over and settle, in memory and in SQLite:
 *
 *     bun bench/inbox.ts [--updates 200000] [--bots 8] [--batch 50] [--json]
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
import { createSqliteInbox } from "../src/inbox/sqlite.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "200000" },
    bots: { type: "string", default: "8" },
    batch: { type: "string", default: "50" },
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
}

const groups = { commits: 0, writes: 0 };
const onFlushed = (writes: number): void => {
  groups.commits++;
  groups.writes += writes;
};

async function measure(inbox: Inbox): Promise<Measured> {
  const partition = await inbox.open({ partition: 0, token: "", valid: () => true });
  const perBot = Math.floor(updates / bots / batch) * batch;
  const warmUp = Math.min(perBot, 10 * batch);
  await round(inbox, partition, 0, warmUp);
  Object.assign(groups, { commits: 0, writes: 0 });
  const cpu = process.cpuUsage();
  const startedAt = performance.now();
  await round(inbox, partition, warmUp, perBot);
  const { user, system } = process.cpuUsage(cpu);
  const wallMicros = (performance.now() - startedAt) * 1_000;
  await inbox.stop();
  const count = perBot * bots;
  return {
    cpuMicros: (user + system) / count,
    wallMicros: wallMicros / count,
    perSecond: (count / wallMicros) * 1_000_000,
    meanGroup: groups.writes / groups.commits,
  };
}

async function round(inbox: Inbox, partition: Partition, fromId: number, count: number): Promise<void> {
  const appended = Array.from({ length: bots }, (_, place) =>
    appendAll(inbox, toBotId(7_000_000_000 + place), fromId, count),
  );
  const settled = settleAll(partition, count * bots);
  await Promise.all([...appended, settled]);
}

async function appendAll(inbox: Inbox, bot: BotId, fromId: number, count: number): Promise<void> {
  const claim = { bot, token: "", valid: () => true };
  for (let done = 0; done < count; done += batch) {
    await inbox.append(
      claim,
      Array.from({ length: batch }, (_, place) => message(800_000_000 + fromId + done + place)),
    );
  }
}

async function settleAll(partition: Partition, count: number): Promise<void> {
  const settled: Promise<void>[] = [];
  while (settled.length < count) {
    for (const { seq } of await partition.next(500))
      settled.push(partition.settle(seq, { kind: "done", how: "handled" }));
  }
  await Promise.all(settled);
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

const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
try {
  const inboxLimits = { ...limits.inbox, groupMaxWrites: Number(values.group) };
  const common = { clock: systemClock, limits: inboxLimits, onFlushed, deduplicate: true };
  const results = {
    memory: await measure(createMemoryInbox(common)),
    sqlite: await measure(await createSqliteInbox({ ...common, dataDir: folder })),
  };
  if (values.json) console.log(JSON.stringify(results));
  else for (const [name, result] of Object.entries(results)) console.log(name, rounded(result));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function rounded(result: Measured): Record<string, number> {
  return Object.fromEntries(Object.entries(result).map(([name, value]) => [name, Number(value.toPrecision(3))]));
}
