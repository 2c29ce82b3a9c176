/**
 * What users cost.
 *
 *     bun run bench:users [--updates 20000] [--rounds 5] [--chats 1000] [--held 500000] [--stored 10000,1000000] [--json]
 *     bun run bench:users --storage mongodb [--mongodb mongodb://127.0.0.1:27017]
 *
 * 1. CPU per update of a bot that reads and changes its user with each message, against the echo bot: two botfleet processes, all their threads,
 *    taking turns under the same load (500 messages in flight). SQLite with fsync.
 *    With `--storage mongodb` on a MongoDB-compatible server of its own, or the replica set given (its database `bench` is dropped), and nothing else is
 *    measured: what the server itself costs is not in it.
 * 2. The first tier in this process: time of a hit, memory of a user held, reads of a user that a thousand want at once.
 *
 * 3. CPU per update where the store is full of users: the first count of `--stored` against each further one (10000000 takes three minutes to fill and
 *    5 GB). The people who write are spread evenly over all of them, so that no two stand side by side in the file.
 *
 * `ratio` = CPU with users / CPU of the echo. `storedRatios`: by users in the store.
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
import { MongoClient } from "mongodb";
import { spawnMongodbServer } from "../test/live/mongodb-process.ts";
import { cpuUsOf, end, median, runLoad, start, startBotfleet, startSimulator, type Child } from "./processes.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "20000" },
    rounds: { type: "string", default: "5" },
    chats: { type: "string", default: "1000" },
    held: { type: "string", default: "500000" },
    stored: { type: "string", default: "10000,1000000" },
    storage: { type: "string", default: "sqlite" },
    mongodb: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
const updates = Number(values.updates);

interface Side {
  readonly module: string;
  /** Users in its store before it starts; 0: no file. */
  readonly stored: number;
}

interface Started extends Side {
  readonly botId: number;
  readonly process: Child;
}

const usersEcho = join(import.meta.dir, "peers", "users-echo.ts");
/** The echo bot and the one with its users. */
const beside: readonly Side[] = [
  { module: "echo", stored: 0 },
  { module: usersEcho, stored: 0 },
];

async function measure(url: string, { module, stored, botId, process }: Started): Promise<number> {
  const before = cpuUsOf(process.pid);
  // The same people each time: what is measured is a change, not a registration.
  const chats = Number(values.chats);
  const chatStep = Math.max(1, Math.floor(stored / chats));
  const load = { bots: [botId], chats, firstChat: 1, chatStep, inFlight: 500, total: updates };
  const report = await runLoad(url, load);
  // What is still owed when the last answer is out belongs to the cost.
  await Bun.sleep(300);
  if (report.sent !== updates || report.lost + report.reordered + report.doubled > 0) {
    throw new Error(`${module} did not do its work: ${JSON.stringify(report)}`);
  }
  return (cpuUsOf(process.pid) - before) / updates;
}

/** CPU per update of each side, µs, in their order. */
async function compare(sides: readonly Side[], env: Readonly<Record<string, string>> = {}): Promise<readonly number[]> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
  const simulator = await startSimulator(sides.length);
  const { url, tokens, botIds } = simulator;
  const started: Started[] = [];
  try {
    for (const [at, side] of sides.entries()) {
      const dataDir = join(folder, String(at));
      mkdirSync(dataDir);
      if (side.stored > 0) await seed(side.stored, dataDir);
      const only = { url, tokens: tokens.slice(at, at + 1) };
      const process = startBotfleet(only, dataDir, { engine: "off" }, { module: side.module, env });
      started.push({ ...side, botId: botIds[at] ?? 0, process });
    }
    const figures = new Map<Started, number[]>(started.map((side) => [side, []]));
    // Everybody is registered and the compilers are done before anything counts.
    for (let warmUp = 0; warmUp < 5; warmUp++) for (const side of started) await measure(url, side);
    for (let round = 0; round < Number(values.rounds); round++) {
      for (const side of round % 2 === 0 ? started : started.toReversed()) {
        figures.get(side)?.push(await measure(url, side));
      }
    }
    return [...figures.values()].map(median);
  } finally {
    for (const { process } of started) await end(process);
    await end(simulator.child);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function seed(count: number, dataDir: string): Promise<void> {
  const child = start(["src/cli/users-seed.ts", "--count", String(count), "--data-dir", dataDir]);
  if ((await child.exited) !== 0) throw new Error(`${count} users could not be seeded`);
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
  const below = createStorageTier({ store, group: true, readMax: 1_000 });
  const { absentMs, absentMax } = limits.users;
  const tier = createMemoryTier({
    below,
    clock: systemClock,
    limits: { heldMax: held + 1, ttlMs: 600_000, absentMs, absentMax },
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

async function onSqlite(): Promise<void> {
  const tier = await tierFigures(Number(values.held));
  const megabytes = (bytes: number): string => ((bytes * Number(values.held)) / 2 ** 20).toFixed(0);
  console.log(
    `first tier: ${values.held} users held in ${megabytes(tier.bytesPerUser)} MB of heap (${tier.bytesPerUser.toFixed(0)} B each), ` +
      `${megabytes(tier.residentBytesPerUser)} MB resident; hit p50 ${tier.hitP50Us.toFixed(2)} µs, p99 ${tier.hitP99Us.toFixed(2)} µs; ` +
      `1,000 misses of one user: ${tier.readsOfOneUser} read`,
  );
  const [echoUs = Number.NaN, usersUs = Number.NaN] = await compare(beside);
  console.log(`echo             ${echoUs.toFixed(1)} µs CPU per update`);
  console.log(`with its user    ${usersUs.toFixed(1)} µs CPU per update: ${(usersUs - echoUs).toFixed(1)} µs more`);

  const counts = values.stored.split(",").map(Number);
  const storedUs = await compare(counts.map((stored) => ({ module: usersEcho, stored })));
  const storedRatios = storedUs.map((us) => us / (storedUs[0] ?? Number.NaN));
  for (const [at, count] of counts.entries()) {
    const [us, ratio] = [storedUs[at]?.toFixed(1), storedRatios[at]?.toFixed(2)];
    console.log(`${count} users stored: ${us} µs CPU per update, ratio ${ratio}`);
  }
  if (values.json) console.log(JSON.stringify({ ratio: usersUs / echoUs, echoUs, usersUs, storedRatios, ...tier }));
}

/** Beside the echo bot, on a server of its own or the one given. */
async function onMongodb(): Promise<void> {
  await using server = values.mongodb === "" ? await spawnMongodbServer({ isDurable: false }) : undefined;
  const uri = server?.url ?? values.mongodb;
  const env = { MONGODB_URI: uri, MONGODB_DATABASE: "bench" };
  const client = new MongoClient(uri);
  try {
    const [echoUs = Number.NaN, usersUs = Number.NaN] = await compare(beside, env);
    console.log(`echo             ${echoUs.toFixed(1)} µs CPU per update`);
    console.log(`with its user    ${usersUs.toFixed(1)} µs CPU per update: ${(usersUs - echoUs).toFixed(1)} µs more`);
    if (values.json) console.log(JSON.stringify({ ratio: usersUs / echoUs, echoUs, usersUs }));
  } finally {
    await client.db("bench").dropDatabase();
    await client.close();
  }
}

await (values.storage === "mongodb" ? onMongodb() : onSqlite());
