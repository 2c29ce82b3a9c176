/**
 * Memory of a backlog: fills a SQLite inbox, reads it into the pipeline of a new process while its bots are closed, then handles it all.
 *
 *     bun bench/backlog.ts [--updates 1000000] [--chats 100000] [--bots 8] [--unclean] [--json]
 *
 * `--unclean`: the process that filled it ends as if killed, so that every update is a suspect. `bytesPerUpdate`: growth of the resident
 * memory from the opened inbox to the backlog in lanes; `heapBytesPerUpdate`: of the heap alone.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { limits } from "../config/limits.ts";
import { createAttemptScope } from "../src/attempts.ts";
import { systemClock } from "../src/clock.ts";
import { type BotId, toBotId, type Update } from "../src/ids.ts";
import type { Inbox } from "../src/inbox/inbox.ts";
import { createSqliteInbox } from "../src/inbox/sqlite.ts";
import { Pipeline } from "../src/pipeline.ts";
import { botClaim, partitionClaim } from "../test/support/claims.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "1000000" },
    chats: { type: "string", default: "100000" },
    bots: { type: "string", default: "8" },
    unclean: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
    /** Only fills an inbox in this folder: in a process of its own, whose memory does not count. */
    fill: { type: "string" },
  },
});
const updates = Number(values.updates);
const chats = Number(values.chats);
const bots: readonly BotId[] = Array.from({ length: Number(values.bots) }, (_, at) => toBotId(7_000_000_000 + at));
const batchUpdates = 100;

function open(dataDir: string): Promise<Inbox> {
  return createSqliteInbox({ dataDir, clock: systemClock, limits: limits.inbox, deduplicate: true });
}

/** About 350 bytes as JSON, as a text message usually has. Chats write in turn: the longest lanes there can be are the shortest. */
function message(id: number): Update {
  const chat = 500_000_000 + (id % chats);
  const user = { id: chat, first_name: "Ann", last_name: "Example", username: `ann_example_${chat}` };
  const sent = {
    message_id: id,
    from: { ...user, is_bot: false, language_code: "en" },
    chat: { ...user, type: "private" as const },
    date: 1_800_000_000,
    text: `What is in my account, and what happened to number ${id}?`,
  };
  return { update_id: id, message: sent };
}

async function fill(dataDir: string): Promise<void> {
  const inbox = await open(dataDir);
  const appends: Promise<unknown>[] = [];
  for (let id = 0; id < updates; id += batchUpdates) {
    const bot = bots[(id / batchUpdates) % bots.length] as BotId;
    const batch = Array.from({ length: Math.min(batchUpdates, updates - id) }, (_, at) => message(id + at));
    appends.push(inbox.append(botClaim(bot), batch));
    if (appends.length === 100) await Promise.all(appends.splice(0));
  }
  await Promise.all(appends);
  if (values.unclean) process.exit(0);
  await inbox.stop();
}

interface Memory {
  readonly rss: number;
  readonly heap: number;
}

function memory(): Memory {
  Bun.gc(true);
  const { rss, heapUsed } = process.memoryUsage();
  return { rss, heap: heapUsed };
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await Bun.sleep(10);
}

async function measure(dataDir: string): Promise<Record<string, number>> {
  const inbox = await open(dataDir);
  const claim = partitionClaim();
  const partition = await inbox.open(claim);
  let done = 0;
  let failed = 0;
  const pipeline = new Pipeline({
    inbox,
    bots: new Set(bots),
    scope: createAttemptScope(),
    clock: systemClock,
    random: Math.random,
    limits: { ...limits.pipeline, drainMaxMs: limits.process.drainMaxMs },
    redact: (text) => text,
    events: {
      onAttempt: (_, result) => void (result === "done" ? done++ : failed++),
      onTrouble() {},
      onRemembered() {},
      onUnconfigured() {},
      onFenced() {},
    },
  });
  const before = memory();
  const readFrom = performance.now();
  pipeline.open(partition, { claim });
  await until(() => pipeline.status().backlog === updates);
  const readMs = performance.now() - readFrom;
  const after = memory();
  const handleFrom = performance.now();
  let mostRss = 0;
  const watch = setInterval(() => (mostRss = Math.max(mostRss, process.memoryUsage.rss())), 100);
  for (const bot of bots) pipeline.setHandler(bot, { handle: () => Promise.resolve() });
  await until(() => pipeline.status().backlog === 0 && pipeline.status().settling === 0);
  const handleMs = performance.now() - handleFrom;
  clearInterval(watch);
  const left = [...(await inbox.backlog()).values()].reduce((sum, count) => sum + count, 0);
  await pipeline.stop();
  await inbox.stop();
  const mb = (bytes: number): number => Math.round(bytes / 1_048_576);
  return {
    updates,
    chats,
    rssBeforeMb: mb(before.rss),
    rssAfterMb: mb(after.rss),
    bytesPerUpdate: Math.round((after.rss - before.rss) / updates),
    heapBytesPerUpdate: Math.round((after.heap - before.heap) / updates),
    readMs: Math.round(readMs),
    handleMs: Math.round(handleMs),
    rssMostMb: mb(mostRss),
    done,
    failed,
    left,
  };
}

if (values.fill !== undefined) await fill(values.fill);
else {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-backlog-"));
  try {
    const filler = Bun.spawnSync([process.execPath, ...process.argv.slice(1), "--fill", folder], { stderr: "inherit" });
    if (!filler.success) throw new Error("the inbox could not be filled");
    const figures = await measure(folder);
    console.log(values.json ? JSON.stringify(figures) : figures);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
