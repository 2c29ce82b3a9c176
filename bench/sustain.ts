/**
 * How many messages a second one process of many bots answers, and how late: an echo bot under a fixed rate, whatever comes back.
 *
 *     bun run bench:sustain [--rate 10000] [--seconds 60] [--bots 8] [--delay 50] [--find] [--json]
 *
 * Every answer of the simulated Telegram is `--delay` ms late, so a message takes two of them: its poll and its reply. The rate is not
 * held back by what is still unanswered. Latency is the oracle's, from a message to its answer at Telegram. Flood control is off: its
 * waits are Telegram's limits, not a cost.
 *
 * With `taskset` and two processors or more all threads of botfleet (JavaScript, the SQLite thread with its fsyncs, garbage collection) share
 * the first one, the simulator with the generator of the load has the last one. It holds where nothing is lost, doubled or reordered, the
 * rate was reached and the 99th percentile is below 300 ms. `--find` halves its way to the highest rate that holds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { LoadReport } from "./processes.ts";
import { ask, cpuUsOf, end, rssBytes, runLoad, startBotfleet, startSimulator } from "./processes.ts";

const { values } = parseArgs({
  options: {
    rate: { type: "string", default: "10000" },
    seconds: { type: "string", default: "60" },
    bots: { type: "string", default: "8" },
    delay: { type: "string", default: "50" },
    find: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const seconds = Number(values.seconds);
const bots = Number(values.bots);
const chatsPerBot = 500;
const p99MaxMs = 300;
/** What is still on its way when the last message is sent, s, and how far the rate of answers may fall short. */
const shortfallMax = 0.02;
/** Rates are looked for to this share of themselves. */
const findTo = 0.05;

interface Figures {
  readonly rate: number;
  readonly perSecond: number;
  readonly latency: LoadReport["latency"];
  readonly lost: number;
  readonly reordered: number;
  readonly doubled: number;
  readonly cpuPercent: number;
  readonly rssMb: number;
  readonly simulatorCpuPercent: number;
  readonly holds: boolean;
}

const canPin = availableParallelism() > 1 && Bun.which("taskset") !== null;
const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
const simulator = await startSimulator(bots, canPin ? { core: availableParallelism() - 1 } : {});
const fleet = startBotfleet(simulator, folder, { engine: "off" }, canPin ? { core: 0 } : {});
let firstChat = 1;

async function measure(rate: number, forSeconds: number): Promise<Figures> {
  const before = [fleet, simulator.child].map(({ pid }) => cpuUsOf(pid));
  const startedAt = performance.now();
  const load = { perSecond: rate, chats: chatsPerBot, firstChat, total: Math.round(rate * forSeconds) };
  firstChat += chatsPerBot;
  const report = await runLoad(simulator.url, load, (forSeconds + 60) * 1_000);
  const elapsedMs = performance.now() - startedAt;
  const [cpuPercent = 0, simulatorCpuPercent = 0] = [fleet, simulator.child].map(
    ({ pid }, at) => (cpuUsOf(pid) - (before[at] ?? 0)) / elapsedMs / 10,
  );
  const { lost, reordered, doubled, latency, answered } = report;
  const perSecond = (answered / elapsedMs) * 1_000;
  // The last messages take their time as well: that belongs to latency.
  const expectedMs = forSeconds * 1_000 + latency.p99Ms;
  const holds =
    lost + reordered + doubled === 0 && latency.p99Ms < p99MaxMs && elapsedMs < expectedMs * (1 + shortfallMax) + 200;
  const rssMb = rssBytes(fleet.pid) / 1024 / 1024;
  return { rate, perSecond, latency, lost, reordered, doubled, cpuPercent, rssMb, simulatorCpuPercent, holds };
}

function print(of: Figures): void {
  const { p50Ms, p95Ms, p99Ms, maxMs } = of.latency;
  const whole = (value: number): string => String(Math.round(value));
  console.log(
    `${of.rate}/s asked, ${whole(of.perSecond)}/s answered: latency p50 ${whole(p50Ms)} p95 ${whole(p95Ms)} p99 ${whole(p99Ms)} max ${whole(maxMs)} ms; ` +
      `lost ${of.lost}, reordered ${of.reordered}, doubled ${of.doubled}; ` +
      `botfleet ${whole(of.cpuPercent)} % of a core, ${whole(of.rssMb)} MB; simulator ${whole(of.simulatorCpuPercent)} % of a core: ` +
      (of.holds ? "holds" : "does not hold"),
  );
}

/** Between a rate that holds and one that does not. */
async function find(from: number): Promise<Figures | undefined> {
  let best: Figures | undefined;
  let low = 0;
  let high = Infinity;
  let rate = from;
  while (high - low > findTo * high || high === Infinity) {
    const figures = await measure(rate, seconds);
    print(figures);
    if (figures.holds) {
      best = figures;
      low = rate;
    } else high = rate;
    rate = Math.round(high === Infinity ? low * 1.5 : (low + high) / 2);
    if (rate < 100) break;
  }
  return best;
}

try {
  console.log(
    `${bots} bots in one process, ${values.delay} ms delay, ${seconds} s; ` +
      (canPin ? "botfleet, all its threads, on one core, the simulator on another" : "no processor is set aside"),
  );
  // The bots start one after the other.
  await runLoad(simulator.url, { inFlight: 800, chats: chatsPerBot, firstChat, total: 100_000 });
  firstChat += chatsPerBot;
  await ask(simulator.url, "settings", { delayMs: Number(values.delay) });
  const rate = Number(values.rate);
  const figures = values.find ? await find(rate) : await measure(rate, seconds);
  if (figures === undefined) console.log("no rate holds");
  else if (values.find) console.log(`highest rate that holds: ${figures.rate}/s`);
  else print(figures);
  if (values.json) console.log(JSON.stringify(figures ?? { holds: false }));
} finally {
  await end(fleet);
  await end(simulator.child);
  rmSync(folder, { recursive: true, force: true });
}
