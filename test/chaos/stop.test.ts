/** SIGTERM and SIGINT at a bad moment: an orderly end in time, nothing lost, nothing done twice. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Load, startLoad } from "../../src/simulator/generator.ts";
import type { BotfleetProcess, Ending } from "../support/botfleet-process.ts";
import { inboxFileIn, readInboxFile } from "../support/inbox-file.ts";
import { createRig, isIdle, killAt, type Rig, until } from "./rig.ts";

// by-chat.ts tells what each does.
const slowChats = { firstChat: 1, chats: 30, perSecond: 30 };
const quickChats = { firstChat: 31, chats: 10, perSecond: 20 };
const hangingChats = { firstChat: 41, chats: 4, perSecond: 5 };
/** What orchestrators give a process, ms. */
const stopMaxMs = 20_000;
/** Handlers and calls that do not end are given up after this, ms. */
const drainMaxMs = 15_000;
const testMaxMs = 90_000;

const signals = ["SIGTERM", "SIGINT"] as const;

describe.concurrent.each(signals)("%s", (signal) => {
  test(
    "under load, with handlers that hang, calls that hang and chats in a flood wait, ends with 0 in time; the next start does the rest once",
    async () => {
      await using rig = await createRig({ bots: 2 });
      const flooded = [31, 32, 33].map((chat) =>
        rig.simulator.api.faults.add({ kind: "429", method: "sendMessage", chat, retryAfter: 60 }),
      );
      await using process = await rig.start("by-chat", { env: { HANG: "true" } });
      const loads = startLoads(rig, [slowChats, quickChats, hangingChats]);
      await until("flood waits", () => flooded.every(({ struck }) => struck >= 2));
      await until("answers", () => rig.answers.count > 100);
      // Last of all, so that these calls are open for longer than a stop may take.
      const hanging = rig.simulator.api.faults.add({ kind: "hang", method: "sendMessage", chat: 34 });
      await until("a call that hangs", () => hanging.struck > 0);
      const { ending, ms } = await stop(process, signal);

      expect(ending).toBe(0);
      expect(ms).toBeLessThan(stopMaxMs);
      expect(ms).toBeGreaterThan(drainMaxMs - 1_000);
      rig.simulator.api.faults.clear();
      expect(await settleDown(rig, loads)).toEqual({ lost: 0, reordered: 0, doubled: 0, strange: 0, dead: 0 });
    },
    testMaxMs,
  );

  test(
    "under load, with handlers that end, does not wait longer than for them",
    async () => {
      await using rig = await createRig({ bots: 2 });
      await using process = await rig.start("by-chat");
      const loads = startLoads(rig, [slowChats, quickChats]);
      await until("answers", () => rig.answers.count > 100);
      const answered = rig.answers.count;
      const { ending, ms } = await stop(process, signal);

      expect(ending).toBe(0);
      expect(rig.answers.count).toBeGreaterThan(answered);
      expect(ms).toBeLessThan(drainMaxMs - 2_000);
      expect(await settleDown(rig, loads)).toEqual({ lost: 0, reordered: 0, doubled: 0, strange: 0, dead: 0 });
    },
    testMaxMs,
  );

  test(
    "a second time ends at once; what was in work is done after the next start",
    async () => {
      await using rig = await createRig({ bots: 2 });
      await using process = await rig.start("by-chat", { env: { HANG: "true" } });
      const loads = startLoads(rig, [slowChats, hangingChats]);
      await until("answers", () => rig.answers.count > 50);
      const at = Date.now();
      process.kill(signal);
      await process.line(({ msg }) => msg === "stopping");
      // Sooner it would count as the same signal, as a terminal and `bun run` send it.
      await Bun.sleep(1_000);
      const second = await stop(process, signal);

      expect(second.ending).toBe(signal === "SIGTERM" ? 143 : 130);
      expect(second.ms).toBeLessThan(5_000);
      const kill = await killAt(at, rig);
      const { doubled: _, ...rest } = await settleDown(rig, loads);
      expect(rest).toEqual({ lost: 0, reordered: 0, strange: 0, dead: 0 });
      // Counted here and not by the loads: each of them sees the answers of both.
      const { doubled, explained } = rig.answers.repetitions([kill]);
      expect(explained).toBe(doubled);
    },
    testMaxMs,
  );

  test(
    "while Telegram is down ends with 0 in time, and nothing is lost when both are back",
    async () => {
      await using rig = await createRig({ bots: 2 });
      await using process = await rig.start("by-chat");
      const loads = startLoads(rig, [slowChats, quickChats]);
      await until("answers", () => rig.answers.count > 100);
      rig.simulator.pause();
      await process.line(({ msg }) => msg === "polling failed");
      const { ending, ms } = await stop(process, signal);

      expect(ending).toBe(0);
      expect(ms).toBeLessThan(stopMaxMs);
      rig.simulator.resume();
      const { doubled, ...rest } = await settleDown(rig, loads);
      expect(rest).toEqual({ lost: 0, reordered: 0, strange: 0, dead: 0 });
      // Calls whose answer the outage swallowed are made again.
      expect(doubled).toBeLessThanOrEqual(2 * (slowChats.chats + quickChats.chats));
    },
    testMaxMs,
  );
});

test.concurrent(
  "SIGTERM while the inbox is opened is an orderly end",
  async () => {
    await using rig = await createRig({ bots: 2 });
    await using first = await rig.start("by-chat");
    expect((await stop(first, "SIGTERM")).ending).toBe(0);
    const lockFile = join(rig.dataDir, "botfleet.lock");
    rmSync(lockFile);
    // Whoever opens the inbox waits for this transaction, up to a second.
    const held = new Database(inboxFileIn(rig.dataDir), { readwrite: true, create: false });
    held.run("BEGIN IMMEDIATE");
    await using process = rig.spawn("by-chat");
    await until("the folder locked", () => existsSync(lockFile));
    await Bun.sleep(100);
    process.kill("SIGTERM");
    held.close();
    expect(await process.exited).toBe(0);
    expect(process.lines.map(({ msg }) => msg)).toContain("stopping");
  },
  testMaxMs,
);

function startLoads(rig: Rig, specs: readonly { firstChat: number; chats: number; perSecond: number }[]): Load[] {
  return specs.map((spec) => startLoad(rig.simulator.api, spec, Math.random));
}

async function stop(
  process: BotfleetProcess,
  signal: "SIGTERM" | "SIGINT",
): Promise<{ readonly ending: Ending; readonly ms: number }> {
  const started = performance.now();
  process.kill(signal);
  const ending = await process.exited;
  return { ending, ms: performance.now() - started };
}

/** The next start, without trouble: what it leaves, in numbers. */
async function settleDown(rig: Rig, loads: readonly Load[]): Promise<Readonly<Record<string, number>>> {
  for (const load of loads) load.stop();
  await using process = await rig.start("by-chat");
  await until("every update settled", () => isIdle(rig, process), 60_000);
  expect((await stop(process, "SIGTERM")).ending).toBe(0);
  const { entries, letters } = readInboxFile(rig.dataDir);
  expect(entries).toEqual([]);
  const reports = loads.map((load) => load.oracle.report());
  const sum = (of: "lost" | "reordered" | "doubled" | "strange"): number =>
    reports.reduce((all, report) => all + report[of], 0);
  return {
    lost: sum("lost"),
    reordered: sum("reordered"),
    doubled: sum("doubled"),
    strange: sum("strange"),
    dead: letters.length,
  };
}
