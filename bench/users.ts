/**
 * What users cost.
 *
 *     bun run bench:users [--updates 20000] [--rounds 5] [--chats 1000] [--held 500000] [--json]
 *
 * 1. CPU per update of a bot that reads and changes its user with each message, against the echo bot: two botfleet processes, all their threads,
 *    taking turns under the same load (500 messages in flight). SQLite with fsync.
 * 2. The first tier in this process: time of a hit, memory of a user held, reads of a user that a thousand want at once.
 *
 * `ratio` = CPU with users / CPU of the echo.
 */
import { heapStats } from "bun:jsc";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { limits } from "../config/limits.ts";
import { createMemoryTier } from "../src/cache/memory.ts";
import { createStorageTier } from "../src/cache/storage.ts";
import { systemClock } from "../src/clock.ts";
import { toUserId, type UserId } from "../src/ids.ts";
import type { User } from "../src/users/user.ts";
import { cpuUsOf, end, median, runLoad, startBotfleet, startSimulator, type Child } from "./processes.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "20000" },
    rounds: { type: "string", default: "5" },
    chats: { type: "string", default: "1000" },
    held: { type: "string", default: "500000" },
    json: { type: "boolean", default: false },
  },
});
const updates = Number(values.updates);

interface Side {
  readonly name: string;
  readonly botId: number;
  readonly process: Child;
}

async function measure(url: string, { name, botId, process }: Side): Promise<number> {
  const before = cpuUsOf(process.pid);
  // The same people each time: what is measured is a change, not a registration.
  const load = { bots: [botId], chats: Number(values.chats), firstChat: 1, inFlight: 500, total: updates };
  const report = await runLoad(url, load);
  // What is still owed when the last answer is out belongs to the cost.
  await Bun.sleep(300);
  if (report.sent !== updates || report.lost + report.reordered + report.doubled > 0) {
    throw new Error(`${name} did not do its work: ${JSON.stringify(report)}`);
  }
  return (cpuUsOf(process.pid) - before) / updates;
}

async function comparePerUpdate(): Promise<{ readonly echoUs: number; readonly usersUs: number }> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
  const simulator = await startSimulator(2);
  const { url, tokens, botIds } = simulator;
  const sides = (["echo", join(import.meta.dir, "peers", "users-echo.ts")] as const).map((module, at): Side => {
    const dataDir = join(folder, String(at));
    mkdirSync(dataDir);
    const process = startBotfleet({ url, tokens: tokens.slice(at, at + 1) }, dataDir, { engine: "off" }, { module });
    return { name: module, botId: botIds[at] ?? 0, process };
  });
  const figures = new Map<Side, number[]>(sides.map((side) => [side, []]));
  try {
    // Everybody is registered and the compilers are done before anything counts.
    for (let warmUp = 0; warmUp < 2; warmUp++) for (const side of sides) await measure(url, side);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        figures.get(side)?.push(await measure(url, side));
      }
    }
  } finally {
    for (const { process } of sides) await end(process);
    await end(simulator.child);
    rmSync(folder, { recursive: true, force: true });
  }
  const [echoUs = Number.NaN, usersUs = Number.NaN] = sides.map((side) => median(figures.get(side) ?? []));
  return { echoUs, usersUs };
}

function userOf(id: number): User {
  const at = 1_700_000_000_000 + id;
  return {
    telegramId: toUserId(id),
    username: `person_${id}`,
    firstName: `Person ${id}`,
    languageCode: "en",
    walletAddress: `evm:${id.toString(16).padStart(40, "0")}`,
    referralCode: id.toString(36).padStart(10, "A"),
    referredBy: toUserId(id >> 3),
    points: id % 1_000,
    referralCount: id % 7,
    isActive: true,
    isVerified: false,
    miniappVerified: false,
    createdAt: at,
    updatedAt: at,
    version: 3,
    bots: { "123456789": { state: "active", since: at } },
    referral: { state: "paid", since: at },
    daily: { last: 19_000, before: 3 },
    applied: [],
  };
}

/** After garbage has been collected; the system takes back what was freed a moment later. */
async function memory(): Promise<{ readonly liveBytes: number; readonly rssBytes: number }> {
  Bun.gc(true);
  await Bun.sleep(500);
  Bun.gc(true);
  return { liveBytes: heapStats().heapSize, rssBytes: process.memoryUsage.rss() };
}

async function tierFigures(held: number) {
  let reads = 0;
  const store = {
    // Parsed as from storage: no string is shared with another user.
    read: async (ids: readonly UserId[]) => {
      reads++;
      return new Map(ids.map((id) => [id, JSON.parse(JSON.stringify(userOf(id))) as User]));
    },
  };
  const below = createStorageTier({ store, group: true, readMaxUsers: 1_000 });
  const { absentMs, absentMax } = limits.users;
  const tier = createMemoryTier({
    below,
    clock: systemClock,
    limits: { usersMax: held + 1, ttlMs: 600_000, absentMs, absentMax },
  });
  const before = await memory();
  for (let id = 1; id <= held; id += 1_000) {
    await tier.read(Array.from({ length: Math.min(1_000, held - id + 1) }, (_, at) => toUserId(id + at)));
  }
  const after = await memory();
  const bytesPerUser = (after.liveBytes - before.liveBytes) / held;
  const residentBytesPerUser = (after.rssBytes - before.rssBytes) / held;
  reads = 0;
  const absent = toUserId(held + 1);
  await Promise.all(Array.from({ length: 1_000 }, () => tier.read([absent])));
  const hits: number[] = [];
  for (let n = 0; n < 200_000; n++) {
    const id = toUserId(1 + Math.floor(Math.random() * held));
    const startedAt = Bun.nanoseconds();
    if (tier.held(id) === undefined) throw new Error(`user ${id} is not held`);
    hits.push(Bun.nanoseconds() - startedAt);
  }
  hits.sort((a, b) => a - b);
  const at = (share: number): number => (hits[Math.floor(hits.length * share)] ?? 0) / 1_000;
  return {
    bytesPerUser,
    residentBytesPerUser,
    readsOfOneUser: reads,
    hitP50Us: at(0.5),
    hitP99Us: at(0.99),
  };
}

const tier = await tierFigures(Number(values.held));
const megabytes = (bytes: number): string => ((bytes * Number(values.held)) / 2 ** 20).toFixed(0);
console.log(
  `first tier: ${values.held} users held in ${megabytes(tier.bytesPerUser)} MB of heap (${tier.bytesPerUser.toFixed(0)} B each), ` +
    `${megabytes(tier.residentBytesPerUser)} MB resident; hit p50 ${tier.hitP50Us.toFixed(2)} µs, p99 ${tier.hitP99Us.toFixed(2)} µs; ` +
    `1,000 misses of one user: ${tier.readsOfOneUser} read`,
);
const { echoUs, usersUs } = await comparePerUpdate();
console.log(`echo             ${echoUs.toFixed(1)} µs CPU per update`);
console.log(`with its user    ${usersUs.toFixed(1)} µs CPU per update: ${(usersUs - echoUs).toFixed(1)} µs more`);
if (values.json) console.log(JSON.stringify({ ratio: usersUs / echoUs, echoUs, usersUs, ...tier }));
