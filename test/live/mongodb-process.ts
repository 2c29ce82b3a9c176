/** A MongoDB-compatible server of one's own: started on a folder, killed, started again on what it left. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mongodbServer, programOf } from "./programs.ts";

export interface MongodbServer {
  /** `mongodb://127.0.0.1:PORT`; the same after a restart. */
  readonly url: string;
  readonly port: number;
  /** kill -9. Resolves when it has ended. */
  kill(): Promise<void>;
  /** Stops answering (SIGSTOP) without closing anything. */
  freeze(): void;
  thaw(): void;
  /** Starts it again on the same folder and port. `words`: other ones than before. */
  restart(words?: readonly string[]): Promise<void>;
  /** Ends it and removes its folder. Idempotent. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface MongodbServerOptions {
  /** Further words of its command line, such as `--standalone` and `--auth`. */
  readonly words?: readonly string[];
  /** False: a kill may lose what was acknowledged. Several times as fast. Default: true. */
  readonly isDurable?: boolean;
}

const startMaxMs = 30_000;

/** Where it is durable every acknowledged write is on the disk. Rejects where the program is not installed. */
export async function spawnMongodbServer({
  words: given = [],
  isDurable = true,
}: MongodbServerOptions = {}): Promise<MongodbServer> {
  const program = programOf(mongodbServer);
  if (program === undefined) throw new Error(`${mongodbServer.program} is not installed`);
  const folder = mkdtempSync(join(tmpdir(), "botfleet-mongodb-"));
  const durability = isDurable ? ["--sync-on-commit"] : [];
  const words = [...durability, ...given];
  let child = spawn(program, folder, 0, words);
  let isDisposed = false;
  const server: MongodbServer = {
    port: await portOf(child),
    get url() {
      return `mongodb://127.0.0.1:${this.port}`;
    },
    async kill() {
      child.kill("SIGKILL");
      await child.exited;
    },
    freeze: () => child.kill("SIGSTOP"),
    thaw: () => child.kill("SIGCONT"),
    async restart(others = given) {
      child = spawn(program, folder, this.port, [...durability, ...others]);
      await portOf(child);
    },
    async [Symbol.asyncDispose]() {
      if (isDisposed) return;
      isDisposed = true;
      await this.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return server;
}

/** Faults can be injected (`configureFailPoint`). */
const always = ["--enable-test-commands"];

type Child = Bun.Subprocess<"ignore", "pipe", "ignore">;

function spawn(program: string, folder: string, port: number, words: readonly string[]): Child {
  const place = ["--host", "127.0.0.1", "--port", String(port), "--storage-path", folder];
  return Bun.spawn([program, ...place, "--cache-size", "256M", "--log-level", "ERROR", ...always, ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
}

/** Resolves once it listens; it prints where. */
function portOf(child: Child): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const giveUp = setTimeout(() => child.kill("SIGKILL"), startMaxMs);
  // Read to its end: a server whose output nobody takes would end.
  void (async () => {
    let text = "";
    const decoder = new TextDecoder();
    for await (const bytes of child.stdout) {
      text += decoder.decode(bytes, { stream: true });
      const port = /listening on 127\.0\.0\.1:(\d+)/.exec(text)?.[1];
      if (port === undefined) continue;
      clearTimeout(giveUp);
      resolve(Number(port));
    }
    clearTimeout(giveUp);
    reject(new Error(`${mongodbServer.program} ended with ${await child.exited} before it listened: ${text}`));
  })();
  return promise;
}
