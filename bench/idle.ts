/**
 * What bots cost that have nothing to do: CPU and memory of one process whose bots all wait in a long poll.
 *
 *     bun run bench:idle [--bots 400] [--few 50] [--seconds 30] [--json]
 *
 * Two processes after each other, with `few` bots and with `few + bots`: memory of a bot is the difference between the two. CPU is that of
 * the bigger one, once all bots have started (100 ms apart) and memory has settled.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ask, cpuUsOf, end, median, rssBytes, startBotfleet, startSimulator } from "./processes.ts";

const { values } = parseArgs({
  options: {
    bots: { type: "string", default: "400" },
    few: { type: "string", default: "50" },
    seconds: { type: "string", default: "30" },
    json: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const few = Number(values.few);
const more = few + Number(values.bots);
const startMaxMs = 120_000;
/** Time after the last bot has started in which garbage is collected and memory given back, ms. */
const settleMs = 15_000;

interface Figures {
  readonly bots: number;
  readonly cpuPercent: number;
  readonly rssBytes: number;
}

async function measure(bots: number): Promise<Figures> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
  const simulator = await startSimulator(bots);
  const fleet = startBotfleet(simulator, folder, { engine: "built-in" });
  try {
    const startedAt = performance.now();
    const isWaiting = async (): Promise<boolean> => {
      const { connections } = await ask<{ readonly connections: number }>(simulator.url, "process");
      // One is ours.
      return connections >= bots;
    };
    while (!(await isWaiting())) {
      if (performance.now() - startedAt > startMaxMs) throw new Error(`${bots} bots did not start`);
      await Bun.sleep(500);
    }
    await Bun.sleep(settleMs);
    const before = cpuUsOf(fleet.pid);
    const measuredFrom = performance.now();
    const sizes: number[] = [];
    while (performance.now() - measuredFrom < seconds * 1_000) {
      await Bun.sleep(1_000);
      sizes.push(rssBytes(fleet.pid));
    }
    const elapsedUs = (performance.now() - measuredFrom) * 1_000;
    const cpuPercent = ((cpuUsOf(fleet.pid) - before) / elapsedUs) * 100;
    return { bots, cpuPercent, rssBytes: median(sizes) };
  } finally {
    await end(fleet);
    await end(simulator.child);
    rmSync(folder, { recursive: true, force: true });
  }
}

const small = await measure(few);
const big = await measure(more);
for (const { bots, cpuPercent, rssBytes: bytes } of [small, big]) {
  console.log(`${bots} idle bots: ${cpuPercent.toFixed(2)} % of a core, ${(bytes / 1024 / 1024).toFixed(1)} MB`);
}
const kbPerBot = (big.rssBytes - small.rssBytes) / (more - few) / 1_024;
console.log(`a bot: ${kbPerBot.toFixed(1)} KB`);
if (values.json) console.log(JSON.stringify({ cpuPercent: big.cpuPercent, kbPerBot, small, big }));
