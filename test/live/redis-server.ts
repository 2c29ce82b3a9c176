/** A Redis of a test's own: started on a folder, killed, frozen, started again. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { programOf, redisServer } from "./programs.ts";

export class LiveRedis {
  readonly #args: readonly string[];
  readonly #folder: string;
  readonly #port: number;
  readonly #password: string | undefined;
  #child: ChildProcess | undefined;
  #admin: Redis | undefined;

  private constructor(args: readonly string[], folder: string, port: number, password: string | undefined) {
    this.#args = args;
    this.#folder = folder;
    this.#port = port;
    this.#password = password;
  }

  static async start(args: readonly string[] = [], password?: string): Promise<LiveRedis> {
    const folder = mkdtempSync(join(tmpdir(), "botfleet-redis-"));
    const redis = new LiveRedis(args, folder, await freePort(), password);
    await redis.boot();
    return redis;
  }

  get url(): string {
    const user = this.#password === undefined ? "" : `:${encodeURIComponent(this.#password)}@`;
    return `redis://${user}127.0.0.1:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  get isRunning(): boolean {
    return this.#child !== undefined;
  }

  /** Resolves when it answers, or says that it is loading. */
  async boot(more: readonly string[] = []): Promise<void> {
    const secret = this.#password === undefined ? [] : ["--requirepass", this.#password];
    const own = ["--port", String(this.#port), "--bind", "127.0.0.1", "--dir", this.#folder, "--save", "", ...secret];
    this.#child = spawn(programOf(redisServer) ?? redisServer.program, [...own, ...this.#args, ...more], {
      stdio: "ignore",
    });
    for (;;) {
      try {
        await this.command("PING");
        return;
      } catch (error) {
        if (error instanceof Error && error.message.startsWith("LOADING")) return;
        await Bun.sleep(20);
      }
    }
  }

  async command(name: string, ...args: readonly (string | number)[]): Promise<unknown> {
    if (this.#admin === undefined) {
      this.#admin = new Redis(this.url, {
        maxRetriesPerRequest: 0,
        retryStrategy: null,
        enableReadyCheck: false,
        protocol: 2,
      });
      this.#admin.on("error", () => {});
    }
    try {
      return await this.#admin.call(name, ...args);
    } catch (error) {
      if (this.#admin.status === "end") this.#admin = undefined;
      throw error;
    }
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child?.kill(signal);
  }

  /** Resolves when it is dead. */
  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    this.#admin?.disconnect();
    this.#admin = undefined;
    if (child === undefined) return;
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
