/**
 * The runner as a child process of the demo: started, killed, started again, asked for its status, stopped. Longer than other files: one
 * child goes through all of it, and what is known of it stays in one place.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { names } from "../../config/variables.ts";
import type { Status } from "../ops/status.ts";
import { entryOf, followLines } from "./demo-lines.ts";

export interface WorkerOptions {
  readonly token: string;
  readonly apiRoot: string;
  readonly dataDir: string;
  /** Of the sidecar; 0: any free one. */
  readonly port: number;
  /** It ended although nobody asked it to; `words` are its own last ones. It is not started again by itself. */
  readonly onDeath: (pid: number, how: string, words: string) => void;
}

type Child = Bun.Subprocess<"ignore", "pipe", "pipe">;

interface Run {
  readonly child: Child;
  readonly words: string[];
  readonly startedAt: number;
  port: number | undefined;
  isEnding: boolean;
}

const program = join(import.meta.dir, "../main.ts");
const startMaxMs = 20_000;
const tooLate = `it did not start within ${startMaxMs / 1_000} s`;
const stopMaxMs = 5_000;
const statusMaxMs = 1_000;
/** Last lines kept of what it says, and characters of each. */
const wordsMax = 12;
const wordMaxChars = 400;

export class Worker {
  readonly #options: WorkerOptions;
  #run: Run | undefined;
  #port: number;
  #isStopped = false;
  /** How often it was started. */
  starts = 0;

  constructor(options: WorkerOptions) {
    this.#options = options;
    this.#port = options.port;
  }

  get pid(): number {
    return this.#run?.child.pid ?? 0;
  }

  /** Its sidecar listens, on `port`. */
  get isUp(): boolean {
    return this.#run?.port !== undefined && !this.#run.isEnding;
  }

  get port(): number {
    return this.#run?.port ?? 0;
  }

  get upMs(): number {
    return performance.now() - (this.#run?.startedAt ?? 0);
  }

  /**
   * Resolves when it runs, or after `stop`. Rejects where it ends before it runs, or does not start in time, with its own words.
   */
  async start(): Promise<void> {
    if (this.#isStopped) return;
    try {
      await this.#startOnce();
    } catch (error) {
      if (this.#isStopped) return;
      if (this.#port === this.#options.port) throw error;
      // The port of the first start was only a wish: perhaps somebody else has it by now.
      this.#port = this.#options.port;
      await this.#startOnce();
    }
  }

  async #startOnce(): Promise<void> {
    this.starts++;
    const run = this.#spawn();
    this.#run = run;
    const started = Promise.withResolvers<void>();
    const heard = Promise.all([
      followLines(run.child.stdout, (line) => this.#logged(run, line, started.resolve)),
      followLines(run.child.stderr, (line) => keepWord(run, line)),
      run.child.exited,
    ]);
    void this.#end(run, heard, started.reject);
    const late = setTimeout(() => started.reject(new Error(tooLate)), startMaxMs);
    try {
      await started.promise;
    } finally {
      clearTimeout(late);
    }
  }

  /** Ends it as a power cut would. Resolves when it is gone. */
  async kill(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    run.isEnding = true;
    run.child.kill("SIGKILL");
    await run.child.exited;
  }

  /** Asks it to end, and kills it where it does not within 5 s. Resolves when it is gone; it is not started again. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const run = this.#run;
    if (run === undefined) return;
    run.isEnding = true;
    run.child.kill("SIGTERM");
    const late = setTimeout(() => run.child.kill("SIGKILL"), stopMaxMs);
    await run.child.exited;
    clearTimeout(late);
  }

  /** For the last moment of the demo itself: does not wait. */
  abandon(): void {
    if (this.#run?.child.exitCode === null) this.#run.child.kill("SIGKILL");
  }

  /** What `/status.json` says; undefined while it does not answer. */
  async status(): Promise<Status | undefined> {
    if (!this.isUp) return undefined;
    try {
      const response = await fetch(`http://127.0.0.1:${this.port}/status.json`, {
        signal: AbortSignal.timeout(statusMaxMs),
      });
      return (await response.json()) as Status;
    } catch {
      // Killed in the middle of the answer, or very busy: the next look tells.
      return undefined;
    }
  }

  #spawn(): Run {
    const { token, apiRoot, dataDir } = this.#options;
    const env = {
      BUN_CONFIG_MAX_HTTP_REQUESTS: "4096",
      ...otherVariables(process.env),
      BOTS_FILE: botsFileIn(dataDir),
      [tokenName]: token,
      TELEGRAM_API_ROOT: apiRoot,
      DATA_DIR: dataDir,
      HOST: "127.0.0.1",
      PORT: String(this.#port),
    };
    const child = Bun.spawn([process.execPath, "--no-env-file", program], {
      env,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    return { child, words: [], startedAt: performance.now(), port: undefined, isEnding: false };
  }

  #logged(run: Run, line: string, started: () => void): void {
    const entry = entryOf(line);
    if (entry?.msg === "botfleet started" && entry.port !== undefined) {
      run.port = entry.port;
      // The same page after a restart.
      this.#port = entry.port;
      started();
    } else if (entry === undefined || entry.level === "error" || entry.level === "fatal") {
      keepWord(run, entry === undefined ? line : [entry.msg, entry.error?.message].filter(Boolean).join(": "));
    }
  }

  async #end(run: Run, heard: Promise<unknown>, reject: (error: Error) => void): Promise<void> {
    await heard;
    const { exitCode, signalCode } = run.child;
    const how = signalCode === null ? `exit code ${exitCode}` : String(signalCode);
    const words = run.words.join("\n");
    if (run.port === undefined) reject(new Error(`it ended with ${how}\n${words}`.trimEnd()));
    else if (!run.isEnding) {
      run.isEnding = true;
      this.#options.onDeath(run.child.pid, how, words);
    }
  }
}

const tokenName = "DEMO_BOT_TOKEN";

/** The demo floods chats on purpose: with flood control it would show the pace of a chat, five messages and then one a second. */
function botsFileIn(dataDir: string): string {
  const bots = [{ name: "demo", tokenEnv: tokenName, module: "echo", limits: { engine: "off" } }];
  const path = join(dataDir, "demo-bots.json");
  mkdirSync(dataDir, { recursive: true });
  writeFileSync(path, JSON.stringify({ bots }));
  return path;
}

/** Settings of a botfleet of one's own, perhaps with real tokens, must not reach this one. */
function otherVariables(env: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  const own = new Set<string>(names.flatMap((name) => [name, `${name}_FILE`]));
  return Object.fromEntries(Object.entries(env).filter(([name]) => !own.has(name)));
}

function keepWord(run: Run, line: string): void {
  if (line.trim() === "") return;
  run.words.push(line.slice(0, wordMaxChars));
  if (run.words.length > wordsMax) run.words.shift();
}
