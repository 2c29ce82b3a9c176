/** One update that no handler survives: it alone is given up, after a bounded number of tries, and everything else is answered. */
import { describe, expect, test } from "bun:test";
import { type Load, startLoad } from "../../src/simulator/generator.ts";
import type { BotfleetProcess, Ending } from "../support/botfleet-process.ts";
import { readInboxFile, type StoredLetter } from "../support/inbox-file.ts";
import type { Kill } from "./answers.ts";
import { createRig, isIdle, killAt, type Rig, until } from "./rig.ts";

const chats = 50;
const perSecond = 100;
/** Chats of the poison, next to those of the load. */
const poisoned = 1_000;
/** A life as a suspect among others, one more after which it runs alone, and two crashes alone. */
const crashesMax = 4;
/** One life; the watchdog needs 15 s, ms. */
const lifeMaxMs = 60_000;
const testMaxMs = 150_000;

/** Crashes of the process, then the clean end of the life in which everything was settled. */
interface Lives {
  readonly crashes: readonly (Kill & { readonly ending: Ending; readonly stderr: string })[];
  readonly letters: readonly StoredLetter[];
}

describe.concurrent("a handler that", () => {
  test(
    "throws always has five attempts, then its update is a dead letter with the error; no other chat waits for it",
    async () => {
      await using rig = await createRig({});
      const load = startLoad(rig.simulator.api, { chats, perSecond }, Math.random);
      await using process = await rig.start("poisonous");
      say(rig, poisoned, "throw 1");
      say(rig, poisoned, "after it");
      await process.line(({ msg }) => msg === "an update became a dead letter", 110_000);
      await until("the next update of that chat", () => answersOf(rig, "after it") === 1);
      load.stop();
      await until("every update settled", () => isIdle(rig, process));
      const retries = process.lines.filter(({ msg }) => msg === "a handler failed; the update is tried again");
      process.kill("SIGTERM");
      expect(await process.exited).toBe(0);

      expect(retries.map(({ error }) => error)).toEqual(Array.from({ length: 4 }, () => "Error: this one never works"));
      const { letters } = readInboxFile(rig.dataDir);
      expect(letters).toMatchObject([{ attempts: 5, effectsUnknown: 0, error: "Error: this one never works" }]);
      expect(answersOf(rig, "throw 1")).toBe(0);
      const report = load.oracle.report();
      expect(report).toMatchObject({ lost: 0, reordered: 0, doubled: 0, strange: 0 });
      // Whoever waited for the one that hangs would wait for its deadline of 30 s.
      expect(report.latency.p99Ms).toBeLessThan(10_000);
    },
    testMaxMs,
  );

  test(
    "hangs holds up its own chat until its deadline, and no other",
    async () => {
      await using rig = await createRig({});
      const load = startLoad(rig.simulator.api, { chats, perSecond }, Math.random);
      await using process = await rig.start("poisonous");
      for (const text of ["hang-once 1", "after it"]) say(rig, poisoned, text);
      say(rig, poisoned + 1, "hang 1");
      await until("answers of others", () => rig.answers.count > 2 * perSecond);
      expect(answersOf(rig, "after it")).toBe(0);
      await until("its chat goes on", () => answersOf(rig, "after it") === 1, 60_000);
      load.stop();
      await until("the others", () => load.oracle.report().lost === 0);

      const retries = process.lines.filter(({ msg }) => msg === "a handler failed; the update is tried again");
      expect(retries.length).toBeGreaterThan(0);
      for (const { error } of retries) expect(error).toBe("the handler did not end within 30000 ms");
      expect(rig.answers.of(botOf(rig), "hang-once 1")).toHaveLength(1);
      expect(rig.answers.of(botOf(rig), "hang-once 1")[0]).toBeLessThanOrEqual(
        rig.answers.of(botOf(rig), "after it")[0] ?? 0,
      );
      const report = load.oracle.report();
      expect(report).toMatchObject({ lost: 0, reordered: 0, doubled: 0, strange: 0 });
      // Whoever waited for the one that hangs would wait for its deadline of 30 s.
      expect(report.latency.p99Ms).toBeLessThan(10_000);
    },
    testMaxMs,
  );

  test(
    "computes without end is ended by the watchdog, and after its crashes its update alone is given up",
    async () => {
      await using rig = await createRig({});
      const { load, crashes, letters } = await supervise(rig, ["block 1"]);
      expectOnlyPoisonGivenUp(rig, load, { crashes, letters }, ["block 1"]);
      for (const { stderr } of crashes) expect(stderr).toContain("the event loop stood still");
    },
    testMaxMs,
  );

  test.each([
    ["ends the process", ["exit 1"]],
    ["ends the process, three times in different chats,", ["exit 1", "exit 2", "exit 3"]],
    ["leaves an exception that nobody catches", ["uncaught 1"]],
  ])(
    "%s is retried with care, and after its crashes its update alone is given up",
    async (_, texts) => {
      await using rig = await createRig({ bots: 2 });
      const { load, crashes, letters } = await supervise(rig, texts);
      expectOnlyPoisonGivenUp(rig, load, { crashes, letters }, texts);
    },
    testMaxMs,
  );

  test(
    "ends well and leaves an exception behind ends the process once; its update is settled and not tried again",
    async () => {
      await using rig = await createRig({});
      const { load, crashes, letters } = await supervise(rig, ["afterwards 1"]);
      expect(crashes.map(({ ending }) => ending)).toEqual([1]);
      expect(letters).toEqual([]);
      expect(answersOf(rig, "afterwards 1")).toBe(1);
      expectOthersAnswered(rig, load, crashes);
    },
    testMaxMs,
  );
});

/** Restarts botfleet as a supervisor does, under load, until the poison is gone and everything is settled. */
async function supervise(rig: Rig, poison: readonly string[]): Promise<Lives & { readonly load: Load }> {
  const load = startLoad(rig.simulator.api, { chats, perSecond }, Math.random);
  const crashes: (Kill & { readonly ending: Ending; readonly stderr: string })[] = [];
  for (;;) {
    if (crashes.length > crashesMax * poison.length) throw new Error(`${crashes.length} crashes, and no end`);
    // Not once it has started: the poison may end it before.
    await using process = rig.spawn("poisonous");
    if (crashes.length === 0) {
      await until("answers", () => rig.answers.count > 20);
      for (const [index, text] of poison.entries()) {
        say(rig, poisoned + index, text);
        say(rig, poisoned + index, `after ${text}`);
      }
    }
    const ending = await Promise.race([process.exited, finished(rig, process, poison)]);
    if (ending !== "finished") {
      crashes.push({ ...(await killAt(Date.now(), rig)), ending, stderr: process.output.stderr });
      continue;
    }
    load.stop();
    await until("every update settled", () => isIdle(rig, process));
    process.kill("SIGTERM");
    expect(await process.exited).toBe(0);
    const { entries, letters } = readInboxFile(rig.dataDir);
    expect(entries).toEqual([]);
    return { crashes, letters, load };
  }
}

/** Resolves once the chats of the poison go on, and have for a while; never where the process ends before. */
async function finished(rig: Rig, process: BotfleetProcess, poison: readonly string[]): Promise<"finished"> {
  const isGoingOn = (): boolean => poison.every((text) => answersOf(rig, `after ${text}`) > 0);
  let isOver = false;
  void process.exited.then(() => (isOver = true));
  await until("the chats of the poison go on", () => isOver || isGoingOn(), lifeMaxMs);
  // A poison that works late needs its time.
  await Bun.sleep(1_000);
  if (isOver) return await new Promise<never>(() => {});
  await process.started;
  return "finished";
}

function expectOnlyPoisonGivenUp(rig: Rig, load: Load, { crashes, letters }: Lives, poison: readonly string[]): void {
  expect(crashes.map(({ ending }) => ending)).toEqual(crashes.map(() => 1));
  expect(crashes.length).toBeGreaterThanOrEqual(crashesMax);
  expect(crashes.length).toBeLessThanOrEqual(crashesMax * poison.length);
  const texts = letters.map(({ body }) => (JSON.parse(body) as { message: { text: string } }).message.text);
  expect(texts.toSorted()).toEqual(poison.toSorted());
  expect(letters.map(({ effectsUnknown }) => effectsUnknown)).toEqual(poison.map(() => 1));
  for (const text of poison) expect([text, answersOf(rig, `after ${text}`)]).toEqual([text, 1]);
  expectOthersAnswered(rig, load, crashes);
}

function expectOthersAnswered(rig: Rig, load: Load, crashes: readonly Kill[]): void {
  const report = load.oracle.report();
  expect(report.sent).toBeGreaterThan(perSecond);
  expect(report).toMatchObject({ lost: 0, reordered: 0, strange: 0 });
  const repetitions = rig.answers.repetitions(crashes);
  console.log(`  ${JSON.stringify({ crashes: crashes.length, sent: report.sent, lost: report.lost, ...repetitions })}`);
  expect(repetitions.explained).toBe(repetitions.doubled);
  expect(repetitions.doubled).toBe(report.doubled);
}

function say(rig: Rig, person: number, text: string): void {
  rig.simulator.api.people.person(person).say(botOf(rig), text);
}

function botOf(rig: Rig): number {
  return rig.simulator.botIds[0] ?? 0;
}

function answersOf(rig: Rig, text: string): number {
  return rig.answers.of(botOf(rig), text).length;
}
