/**
 * Fills the users of a data folder, or of a database of MongoDB, for benchmarks.
 *
 *     bun run users:seed --count N [--data-dir DIR] [--seed S]
 *     bun run users:seed --count N --mongodb URI [--database NAME] [--seed S]
 *
 * The same count and seed give the same users: ids from 1, a third referred by an earlier one, nine of ten active. Refuses a folder or
 * database in which there are users already. Ends with 0, 64 (wrong flags) or 78 (the folder or database cannot be used).
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Presets, SingleBar } from "cli-progress";
import { limits } from "../../config/limits.ts";
import { systemClock } from "../clock.ts";
import { Fault } from "../faults.ts";
import { type BotId, toBotId, toUserId } from "../ids.ts";
import { lockFolder } from "../inbox/lock.ts";
import { createMongodbUserStore } from "../storage/mongodb.ts";
import { seedUsers } from "../storage/sqlite-seed.ts";
import type { Write } from "../storage/store.ts";
import type { User } from "../users/user.ts";

const usage = "bun run users:seed --count N [--data-dir DIR | --mongodb URI [--database NAME]] [--seed S]\n";
const day = 86_400_000;
const seededBot = toBotId(7_000_000_001);
/** Users in one command. */
const writeUsers = 1_000;
const firstAt = 1_767_225_600_000;

function* usersOf(count: number, seed: number): Generator<User> {
  let state = seed >>> 0;
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  for (let id = 1; id <= count; id++) yield userOf(id, seededBot, random);
}

function userOf(id: number, bot: BotId, random: () => number): User {
  const createdAt = firstAt + Math.floor(random() * 365 * day);
  const days = Math.floor(-Math.log(1 - random()) * 20);
  const isActive = random() < 0.9;
  const isReferred = id > 1 && random() < 1 / 3;
  // The end is the id's own, so that no two are the same.
  const start = Math.floor(random() * 36 ** 5).toString(36);
  return {
    telegramId: toUserId(id),
    username: `user_${id}`,
    firstName: `Ann ${id % 1_000}`,
    languageCode: random() < 0.5 ? "en" : "ru",
    referralCode: `${start.padStart(5, "0")}${id.toString(36).padStart(7, "0")}`,
    ...(isReferred ? { referredBy: toUserId(1 + Math.floor(random() * (id - 1))) } : {}),
    points: days * 10,
    referralCount: 0,
    isActive,
    isVerified: false,
    miniappVerified: false,
    createdAt,
    updatedAt: createdAt,
    version: 1 + days,
    bots: { [bot]: { state: isActive ? "active" : "blocked", since: createdAt } },
    referral: {
      state: isReferred && days > 0 ? "paid" : "none",
      ...(isReferred && days > 0 ? { since: createdAt } : {}),
    },
    ...(days === 0 ? {} : { daily: { last: Math.floor(createdAt / day) + days, before: 1 } }),
    applied: [],
  };
}

interface Flags {
  readonly count: number;
  readonly dataDir: string;
  readonly seed: number;
  /** Undefined: into the folder. */
  readonly mongodb: string | undefined;
  readonly database: string;
}

/** Ends the process with 64 where a flag is wrong. */
function readFlags(): Flags {
  try {
    const { values } = parseArgs({
      options: {
        count: { type: "string", default: "" },
        "data-dir": { type: "string", default: "./data" },
        seed: { type: "string", default: "1" },
        mongodb: { type: "string" },
        database: { type: "string", default: "botfleet" },
      },
    });
    for (const name of ["count", "seed"] as const) {
      if (!/^\d{1,9}$/.test(values[name])) throw new RangeError(`--${name} takes a whole number`);
    }
    const { "data-dir": dataDir, mongodb, database } = values;
    return { count: Number(values.count), dataDir, seed: Number(values.seed), mongodb, database };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    process.exit(64);
  }
}

function seedFolder({ count, dataDir, seed }: Flags): void {
  const lock = lockFolder(dataDir);
  const path = join(dataDir, "users.sqlite");
  if (existsSync(path))
    throw new Fault("settings_invalid", `there are users in ${path}: name another folder by --data-dir`);
  const progress = startProgress(count);
  seedUsers(path, usersOf(count, seed), progress.update);
  progress.end(path);
  lock.release();
}

async function seedMongodb(uri: string, { count, seed, database }: Flags): Promise<void> {
  const store = await createMongodbUserStore({
    uri,
    database,
    pool: { maxPoolSize: 4, minPoolSize: 0, socketTimeoutMs: 60_000, waitQueueTimeoutMs: 10_000 },
    compressors: [],
    zlibLevel: 1,
    clock: systemClock,
    random: Math.random,
    limits: limits.mongodbUsers,
    log: { info() {}, warn() {}, error() {} },
  });
  try {
    if ((await store.activeIn(seededBot, { max: 1 })).length > 0) {
      throw new Fault(
        "settings_invalid",
        `there are users in the database ${database}: name another one by --database`,
      );
    }
    const progress = startProgress(count);
    let writes: Write[] = [];
    let done = 0;
    for (const user of usersOf(count, seed)) {
      writes.push({ user, before: undefined });
      if (writes.length < writeUsers && done + writes.length < count) continue;
      const ends = await store.write(writes, crypto.randomUUID());
      if (ends.some((end) => end !== "stored")) throw new Fault("settings_invalid", `there are users in ${database}`);
      progress.update((done += writes.length));
      writes = [];
    }
    progress.end(`the database ${database}`);
  } finally {
    await store.stop();
  }
}

function startProgress(count: number) {
  const format = "{bar} {percentage}% | {value} of {total} users | {rate}/s | {eta_formatted} left";
  const bar = new SingleBar({ format, noTTYOutput: true, notTTYSchedule: 5_000 }, Presets.shades_classic);
  const startedAt = performance.now();
  const rate = (users: number): number => Math.round((users / (performance.now() - startedAt)) * 1_000);
  bar.start(count, 0, { rate: 0 });
  return {
    update: (users: number) => bar.update(users, { rate: rate(users) }),
    end(where: string) {
      bar.stop();
      process.stdout.write(`${count} users in ${where}, ${rate(count)}/s with their indexes\n`);
    },
  };
}

try {
  const flags = readFlags();
  if (flags.mongodb === undefined) seedFolder(flags);
  else await seedMongodb(flags.mongodb, flags);
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(78);
}
