/**
 * CPU per update of a botfleet echo bot (SQLite inbox, lanes, flood control, metrics: everything on) against the stock grammY-runner echo bot.
 *
 *     bun run bench:pipeline [--updates 20000] [--rounds 5] [--delays 0,50] [--json]
 *
 * Simulator and both bots are processes of their own; the sides take turns, round by round, under the same load (500 messages in flight
 * over 1,000 chats). Flood control counts every message against limits that are too high to hold any back. CPU is what the system charged to the bot's process, all its threads. `ratio` = botfleet / stock, of the medians.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

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
const root = join(import.meta.dir, "..");
const ticksPerSecond = 100;

interface Side {
  readonly name: string;
  readonly botId: number;
  readonly process: Bun.Subprocess;
}

interface Figures {
  readonly cpuUs: number;
  readonly perSecond: number;
}

interface LoadReport {
  readonly sent: number;
  readonly lost: number;
  readonly reordered: number;
  readonly doubled: number;
}

function start(command: readonly string[], env: Readonly<Record<string, string>>): Bun.Subprocess<"ignore", "pipe"> {
  return Bun.spawn(["bun", ...command], {
    cwd: root,
    env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "4096", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  const reader = stream.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  return new TextDecoder().decode(value).split("\n")[0] ?? "";
}

function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

async function ask<T>(url: string, path: string, body: object): Promise<T> {
  const answer = await fetch(`${url}/simulator/${path}`, { method: "POST", body: JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return (await answer.json()) as T;
}

let firstChat = 1;

async function measure(url: string, side: Side, total: number): Promise<Figures> {
  const before = cpuTicks(side.process.pid);
  const startedAt = performance.now();
  const load = { bots: [side.botId], chats: 1_000, firstChat, inFlight: 500, total };
  firstChat += 1_000;
  const { id } = await ask<{ id: number }>(url, "load", load);
  const report = await ask<LoadReport>(url, "load/settled", { id, maxMs: 120_000 });
  const seconds = (performance.now() - startedAt) / 1_000;
  // What a side still owes when the last answer is out (settling, say) belongs to its cost.
  await Bun.sleep(300);
  const ticks = cpuTicks(side.process.pid) - before;
  if (report.sent !== total || report.lost + report.reordered + report.doubled > 0) {
    throw new Error(`${side.name} did not do its work: ${JSON.stringify(report)}`);
  }
  return { cpuUs: (ticks / ticksPerSecond / total) * 1e6, perSecond: total / seconds };
}

function median(of: readonly number[]): number {
  return [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN;
}

const dataDir = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
const simulator = start(["src/simulator/main.ts", "--bots", "2", "--any-chat", "--history", "2"], {});
const { url, tokens, botIds } = JSON.parse(await firstLine(simulator.stdout)) as {
  readonly url: string;
  readonly tokens: readonly [string, string];
  readonly botIds: readonly [number, number];
};
const limits = { engine: "built-in", chatPerSecond: 1_000, chatBurst: 1_000 };
const botsFile = join(dataDir, "bots.json");
writeFileSync(botsFile, JSON.stringify({ bots: [{ name: "echo", token: tokens[0], module: "echo", limits }] }));
const fleet = start(["src/main.ts"], {
  BOTS_FILE: botsFile,
  TELEGRAM_API_ROOT: url,
  DATA_DIR: dataDir,
  PORT: "0",
  HOST: "127.0.0.1",
  LOG_LEVEL: "error",
});
const stock = start(["bench/peers/grammy-runner.ts"], { TOKEN: tokens[1], API_ROOT: url });
const sides: readonly [Side, Side] = [
  { name: "botfleet", botId: botIds[0], process: fleet },
  { name: "grammY runner", botId: botIds[1], process: stock },
];

const results: Record<string, unknown>[] = [];
try {
  for (const delayMs of delays) {
    await ask(url, "settings", { delayMs: 0 });
    // The compilers of both are done before anything counts.
    for (let warmUp = 0; warmUp < 2; warmUp++) for (const side of sides) await measure(url, side, updates);
    await ask(url, "settings", { delayMs });
    const figures: Record<string, Figures[]> = {};
    for (let round = 0; round < rounds; round++) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        (figures[side.name] ??= []).push(await measure(url, side, updates));
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
  for (const child of [fleet, stock, simulator]) {
    child.kill("SIGKILL");
    await child.exited;
  }
  rmSync(dataDir, { recursive: true, force: true });
}
