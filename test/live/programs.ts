/** The real servers of the tests in this folder: which there are, where they are found, and how a test says that one is missing. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** A server that is a program of its own, or is running somewhere already. */
export interface Server {
  readonly program: string;
  /** Undefined: the one that the system has. Else the one that is built into the cache folder. */
  readonly version: string | undefined;
  /** Names the variable with the address of a running server, which is used instead. Undefined: it must be one of the test's own. */
  readonly url: string | undefined;
}

/** The same server where a test kills it. */
export function own(server: Server): Server {
  return { ...server, url: undefined };
}

export const redisServer: Server = { program: "redis-server", version: undefined, url: "REDIS_TEST_URL" };
/** Speaks MongoDB's protocol on a single node: what depends on replication cannot be shown on it. */
export const mongodbServer: Server = {
  program: "secantusd-rs",
  version: "0.5.3-beta.196",
  url: "MONGO_TEST_URL",
};

export const nginxServer: Server = { program: "nginx", version: undefined, url: undefined };
export const haproxyServer: Server = { program: "haproxy", version: undefined, url: undefined };
/** Makes certificates. */
export const opensslProgram: Server = { program: "openssl", version: undefined, url: undefined };

/** Where built servers are kept, outside of the checkout. */
export function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "botfleet");
}

/** Where a server with a version is built. */
export function folderOf({ version = "" }: Server): string {
  return join(cacheFolder(), `secantusd-${version}`);
}

/** Undefined where it is not installed. */
export function programOf(server: Server): string | undefined {
  const built = join(folderOf(server), "bin", server.program);
  if (server.version !== undefined && existsSync(built)) return built;
  // Where the system's servers are, which are not on everybody's PATH.
  const path = [process.env["PATH"] ?? "", "/usr/local/sbin", "/usr/sbin"].join(":");
  return Bun.which(server.program, { PATH: path }) ?? undefined;
}

/** Why the tests of a server cannot run; undefined where they can. */
export function missing(server: Server): string | undefined {
  const { program, url } = server;
  if (programOf(server) !== undefined || (url !== undefined && process.env[url])) return undefined;
  const other = url === undefined ? "" : ` and ${url} is not set`;
  return `${program} is not installed (bun .ci/servers.ts installs it)${other}`;
}
