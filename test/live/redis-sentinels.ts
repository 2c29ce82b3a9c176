/** Three sentinels of a test's own, that watch a primary called `main`. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programOf, redisServer } from "./programs.ts";
import { freePort } from "./redis-server.ts";

export interface Sentinels {
  /** As `host:port,host:port,host:port`. */
  readonly hosts: string;
  stop(): Promise<void>;
}

export async function startSentinels(primaryPort: number, password?: string): Promise<Sentinels> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-sentinels-"));
  const children: ChildProcess[] = [];
  const hosts: string[] = [];
  for (let n = 0; n < 3; n++) {
    const port = await freePort();
    const file = join(folder, `${n}.conf`);
    // A sentinel writes into its own file.
    const lines = [
      `port ${port}`,
      "bind 127.0.0.1",
      `dir ${folder}`,
      `sentinel monitor main 127.0.0.1 ${primaryPort} 2`,
      "sentinel down-after-milliseconds main 500",
      "sentinel failover-timeout main 3000",
      ...(password === undefined ? [] : [`sentinel auth-pass main ${password}`]),
    ];
    writeFileSync(file, lines.join("\n"));
    children.push(spawn(programOf(redisServer) ?? redisServer.program, [file, "--sentinel"], { stdio: "ignore" }));
    hosts.push(`127.0.0.1:${port}`);
  }
  return {
    hosts: hosts.join(","),
    async stop() {
      for (const child of children) {
        const ended = new Promise((resolve) => child.once("exit", resolve));
        child.kill("SIGKILL");
        await ended;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Whether the first one knows of a replica, and of the other two. It learns that only by asking. */
export async function areWatching(hosts: string): Promise<boolean> {
  const sentinel = new Bun.RedisClient(`redis://${hosts.split(",")[0]}`);
  try {
    const countOf = async (what: string) => ((await sentinel.send("SENTINEL", [what, "main"])) as unknown[]).length;
    return (await countOf("REPLICAS")) === 1 && (await countOf("SENTINELS")) === 2;
  } finally {
    sentinel.close();
  }
}
