/**
 * `bun .ci/servers.ts`: installs the servers that the tests in test/live/ start, where they are missing: Redis and the load balancers from the system's packages, the
 * MongoDB-compatible one built into the cache folder (some minutes, once). Ends with 1 and says why where one cannot be had.
 */
import { spawnSync } from "node:child_process";
import {
  folderOf,
  haproxyServer,
  missing,
  mongodbServer,
  nginxServer,
  opensslProgram,
  programOf,
  redisServer,
} from "../test/live/programs.ts";

const problems = [installRedis(), installBalancers(), installMongodb()].filter((problem) => problem !== undefined);
for (const problem of problems) console.log(`FAILED: ${problem}`);
process.exit(problems.length === 0 ? 0 : 1);

function installRedis(): string | undefined {
  if (missing(redisServer) === undefined) return undefined;
  // Without starting it: each test starts its own.
  return installPackages("redis-server") && programOf(redisServer) !== undefined
    ? undefined
    : "redis-server cannot be installed; see above, or install Redis 7 so that redis-server is on the PATH";
}

function installBalancers(): string | undefined {
  const packages = [
    [nginxServer, "nginx-light"],
    [haproxyServer, "haproxy"],
    [opensslProgram, "openssl"],
  ] as const;
  const absent = (): string[] => packages.filter(([each]) => missing(each) !== undefined).map(([, name]) => name);
  const wanted = absent();
  if (wanted.length === 0) return undefined;
  installPackages(...wanted);
  const left = absent();
  return left.length === 0
    ? undefined
    : `${left.join(" and ")} cannot be installed; see above, or install NGINX, HAProxy and OpenSSL so that they are on the PATH`;
}

function installMongodb(): string | undefined {
  if (missing(mongodbServer) === undefined) return undefined;
  if (Bun.which("cargo") === null) return `${mongodbServer.program} is built by cargo, which is missing: install Rust`;
  const tools = [
    ["cmake", "cmake"],
    ["c++", "g++"],
  ] as const;
  const absent = tools.filter(([program]) => Bun.which(program) === null).map(([, name]) => name);
  if (absent.length > 0 && !installPackages(...absent)) {
    return `${mongodbServer.program} is built with ${absent.join(" and ")}, which cannot be installed; see above`;
  }
  const root = folderOf(mongodbServer);
  console.log(`Building ${mongodbServer.program} ${mongodbServer.version} in ${root}`);
  const version = `secantus-mdb@${mongodbServer.version}`;
  const built = run("cargo", ["install", version, "--ignore-rust-version", "--locked", "--quiet", "--root", root]);
  return built && programOf(mongodbServer) !== undefined
    ? undefined
    : `${mongodbServer.program} cannot be built; see above, or set ${mongodbServer.url} to the address of a MongoDB replica set for tests`;
}

/** By apt, as root or through sudo. */
function installPackages(...names: readonly string[]): boolean {
  if (Bun.which("apt-get") === null) {
    console.log(`there is no apt-get here to install ${names.join(", ")}`);
    return false;
  }
  console.log(`Installing ${names.join(", ")}`);
  const isRoot = process.getuid?.() === 0;
  const apt = (...words: readonly string[]): boolean => {
    const quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-qq", ...words];
    return isRoot ? run("env", quiet.slice(1)) : run("sudo", ["-n", ...quiet]);
  };
  // The list of packages of a fresh machine is empty or old.
  return apt("update") && apt("install", "-y", "--no-install-recommends", ...names);
}

function run(program: string, words: readonly string[]): boolean {
  const { status, error } = spawnSync(program, words, { stdio: ["ignore", "inherit", "inherit"] });
  if (error !== undefined) console.log(`${program} cannot be run: ${error.message}`);
  return status === 0;
}
