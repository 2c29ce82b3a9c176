/** kill -9 at any moment, again and again: nothing is lost, nothing overtakes, and only what was in work is answered twice. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { type Load, startLoad } from "../../src/simulator/generator.ts";
import type { OracleReport } from "../../src/simulator/oracle.ts";
import { inboxFileIn, readInboxFile, type StoredLetter, type StoredUpdate } from "../support/inbox-file.ts";
import type { Kill } from "./answers.ts";
import { createRig, isIdle, killAt, type Rig, until } from "./rig.ts";

const rounds = 25;
const bots = 2;
const chats = 60;
/** Messages a second, over both bots. */
const perSecond = 300;
/** Answers of one life that a kill waits for at most. */
const answersMax = 200;
/** After that, or after the start, ms. */
const delayMaxMs = 50;
/** Every so many rounds the process is killed while it starts, */
const earlyEvery = 5;
/** this long after it was spawned at most, ms. */
const earlyMaxMs = 300;
/** Waited for answers at most, ms: suspects may run one at a time. */
const roundMaxMs = 1_500;
const settleMaxMs = 60_000;

test(
  `${rounds} kill -9 under load lose nothing, reorder nothing, and repeat only answers of what was in work`,
  async () => {
    await using rig = await createRig({ bots });
    const load = startLoad(rig.simulator.api, { chats, perSecond, pick: "random" }, Math.random);
    const kills: Kill[] = [];
    for (let round = 1; round <= rounds; round++) kills.push(await killOnce(rig, round % earlyEvery === 0));
    const { report, letters } = await settleDown(rig, load);
    const repetitions = rig.answers.repetitions(kills);
    console.log(`  ${JSON.stringify({ ...report, ...repetitions, deadLetters: letters.length })}`);

    expect(report.sent).toBeGreaterThan(rounds * 20);
    expect(unaccounted(report, letters, rig)).toBe(0);
    expect(report).toMatchObject({ reordered: 0, strange: 0 });
    // Chance may hit one update again and again: as a first run, as a suspect, and twice alone. Then it looks like the cause.
    expect(letters.filter((letter) => letter.effectsUnknown === 0 || killsIn(letter, kills) < 4)).toEqual([]);
    expect(repetitions.doubled).toBe(report.doubled);
    expect(repetitions.explained).toBe(repetitions.doubled);
    expect(repetitions.doubled).toBeLessThanOrEqual(repetitions.inWork);
    // Promised are 100 ms; a machine that is busy with other things may be late, but not by this much.
    expect(repetitions.oldestMs).toBeLessThan(5_000);
  },
  6 * 60_000,
);

test("a loss is seen: rows taken out of the inbox between two lives", async () => {
  await using rig = await createRig({ bots });
  const load = startLoad(rig.simulator.api, { chats, perSecond, pick: "random" }, Math.random);
  let stolen = 0;
  for (let tries = 0; stolen === 0 && tries < 20; tries++) {
    await killOnce(rig, false);
    stolen = steal(rig);
  }
  expect(stolen).toBeGreaterThan(0);
  const { report, letters } = await settleDown(rig, load, 3_000);
  expect(unaccounted(report, letters, rig)).toBe(stolen);
});

test("a loss is seen: an update that a module swallows", async () => {
  await using rig = await createRig({ bots });
  const load = startLoad(rig.simulator.api, { chats, perSecond, total: 300 }, Math.random);
  await using process = await rig.start("swallowing");
  await until("every update settled", async () => !load.running() && (await isIdle(rig, process)));
  const report = load.oracle.report();
  expect(report).toMatchObject({ sent: 300, answered: 294, lost: 6 });
});

async function killOnce(rig: Rig, early: boolean): Promise<Kill> {
  const process = rig.spawn("waiting");
  if (early) {
    await Bun.sleep(Math.random() * earlyMaxMs);
  } else {
    await process.started;
    const wanted = rig.answers.count + Math.random() * answersMax;
    const tired = performance.now() + roundMaxMs;
    await until("answers", () => rig.answers.count >= wanted || performance.now() > tired);
    await Bun.sleep(Math.random() * delayMaxMs);
  }
  const at = Date.now();
  process.kill("SIGKILL");
  expect(await process.exited).toBe("SIGKILL");
  return await killAt(at, rig);
}

/** The last life, undisturbed: what is left is handled, and the end is clean. */
async function settleDown(
  rig: Rig,
  load: Load,
  maxMs = settleMaxMs,
): Promise<{ readonly report: OracleReport; readonly letters: readonly StoredLetter[] }> {
  load.stop();
  await using process = await rig.start("waiting");
  await until("every update settled", async () => await isIdle(rig, process), maxMs);
  process.kill("SIGTERM");
  expect(await process.exited).toBe(0);
  const { entries, letters } = readInboxFile(rig.dataDir);
  expect(entries).toEqual([]);
  return { report: load.oracle.report(), letters };
}

/** Messages that were neither answered nor are among the dead letters. */
function unaccounted({ lost }: OracleReport, letters: readonly StoredLetter[], rig: Rig): number {
  const unanswered = letters.filter(({ bot, body }) => rig.answers.of(bot, textIn(body)).length === 0);
  return lost - unanswered.length;
}

/** Kills that found the update unsettled. */
function killsIn({ bot, updateId }: StoredLetter, kills: readonly Kill[]): number {
  const isIt = (entry: StoredUpdate): boolean => entry.bot === bot && entry.updateId === updateId;
  return kills.filter(({ unsettled }) => unsettled.some(isIt)).length;
}

/** Takes every update that was not answered out of the inbox, as a store that loses would. Returns how many. */
function steal(rig: Rig): number {
  const { entries } = readInboxFile(rig.dataDir);
  const chosen = entries.filter(({ bot, text }) => rig.answers.of(bot, text ?? "").length === 0);
  using db = new Database(inboxFileIn(rig.dataDir), { readwrite: true, create: false });
  for (const { seq } of chosen) db.run("DELETE FROM entries WHERE seq = ?", [seq]);
  return chosen.length;
}

function textIn(body: string): string {
  return (JSON.parse(body) as { readonly message: { readonly text: string } }).message.text;
}
