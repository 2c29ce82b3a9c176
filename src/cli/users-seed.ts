/**
 * Fills the users of a data folder for benchmarks.
 *
 *     bun run users:seed --count N [--data-dir DIR] [--seed S]
 *
 * The same count and seed give the same users: ids from 1, a third referred by an earlier one, nine of ten active. Refuses a folder in
 * which there are users already. Ends with 0, 64 (wrong flags) or 78 (the folder cannot be used).
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Presets, SingleBar } from "cli-progress";
import { Fault } from "../faults.ts";
import { type BotId, toBotId, toUserId } from "../ids.ts";
import { lockFolder } from "../inbox/lock.ts";
import { seedUsers } from "../storage/sqlite-seed.ts";
import type { User } from "../users/user.ts";

const usage = "bun run users:seed --count N [--data-dir DIR] [--seed S]\n";
const day = 86_400_000;
const firstAt = 1_767_225_600_000;

function* usersOf(count: number, seed: number): Generator<User> {
  const bot = toBotId(7_000_000_001);
  let state = seed >>> 0;
  const random = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  for (let id = 1; id <= count; id++) yield userOf(id, bot, random);
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
}

/** Ends the process with 64 where a flag is wrong. */
function readFlags(): Flags {
  try {
    const { values } = parseArgs({
      options: {
        count: { type: "string", default: "" },
        "data-dir": { type: "string", default: "./data" },
        seed: { type: "string", default: "1" },
      },
    });
    for (const name of ["count", "seed"] as const) {
      if (!/^\d{1,9}$/.test(values[name])) throw new RangeError(`--${name} takes a whole number`);
    }
    return { count: Number(values.count), dataDir: values["data-dir"], seed: Number(values.seed) };
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
  const format = "{bar} {percentage}% | {value} of {total} users | {rate}/s | {eta_formatted} left";
  const bar = new SingleBar({ format, noTTYOutput: true, notTTYSchedule: 5_000 }, Presets.shades_classic);
  const startedAt = performance.now();
  const rate = (users: number): number => Math.round((users / (performance.now() - startedAt)) * 1_000);
  bar.start(count, 0, { rate: 0 });
  seedUsers(path, usersOf(count, seed), (users) => bar.update(users, { rate: rate(users) }));
  bar.stop();
  process.stdout.write(`${count} users in ${path}, ${rate(count)}/s with their indexes\n`);
  lock.release();
}

try {
  seedFolder(readFlags());
} catch (error) {
  if (!(error instanceof Fault)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(78);
}
