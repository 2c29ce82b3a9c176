/** `bun run start` when the storage of its users is lost while it runs: what the load balancer is told, and what becomes of updates. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { closeSync, copyFileSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { seedUsers } from "../../src/storage/sqlite-seed.ts";
import { until } from "../chaos/rig.ts";
import { newUser } from "../contract/users.ts";
import { createStage, type Stage } from "./stage.ts";

const bots = [{ name: "points", module: "referral" }];
const fileOf = ({ dataDir }: Stage): string => join(dataDir, "users.sqlite");

/** What the bot has answered to person 5. */
function answers(stage: Stage): readonly string[] {
  return stage.simulator.api.people
    .messages(stage.botId(0), 5)
    .filter(({ from }) => from === "bot")
    .map(({ text }) => text);
}

async function say(stage: Stage, text: string, answer: RegExp): Promise<void> {
  const { people } = stage.simulator.api;
  people.person(5).say(stage.botId(0), text);
  await people.waitForAnswer(stage.botId(0), 5, (message) => answer.test(message.text), { maxMs: 20_000 });
}

const losses: readonly (readonly [string, (stage: Stage) => () => void])[] = [
  [
    "taken away",
    (stage) => {
      const move = (from: string, to: string): void => {
        for (const end of ["", "-wal", "-shm"]) renameSync(from + end, to + end);
      };
      const away = join(stage.folder, "away.sqlite");
      move(fileOf(stage), away);
      return () => move(away, fileOf(stage));
    },
  ],
  [
    "locked by another program",
    (stage) => {
      const db = new Database(fileOf(stage));
      db.run("BEGIN IMMEDIATE");
      return () => db.close();
    },
  ],
];

test.concurrent.each(losses)(
  "users that are %s: not ready after 5 s, healthy, updates wait, and all of them count once when it is back",
  async (_how, take) => {
    await using stage = await createStage(bots);
    await using process = await stage.spawn().started;
    await say(stage, "/start", /registered/);
    await until("ready", async () => (await process.page("/ready")).status === 200);
    const giveBack = take(stage);
    for (const text of ["/daily", "/daily"]) stage.simulator.api.people.person(5).say(stage.botId(0), text);
    await until("not ready", async () => (await process.page("/ready")).status === 503);
    expect((await process.page("/ready")).text).toContain("the storage cannot be reached");
    expect((await process.page("/health")).status).toBe(200);
    expect(answers(stage)).toHaveLength(1);
    expect(process.lines.filter(({ msg }) => msg.startsWith("the users cannot be reached"))).toHaveLength(1);
    giveBack();
    await until("ready again", async () => (await process.page("/ready")).status === 200);
    await until("both answered", () => answers(stage).length === 3, 40_000);
    expect(answers(stage)[1]).toContain("Your balance is 10 points");
    expect(answers(stage)[2]).toContain("You already took the points of today");
    process.kill("SIGTERM");
    expect(await process.exited).toBe(0);
  },
  90_000,
);

test.concurrent(
  "users that turn out to be damaged: it ends with 1, the next start with 78 and what to do, and a backup goes on with the update",
  async () => {
    await using stage = await createStage(bots);
    const backup = join(stage.folder, "backup.sqlite");
    mkdirSync(stage.dataDir);
    seedUsers(
      fileOf(stage),
      Array.from({ length: 5_000 }, (_, place) => newUser(place + 1)),
      () => {},
    );
    copyFileSync(fileOf(stage), backup);
    {
      await using process = await stage.spawn().started;
      await until("ready", async () => (await process.page("/ready")).status === 200);
      const descriptor = openSync(fileOf(stage), "r+");
      const bytes = new Uint8Array(statSync(fileOf(stage)).size - 4_096 * 14).fill(0xaa);
      writeSync(descriptor, bytes, 0, bytes.length, 4_096 * 14);
      closeSync(descriptor);
      stage.simulator.api.people.person(5).say(stage.botId(0), "/daily");
      expect(await process.exited).toBe(1);
      expect(process.lines.at(-1)?.msg).toStartWith("a store is lost; the process ends");
    }
    {
      await using process = stage.spawn();
      expect(await process.exited).toBe(78);
      for (const part of [fileOf(stage), "-wal", "backup", ".recover"]) expect(process.output.stderr).toContain(part);
      expect(process.output.stderr).not.toMatch(/^\s+at /m);
    }
    for (const end of ["-wal", "-shm"]) rmSync(fileOf(stage) + end, { force: true });
    copyFileSync(backup, fileOf(stage));
    await using process = await stage.spawn().started;
    await until("answered", () => answers(stage).length > 0, 40_000);
    expect(answers(stage)[0]).toContain("Your balance is 10 points");
    process.kill("SIGTERM");
    expect(await process.exited).toBe(0);
  },
  90_000,
);

test.concurrent.each(losses)(
  "users that are %s: it stops in order all the same, and the next start does what waited",
  async (_how, take) => {
    await using stage = await createStage(bots);
    let giveBack: () => void;
    {
      await using process = await stage.spawn().started;
      await say(stage, "/start", /registered/);
      giveBack = take(stage);
      stage.simulator.api.people.person(5).say(stage.botId(0), "/daily");
      await process.line(({ msg }) => msg.startsWith("the users cannot be reached"));
      process.kill("SIGTERM");
      expect(await process.exited).toBe(0);
    }
    giveBack();
    await using process = await stage.spawn().started;
    await until("answered", () => answers(stage).length === 2, 40_000);
    expect(answers(stage)[1]).toContain("Your balance is 10 points");
    process.kill("SIGTERM");
    expect(await process.exited).toBe(0);
  },
  90_000,
);
