/**
 * Where the CPU of one update goes: an echo bot (or the bot of `--module`) with everything on (SQLite inbox, lanes, flood control, metrics) under the simulator's load.
 *
 *     bun run bench:profile [--updates 30000] [--delays 0,50] [--module FILE] [--json]
 *
 * Two processes one after the other under the same load. The first runs undisturbed: what the system charged to each of its threads. The
 * second runs under Bun's profiler: how the time of the main thread divides among the parts. Its samples see JavaScript and what it calls;
 * the event loop, reads of sockets and garbage collection on that thread are in the thread's time and spread over all parts.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Child, Simulator } from "./processes.ts";
import {
  ask,
  cpuUsBetween,
  cpuUsOf,
  end,
  runLoad,
  startBotfleet,
  startSimulator,
  threadsOf,
  total,
} from "./processes.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "30000" },
    delays: { type: "string", default: "0,50" },
    module: { type: "string", default: "echo" },
    json: { type: "boolean", default: false },
  },
});
const updates = Number(values.updates);
const module = values.module === "echo" ? "echo" : resolve(values.module);
const chats = 1_000;
/** As `bench:pipeline`: on, and never a reason to wait. */
const limits = { engine: "built-in", chatPerSecond: 1_000, chatBurst: 1_000 };
const intervalUs = 250;

interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string };
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
  readonly endTime: number;
}

/** Parts by the file in which a sample lies; the first that fits. */
const parts: readonly (readonly [RegExp, string])[] = [
  [/@grammyjs\/runner|\/src\/poll/, "poll"],
  [/\/grammy\/|\/src\/bots\//, "grammY and the bot"],
  [/\/src\/telegram\/flood/, "flood control"],
  [/\/src\/telegram\/(calls|client|answers|call-error|redactor|uploads)/, "client"],
  [/\/src\/(telegram\/|abort-listeners)/, "transport"],
  [/\/src\/inbox\//, "inbox: append, settle"],
  [/\/src\/ops\//, "metrics"],
  [/\/src\/(users|cache|storage)\/|lru-cache/, "users"],
  [/\/src\/clock/, "clock"],
  [/\/src\/(ids|main)/, "other"],
  [/\/src\//, "lanes and attempts"],
];

/** Calls into Bun and the kernel that cost enough to be told apart, with whoever makes them. */
const natives = new Set(["write", "parse", "stringify", "postMessage"]);

function partOf(url: string): string | undefined {
  return url === "" ? undefined : (parts.find(([form]) => form.test(url))?.[1] ?? "other");
}

/** Samples by part in the last `lastUs` of a profile. */
function divide(profile: Profile, lastUs: number): Map<string, number> {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]));
  const parents = new Map(profile.nodes.flatMap(({ id, children }) => (children ?? []).map((child) => [child, id])));
  const named = new Map<number, string>();
  const nameOf = (id: number): string => {
    let caller: string | undefined;
    for (let at: number | undefined = id; at !== undefined && caller === undefined; at = parents.get(at)) {
      const url = nodes.get(at)?.callFrame.url ?? "";
      // Polls and calls both read their answers there: their own file tells which it was.
      if (/\/telegram\/answers/.test(url)) continue;
      caller =
        /\/telegram\/client/.test(url) && nodes.get(id)?.callFrame.functionName === "parse" ? "poll" : partOf(url);
    }
    const { functionName, url } = nodes.get(id)?.callFrame ?? { functionName: "", url: "" };
    const part = caller ?? "other";
    return url === "" && natives.has(functionName) ? `${part}: ${functionName}` : part;
  };
  const counts = new Map<string, number>();
  let leftUs = profile.timeDeltas.reduce((sum, delta) => sum + delta, 0);
  profile.samples.forEach((id, at) => {
    leftUs -= profile.timeDeltas[at] ?? 0;
    if (leftUs > lastUs) return;
    const name = named.get(id) ?? nameOf(id);
    named.set(id, name);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  return counts;
}

async function load(simulator: Simulator): Promise<void> {
  const report = await runLoad(simulator.url, { chats, inFlight: 500, total: updates });
  if (report.lost + report.reordered + report.doubled > 0) throw new Error(`not all done: ${JSON.stringify(report)}`);
}

/** Until the compilers are done; the load that follows is answered `delayMs` late. */
async function warm(simulator: Simulator, delayMs: number): Promise<void> {
  await ask(simulator.url, "settings", { delayMs: 0 });
  for (let round = 0; round < 2; round++) await load(simulator);
  await ask(simulator.url, "settings", { delayMs });
}

async function threads(simulator: Simulator, child: Child): Promise<Map<string, number>> {
  const before = threadsOf(child.pid);
  const beforeUs = cpuUsOf(child.pid);
  await load(simulator);
  // What is still owed when the last answer is out (settling, say) belongs to the cost.
  await Bun.sleep(300);
  const used = cpuUsBetween(before, threadsOf(child.pid));
  // Bun ends idle threads of its compiler and begins new ones.
  return used.set("threads that ended", Math.max(0, cpuUsOf(child.pid) - beforeUs - total(used)));
}

async function samples(simulator: Simulator, child: Child, folder: string): Promise<Map<string, number>> {
  const startedAt = performance.now();
  await load(simulator);
  await end(child, "SIGTERM");
  const file = readdirSync(folder).find((name) => name.endsWith(".cpuprofile"));
  if (file === undefined) throw new Error("Bun wrote no profile");
  const profile = JSON.parse(readFileSync(join(folder, file), "utf8")) as Profile;
  return divide(profile, (performance.now() - startedAt) * 1_000);
}

/** Starts botfleet, runs `measure` on it and ends it. */
async function withBotfleet<T>(
  flags: readonly string[],
  delayMs: number,
  measure: (simulator: Simulator, child: Child) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
  const simulator = await startSimulator(1);
  const child = startBotfleet(simulator, folder, limits, { flags, module });
  try {
    await warm(simulator, delayMs);
    return await measure(simulator, child);
  } finally {
    await end(child);
    await end(simulator.child);
    rmSync(folder, { recursive: true, force: true });
  }
}

function print(title: string, of: ReadonlyMap<string, number>, sum: number): void {
  console.log(title);
  for (const [name, us] of [...of].sort((a, b) => b[1] - a[1])) {
    if (us < sum / 500) continue;
    const percent = ((us / sum) * 100).toFixed(1).padStart(5);
    console.log(`  ${name.padEnd(34)} ${us.toFixed(2).padStart(6)} µs ${percent} %`);
  }
}

const results: object[] = [];
for (const delayMs of values.delays.split(",").map(Number)) {
  const used = await withBotfleet([], delayMs, threads);
  const byThread = new Map([...used].map(([name, us]) => [name, us / updates]));
  const all = total(byThread);
  print(`${delayMs} ms delay: ${all.toFixed(1)} µs of CPU per update, by thread`, byThread, all);

  const profiles = mkdtempSync(join(tmpdir(), "botfleet-profile-"));
  const flags = ["--cpu-prof", `--cpu-prof-interval=${intervalUs}`, `--cpu-prof-dir=${profiles}`];
  const counts = await withBotfleet(flags, delayMs, (simulator, child) => samples(simulator, child, profiles));
  rmSync(profiles, { recursive: true, force: true });
  const main = byThread.get("main") ?? 0;
  const sum = total(counts);
  const byPart = new Map([...counts].map(([name, count]) => [name, (count / sum) * main]));
  print(`${delayMs} ms delay: the main thread's ${main.toFixed(1)} µs, by part (${sum} samples)`, byPart, main);
  results.push({ delayMs, cpuUs: all, threads: Object.fromEntries(byThread), parts: Object.fromEntries(byPart) });
}
if (values.json) console.log(JSON.stringify({ results }));
