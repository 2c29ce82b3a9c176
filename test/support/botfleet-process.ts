/** Botfleet as a process of its own, started as an operator would, for tests that kill it. */
import { afterAll } from "bun:test";
import { join } from "node:path";
import type { Status } from "../../src/ops/status.ts";

const repository = join(import.meta.dir, "..", "..");
/** Longest wait for a start, ms: a busy machine takes a while, a start that hangs must not take the whole test. */
const startMaxMs = 20_000;

export interface BotfleetProcessOptions {
  /** Each runs `module`; absent where `env` says otherwise (`BOTS_FILE`). */
  readonly tokens?: readonly string[];
  readonly module?: string;
  readonly apiRoot: string;
  readonly dataDir: string;
  /** Further settings; these win. */
  readonly env?: Readonly<Record<string, string>>;
  /** `script`: by `bun run start`. Default: `bun src/main.ts`, so that `pid` is the process itself. */
  readonly by?: "script" | "program";
}

/** A line of the log. */
export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** How a process ended: its exit code, or the signal that ended it. */
export type Ending = number | NodeJS.Signals;

export interface BotfleetProcess {
  readonly pid: number;
  /** Of the sidecar; 0 before it is known. */
  readonly port: number;
  /** What it has logged so far. */
  readonly lines: readonly LogLine[];
  /** Everything it has written so far, to stdout and to stderr. */
  readonly output: { readonly stdout: string; readonly stderr: string };
  /** Resolves with the process once it says that it has started. Rejects with its output where it ends or hangs before. */
  readonly started: Promise<BotfleetProcess>;
  /** Resolves when it has ended and all its output is read. */
  readonly exited: Promise<Ending>;
  /** The first line that fits, also one that is there already. Rejects after `maxMs`, and where it ends without. */
  line(fits: (line: LogLine) => boolean, maxMs?: number): Promise<LogLine>;
  /** Sends a signal to this process alone. */
  kill(signal: NodeJS.Signals): void;
  /** Sends a signal to it and to what it has started, as a terminal (Ctrl-C) and systemd do. */
  killGroup(signal: NodeJS.Signals): void;
  /** `/status.json`. */
  status(): Promise<Status>;
  /** One of the sidecar's pages. */
  page(path: string): Promise<{ readonly status: number; readonly text: string }>;
  /** Ends it, whatever state it is in. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** As `spawnBotfleet`, once it has started. */
export function startBotfleetProcess(options: BotfleetProcessOptions): Promise<BotfleetProcess> {
  return spawnBotfleet(options).started;
}

/** Nothing of this process's own environment but where programs are found: settings of whoever runs the tests stay outside. */
export function spawnBotfleet(options: BotfleetProcessOptions): BotfleetProcess {
  const { tokens, module, apiRoot, dataDir, env = {}, by = "program" } = options;
  const command = by === "script" ? ["run", "start"] : ["src/main.ts"];
  const child = Bun.spawn([process.execPath, ...command], {
    cwd: repository,
    // A group of its own: what a script starts can be ended with it.
    detached: true,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: {
      PATH: process.env["PATH"],
      HOME: process.env["HOME"],
      TMPDIR: process.env["TMPDIR"],
      ...(by === "program" ? { BUN_CONFIG_MAX_HTTP_REQUESTS: "4096" } : {}),
      ...(tokens === undefined ? {} : { BOT_TOKENS: tokens.join(","), BOT_MODULE: module ?? "echo" }),
      TELEGRAM_API_ROOT: apiRoot,
      DATA_DIR: dataDir,
      HOST: "127.0.0.1",
      PORT: "0",
      LOG_LEVEL: "info",
      ...env,
    },
  });
  return new Running(child);
}

const running = new Set<BotfleetProcess>();

// A test that times out never comes to its own end.
afterAll(async () => {
  await Promise.all([...running].map((process) => process[Symbol.asyncDispose]()));
});

class Running implements BotfleetProcess {
  readonly pid: number;
  port = 0;
  readonly lines: LogLine[] = [];
  readonly output = { stdout: "", stderr: "" };
  readonly exited: Promise<Ending>;
  readonly started: Promise<BotfleetProcess>;
  readonly #watchers = new Set<() => void>();
  #rest = "";
  #ending: Ending | undefined;

  constructor(child: Bun.Subprocess<"ignore", "pipe", "pipe">) {
    this.pid = child.pid;
    const read = Promise.all([
      consume(child.stdout, (text) => this.#print(text)),
      consume(child.stderr, (text) => void (this.output.stderr += text)),
    ]);
    running.add(this);
    this.exited = Promise.all([child.exited, read]).then(([code]) => {
      running.delete(this);
      this.#ending = child.signalCode ?? code;
      for (const watch of this.#watchers) watch();
      return this.#ending;
    });
    this.started = this.#start();
    // Whoever starts it only to kill it does not look at this.
    this.started.catch(() => undefined);
  }

  line(fits: (line: LogLine) => boolean, maxMs = startMaxMs): Promise<LogLine> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#watchers.delete(watch);
      };
      const fail = (why: string): void => {
        end();
        reject(new Error(`no such line ${why}; it wrote\n${this.output.stdout}${this.output.stderr}`));
      };
      const watch = (): void => {
        const found = this.lines.find(fits);
        if (found !== undefined) {
          end();
          resolve(found);
        } else if (this.#ending !== undefined) fail(`before the process ended with ${this.#ending}`);
      };
      const timer = setTimeout(() => fail(`within ${maxMs} ms`), maxMs);
      this.#watchers.add(watch);
      watch();
    });
  }

  kill(signal: NodeJS.Signals): void {
    if (this.#ending === undefined) tell(this.pid, signal);
  }

  killGroup(signal: NodeJS.Signals): void {
    if (this.#ending === undefined) tell(-this.pid, signal);
  }

  async status(): Promise<Status> {
    return JSON.parse((await this.page("/status.json")).text) as Status;
  }

  async page(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, { signal: AbortSignal.timeout(startMaxMs) });
    return { status: response.status, text: await response.text() };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.killGroup("SIGKILL");
    await this.exited;
  }

  async #start(): Promise<this> {
    const { port } = await this.line(({ msg }) => msg === "botfleet started");
    this.port = Number(port);
    return this;
  }

  #print(text: string): void {
    this.output.stdout += text;
    const parts = (this.#rest + text).split("\n");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) if (part.startsWith("{")) this.lines.push(JSON.parse(part) as LogLine);
    for (const watch of this.#watchers) watch();
  }
}

async function consume(stream: ReadableStream<Uint8Array>, take: (text: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) take(decoder.decode(bytes, { stream: true }));
}

function tell(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile: that is what was wanted, or the test sees it by what is missing.
  }
}
