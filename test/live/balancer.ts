/** The shipped configurations of the load balancers under the real programs, with addresses and folders of the test's own, else as they are. */
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { type Balancer, createBalancerStage } from "./balancer-process.ts";
import { haproxyServer, nginxServer, type Server } from "./programs.ts";

export interface BalancerKind {
  readonly name: string;
  readonly program: Server;
  /** The balancer over `ports` of 127.0.0.1. */
  readonly start: (ports: readonly number[]) => Promise<Balancer>;
}

/** Three, as in the shipped files. */
const addresses = ["10.0.0.11:3001", "10.0.0.12:3001", "10.0.0.13:3001"];

export const nginx: BalancerKind = {
  name: "nginx",
  program: nginxServer,
  async start(ports) {
    const stage = await createBalancerStage();
    const { folder } = stage;
    const text = replaced("nginx.conf", [
      ...addresses.map((address, at) => [address, `127.0.0.1:${ports[at]}`] as const),
      ["listen 443 ", `listen 127.0.0.1:${stage.port} `],
      ["/etc/nginx/tls/botfleet.crt", stage.certificate],
      ["/etc/nginx/tls/botfleet.key", stage.key],
      ["/var/log/nginx/", `${folder}/`],
      // Folders that only root may write are built into the program.
      ["http {", `http {\n${folders(folder)}`],
    ]);
    const log = join(folder, "botfleet.access.log");
    const words = ["-e", "stderr", "-p", folder, "-c", stage.write(text), "-g", `daemon off; pid ${folder}/pid;`];
    return stage.run(nginxServer, ["-t", ...words], words, {
      log: () => readFileSync(log, "utf8"),
      counts: async () => countLines(readFileSync(log, "utf8"), ports),
    });
  },
};

function folders(folder: string): string {
  const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return kinds.map((kind) => `    ${kind}_temp_path ${folder}/${kind};`).join("\n");
}

/** `upstream=a, b answered=503, 200`: both were asked. ` : ` stands before those of a further upstream. */
function countLines(log: string, ports: readonly number[]): number[] {
  const asked = Array.from(log.matchAll(/ upstream=(.+) answered=/g), ([, upstreams = ""]) =>
    upstreams.split(/, | : /),
  ).flat();
  return ports.map((port) => asked.filter((upstream) => upstream === `127.0.0.1:${port}`).length);
}

export const haproxy: BalancerKind = {
  name: "haproxy",
  program: haproxyServer,
  async start(ports) {
    const stage = await createBalancerStage();
    const { folder } = stage;
    const socket = join(folder, "admin.sock");
    const isRoot = process.getuid?.() === 0;
    const text = replaced("haproxy.cfg", [
      ...addresses.map((address, at) => [address, `127.0.0.1:${ports[at]}`] as const),
      ["bind :443 ", `bind 127.0.0.1:${stage.port} `],
      ["/etc/haproxy/tls/botfleet.pem", stage.both],
      ["/run/haproxy/admin.sock", socket],
      // Who is not root can become nobody else.
      ...(isRoot ? [] : ([["    user haproxy\n    group haproxy\n", ""]] as const)),
    ]);
    const words = ["-f", stage.write(text)];
    return stage.run(haproxyServer, ["-c", ...words], ["-db", ...words], {
      log: () => stage.output(),
      counts: async () => countTable(await ask(socket, "show stat\n")),
    });
  },
};

/** Of `show stat`: a line of names, and one for each server, in order. */
function countTable(csv: string): number[] {
  const [head = "", ...rows] = csv.replace(/^# /, "").trim().split("\n");
  const names = head.split(",");
  const cells = rows.map((row) => row.split(","));
  return cells
    .filter(([backend, server]) => backend === "botfleet" && server !== "BACKEND")
    .map((row) => Number(row[names.indexOf("stot")]));
}

/** The answer to a line over a socket of the system. */
function ask(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(path, () => socket.write(line));
    socket.on("data", (bytes) => (text += bytes.toString()));
    socket.on("end", () => resolve(text));
    socket.on("error", reject);
  });
}

/** The shipped file with other addresses and folders. Each must be there, or the test would not be of that file. */
function replaced(name: string, pairs: readonly (readonly [from: string, to: string])[]): string {
  const shipped = readFileSync(join(import.meta.dir, "../../config/deploy", name), "utf8");
  return pairs.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`${name} has no ${JSON.stringify(from)}`);
    return text.replaceAll(from, to);
  }, shipped);
}
