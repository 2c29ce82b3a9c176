/** A load balancer as a process of the test's own, with a folder, a port and a certificate. */
import { afterAll } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { opensslProgram, programOf, type Server } from "./programs.ts";
import { freePort } from "./redis-server.ts";
import { until } from "./until.ts";

export interface Balancer extends AsyncDisposable {
  readonly port: number;
  /** Of the certificate that it shows. */
  readonly ca: string;
  /** A request through it. Rejects where there is no answer. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** How many requests each server was sent, in order; those that another one answered in the end are counted with each. */
  counts(): Promise<readonly number[]>;
  /** One line per request, as an operator reads them. */
  log(): string;
}

export interface BalancerStage {
  readonly folder: string;
  readonly port: number;
  readonly certificate: string;
  readonly key: string;
  /** Certificate and key in one file. */
  readonly both: string;
  /** What the program has written. */
  output(): string;
  /** Its path. */
  write(config: string): string;
  /** The program, once it listens. Rejects with its words where it finds a fault in the file. */
  run(
    server: Server,
    check: readonly string[],
    start: readonly string[],
    views: Pick<Balancer, "log" | "counts">,
  ): Promise<Balancer>;
}

const running = new Set<AsyncDisposable>();

// A test that times out never comes to its own end.
afterAll(async () => {
  for (const each of running) await each[Symbol.asyncDispose]();
});

export async function createBalancerStage(): Promise<BalancerStage> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-balancer-"));
  // The balancer's own user must get in.
  chmodSync(folder, 0o755);
  const port = await freePort();
  const [certificate, key, both] = makeCertificate(folder);
  let output = "";
  return {
    folder,
    port,
    certificate,
    key,
    both,
    output: () => output,
    write(config) {
      const file = join(folder, "balancer.conf");
      writeFileSync(file, config);
      return file;
    },
    async run(server, check, start, views) {
      const program = programOf(server) ?? server.program;
      const checked = spawnSync(program, check, { encoding: "utf8" });
      if (checked.status !== 0) throw new Error(`${program} refuses the file: ${checked.stdout}${checked.stderr}`);
      const child = Bun.spawn([program, ...start], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      const read = [child.stdout, child.stderr].map(async (stream) => {
        for await (const bytes of stream) output += Buffer.from(bytes).toString();
      });
      const ca = readFileSync(certificate, "utf8");
      const balancer: Balancer = {
        ...views,
        port,
        ca,
        fetch: (path, init) => fetch(`https://127.0.0.1:${port}${path}`, { ...init, tls: { ca } }),
        async [Symbol.asyncDispose]() {
          running.delete(balancer);
          // A killed nginx would leave its worker processes.
          child.kill("SIGTERM");
          await child.exited;
          await Promise.all(read);
          rmSync(folder, { recursive: true, force: true });
        },
      };
      running.add(balancer);
      await until(() => {
        if (child.exitCode !== null) throw new Error(output);
        return shows(port, ca);
      });
      return balancer;
    },
  };
}

/** Self-signed, as long as a test lasts. */
function makeCertificate(folder: string): [certificate: string, key: string, both: string] {
  const certificate = join(folder, "botfleet.crt");
  const key = join(folder, "botfleet.key");
  const names = ["-subj", "/CN=botfleet.example.com", "-addext", "subjectAltName=IP:127.0.0.1"];
  const words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  const made = spawnSync(programOf(opensslProgram) ?? "openssl", [
    ...words,
    ...names,
    "-keyout",
    key,
    "-out",
    certificate,
  ]);
  if (made.status !== 0) throw new Error(`openssl: ${made.stderr.toString()}`);
  const both = join(folder, "botfleet.pem");
  writeFileSync(both, readFileSync(certificate, "utf8") + readFileSync(key, "utf8"));
  return [certificate, key, both];
}

/** Whether a TLS connection comes about. */
function shows(port: number, ca: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", ca }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });
}
