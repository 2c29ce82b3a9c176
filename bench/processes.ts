/** What the benchmarks of whole processes share: starting them, asking the simulator, and reading what the system charged to them. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import packageFile from "../package.json" with { type: "json" };

export type Child = Bun.Subprocess<"ignore", "pipe">;

export interface Simulator {
  readonly child: Child;
  readonly url: string;
  readonly tokens: readonly string[];
  readonly botIds: readonly number[];
}

/** As the simulator reports a load. */
export interface LoadReport {
  readonly sent: number;
  readonly answered: number;
  readonly lost: number;
  readonly reordered: number;
  readonly doubled: number;
  readonly strange: number;
  readonly latency: Readonly<Record<"p50Ms" | "p95Ms" | "p99Ms" | "maxMs", number>>;
}

export interface StartOptions {
  /** Of the child alone. */
  readonly env?: Readonly<Record<string, string>>;
  /** Flags of Bun's. */
  readonly flags?: readonly string[];
  /** The only processor it may use; absent: all of them. */
  readonly core?: number;
}

/** Linux counts CPU of a process in these. */
const tickUs = 10_000;
const root = join(import.meta.dir, "..");

export function start(program: readonly string[], { env = {}, flags = [], core }: StartOptions = {}): Child {
  const pin = core === undefined ? [] : ["taskset", "-c", String(core)];
  return Bun.spawn([...pin, "bun", ...flags, ...program], {
    cwd: root,
    env: { ...process.env, BUN_CONFIG_MAX_HTTP_REQUESTS: "4096", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
}

export async function startSimulator(bots: number, options: StartOptions = {}): Promise<Simulator> {
  const program = ["src/simulator/main.ts", "--bots", String(bots), "--any-chat", "--history", "2"];
  const child = start(program, options);
  const reader = child.stdout.getReader();
  const { value } = await reader.read();
  reader.releaseLock();
  const line = new TextDecoder().decode(value).split("\n")[0] ?? "";
  return { child, ...(JSON.parse(line) as Omit<Simulator, "child">) };
}

/** Bots of `module` for all `tokens` in one process, in the environment that `bun run start` gives it. `limits` as in a BOTS_FILE. */
export function startBotfleet(
  simulator: Pick<Simulator, "url" | "tokens">,
  dataDir: string,
  limits: Readonly<Record<string, unknown>>,
  { module = "echo", ...options }: StartOptions & { readonly module?: string } = {},
): Child {
  const bots = simulator.tokens.map((token, at) => ({ name: `bot${at}`, token, module, limits }));
  const botsFile = join(dataDir, "bots.json");
  writeFileSync(botsFile, JSON.stringify({ bots }));
  const settings = {
    BOTS_FILE: botsFile,
    TELEGRAM_API_ROOT: simulator.url,
    DATA_DIR: dataDir,
    PORT: "0",
    HOST: "127.0.0.1",
    LOG_LEVEL: "error",
  };
  return start(["src/main.ts"], { ...options, env: { ...startEnvironment(), ...settings, ...options.env } });
}

/** What `bun run start` sets before Bun starts. */
export function startEnvironment(): Readonly<Record<string, string>> {
  const words = packageFile.scripts.start.split(" ").filter((word) => /^[A-Z_]+=/.test(word));
  return Object.fromEntries(words.map((word) => word.split("=", 2) as [string, string]));
}

export async function ask<T>(url: string, path: string, body?: object): Promise<T> {
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(`${url}/simulator/${path}`, init);
  if (!answer.ok) throw new Error(`${path}: ${await answer.text()}`);
  return (await answer.json()) as T;
}

/** Runs a load of the simulator to its end. */
export async function runLoad(url: string, load: object, maxMs = 120_000): Promise<LoadReport> {
  const { id } = await ask<{ readonly id: number }>(url, "load", load);
  return await ask<LoadReport>(url, "load/settled", { id, maxMs });
}

export interface ThreadTime {
  readonly name: string;
  /** CPU time since it began. */
  readonly cpuUs: number;
}

/** CPU of each thread of a process by its id. The thread that runs JavaScript is `main`. */
export function threadsOf(pid: number): ReadonlyMap<string, ThreadTime> {
  const threads = new Map<string, ThreadTime>();
  const folder = `/proc/${pid}/task`;
  for (const thread of readdirSync(folder)) {
    try {
      const name = thread === String(pid) ? "main" : readFileSync(`${folder}/${thread}/comm`, "utf8").trim();
      const nanoseconds = Number(readFileSync(`${folder}/${thread}/schedstat`, "utf8").split(" ")[0]);
      threads.set(thread, { name, cpuUs: nanoseconds / 1_000 });
    } catch {
      // It has ended since the folder was read.
    }
  }
  return threads;
}

/** CPU between two looks, µs, by the name of the thread. What a thread used that began and ended in between is not seen. */
export function cpuUsBetween(
  before: ReadonlyMap<string, ThreadTime>,
  after: ReadonlyMap<string, ThreadTime>,
): Map<string, number> {
  const used = new Map<string, number>();
  for (const [thread, { name, cpuUs }] of after) {
    used.set(name, (used.get(name) ?? 0) + cpuUs - (before.get(thread)?.cpuUs ?? 0));
  }
  return used;
}

export function total(of: ReadonlyMap<string, number>): number {
  return [...of.values()].reduce((sum, each) => sum + each, 0);
}

/** CPU of a process since its start, threads that have ended included; exact to 10 ms. */
export function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * tickUs;
}

export function rssBytes(pid: number): number {
  return 1_024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
}

export function median(of: readonly number[]): number {
  return [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN;
}

export async function end(child: Child | undefined, signal: "SIGTERM" | "SIGKILL" = "SIGKILL"): Promise<void> {
  child?.kill(signal);
  await child?.exited;
}
