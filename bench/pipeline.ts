/**
 * CPU per update of a botfleet echo bot (SQLite inbox, lanes, flood control, metrics: everything on) against the stock grammY-runner echo bot.
 *
 *     bun run bench:pipeline [--updates 20000] [--rounds 5] [--delays 0,50] [--json]
 *
 * Simulator and both bots are processes of their own; the sides take turns, round by round, under the same load (500 messages in flight
 * over 1,000 chats). Flood control counts every message against limits that are too high to hold any back. CPU is what the system
 * charged to the bot's process, all its threads. botfleet runs in the environment of `bun run start`,
 * the stock bot in that of `bun bot.ts`, but for the number of HTTP requests. `ratio` = botfleet / stock, of the medians.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { Child } from "./processes.ts";
import { ask, cpuUsOf, end, median, runLoad, start, startBotfleet, startSimulator } from "./processes.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "20000" },
    rounds: { type: "string", default: "5" },
    delays: { type: "string", default: "0,50" },
    json: { type: "boolean", default: false },
  },
});
const updates = Number(values.updates);
const rounds = Number(values.rounds);
const delays = values.delays.split(",").map(Number);

interface Side {
  readonly name: string;
  readonly botId: number;
  readonly process: Child;
}

interface Figures {
  readonly cpuUs: number;
  readonly perSecond: number;
}

let firstChat = 1;

async function measure(url: string, side: Side): Promise<Figures> {
  const before = cpuUsOf(side.process.pid);
  const startedAt = performance.now();
  const report = await runLoad(url, { bots: [side.botId], chats: 1_000, firstChat, inFlight: 500, total: updates });
  firstChat += 1_000;
  const seconds = (performance.now() - startedAt) / 1_000;
  // What a side still owes when the last answer is out (settling, say) belongs to its cost.
  await Bun.sleep(300);
  const cpuUs = (cpuUsOf(side.process.pid) - before) / updates;
  if (report.sent !== updates || report.lost + report.reordered + report.doubled > 0) {
    throw new Error(`${side.name} did not do its work: ${JSON.stringify(report)}`);
  }
  return { cpuUs, perSecond: updates / seconds };
}

const dataDir = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
const simulator = await startSimulator(2);
const { url, tokens, botIds } = simulator;
const [ourToken = "", theirToken = ""] = tokens;
const limits = { engine: "built-in", chatPerSecond: 1_000, chatBurst: 1_000 };
const fleet = startBotfleet({ url, tokens: [ourToken] }, dataDir, limits);
const stock = start(["bench/peers/grammy-runner.ts"], { env: { TOKEN: theirToken, API_ROOT: url } });
const sides: readonly [Side, Side] = [
  { name: "botfleet", botId: botIds[0] ?? 0, process: fleet },
  { name: "grammY runner", botId: botIds[1] ?? 0, process: stock },
];

const results: Record<string, unknown>[] = [];
try {
  for (const delayMs of delays) {
    await ask(url, "settings", { delayMs: 0 });
    // The compilers of both are done before anything counts.
    for (let warmUp = 0; warmUp < 2; warmUp++) for (const side of sides) await measure(url, side);
    await ask(url, "settings", { delayMs });
    const figures: Record<string, Figures[]> = {};
    for (let round = 0; round < rounds; round++) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        (figures[side.name] ??= []).push(await measure(url, side));
      }
    }
    const [ours, theirs] = sides.map(({ name }) => ({
      name,
      cpuUs: median((figures[name] ?? []).map((of) => of.cpuUs)),
      perSecond: median((figures[name] ?? []).map((of) => of.perSecond)),
    }));
    if (ours === undefined || theirs === undefined) throw new Error("a side was not measured");
    const ratio = ours.cpuUs / theirs.cpuUs;
    for (const { name, cpuUs, perSecond } of [ours, theirs]) {
      console.log(
        `${String(delayMs).padStart(3)} ms delay  ${name.padEnd(14)} ${cpuUs.toFixed(1).padStart(6)} µs CPU per update  ${Math.round(perSecond)} updates/s`,
      );
    }
    console.log(`${String(delayMs).padStart(3)} ms delay  ratio ${ratio.toFixed(2)}`);
    results.push({ delayMs, ratio, cpuUs: ours.cpuUs, stockCpuUs: theirs.cpuUs });
  }
  if (values.json) console.log(JSON.stringify({ ratio: results[0]?.["ratio"], results }));
} finally {
  for (const child of [fleet, stock, simulator.child]) await end(child);
  rmSync(dataDir, { recursive: true, force: true });
}
