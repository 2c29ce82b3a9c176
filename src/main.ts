/**
 * `bun run start`: reads the settings, starts botfleet, and ends it on SIGTERM or SIGINT.
 * Exit codes: 0 clean, 1 crash, 78 bad configuration.
 */
import { readFileSync } from "node:fs";
import { limits } from "../config/limits.ts";
import { faultsText, readSettings, type Settings } from "../config/settings.ts";
import packageFile from "../package.json" with { type: "json" };
import type { BotModule } from "./bots/bot.ts";
import { loadModule } from "./bots/catalog.ts";
import { systemClock } from "./clock.ts";
import { Fault, type FaultCode, faultOf } from "./faults.ts";
import type { Log } from "./log.ts";
import { type Botfleet, startBotfleet } from "./main-assembly.ts";
import { createHeartbeat } from "./ops/heartbeat.ts";
import { createLineOutput, type LineOutput } from "./ops/lines.ts";
import { createLog } from "./ops/log.ts";
import { createRedact, passwordIn, type Redact } from "./ops/redact.ts";
import { checkMachine, openFilesOf } from "./ops/machine.ts";
import { startWatchdog } from "./ops/watchdog.ts";

const configurationFault = 78;
const bareSecretMinChars = 16;
/** Lines for a slow reader of the log, characters. */
const logBufferMaxChars = 4 * 1024 * 1024;
const heartbeatMs = 250;
/** A log that cannot be written must not keep the process from ending, ms. */
const flushMaxMs = 500;

const configurationCodes: ReadonlySet<FaultCode> = new Set([
  "settings_invalid",
  "module_invalid",
  "inbox_locked",
  "format_newer",
  "storage_damaged",
]);

async function main(): Promise<void> {
  const read = readSettings(process.env, (path) => readFileSync(path, "utf8"));
  if ("faults" in read) return refuse(faultsText(read.faults));
  const { settings } = read;
  const output = createLineOutput({
    descriptor: 1,
    bufferMaxChars: logBufferMaxChars,
    droppedLine: (count) => `${JSON.stringify({ level: "warn", msg: "log lines were dropped", count })}\n`,
    clock: systemClock,
  });
  const redact = createRedact(secretsIn(settings));
  const log = createLog({
    level: settings.log.level,
    redact,
    output,
    now: () => systemClock.now(),
  });
  const end = async (code: number): Promise<never> => {
    await Promise.race([output.flushed(), Bun.sleep(flushMaxMs)]);
    process.exit(code);
  };
  try {
    await run(settings, log, redact, end);
  } catch (error) {
    if (error instanceof Fault && configurationCodes.has(error.code)) {
      await flush(output);
      return refuse(`botfleet cannot start: ${error.message}`);
    }
    log.error("botfleet cannot start", { error });
    await end(1);
  }
}

async function run(settings: Settings, log: Log, redact: Redact, end: (code: number) => Promise<never>): Promise<void> {
  catchTheUncaught(log, end);
  warn(settings, log);
  const heartbeat = createHeartbeat({ clock: systemClock, everyMs: heartbeatMs });
  startWatchdog({ beats: heartbeat.beats, maxMs: limits.process.watchdogMaxMs, log });
  const modules = await loadModules(settings);
  const stopping = new AbortController();
  const starting = startBotfleet({
    settings,
    limits,
    modules,
    clock: systemClock,
    random: Math.random,
    log,
    redact,
    heartbeat,
    version: packageFile.version,
    member: crypto.randomUUID().replaceAll("-", "").slice(0, 12),
    signal: stopping.signal,
    onBroken(reason) {
      log.error("a store is lost; the process ends, and the next one looks at what is stored", { error: reason });
      void end(1);
    },
  });
  // Before it has started: a signal that came meanwhile would end the process in the middle of its recovery.
  onSignal(async (signal) => {
    log.info("stopping", { signal });
    const forced = setTimeout(() => {
      log.error("what is in work does not end; it stays in the inbox and is handled again");
      void end(1);
    }, limits.process.stopMaxMs);
    stopping.abort();
    try {
      await (await startedOr(starting, stopping.signal))?.stop();
    } catch (error) {
      log.error("what is left could not be written; it stays in the inbox and is handled again", { error });
      await end(1);
    }
    clearTimeout(forced);
    log.info("stopped");
    await end(0);
  });
  const botfleet = await startedOr(starting, stopping.signal);
  // Else it was stopped before it had started.
  if (botfleet === undefined) return;
  const { port } = botfleet;
  log.info("botfleet started", { version: packageFile.version, port, bots: settings.bots.length });
}

/** Undefined where the start was given up because `signal` aborted. */
async function startedOr(starting: Promise<Botfleet>, signal: AbortSignal): Promise<Botfleet | undefined> {
  try {
    return await starting;
  } catch (error) {
    if (signal.aborted && faultOf(error)?.code === "unavailable") return undefined;
    throw error;
  }
}

/** Ctrl-C and systemd signal every process of a group, and `bun run` passes what it got on to its child: the same signal twice, ms. */
const sameSignalMs = 500;

/** The first signal stops in order, a second one at once. */
function onSignal(stop: (signal: string) => Promise<void>): void {
  let stoppingSince: number | undefined;
  for (const [signal, number] of [
    ["SIGTERM", 15],
    ["SIGINT", 2],
  ] as const) {
    process.on(signal, () => {
      const now = systemClock.monotonic();
      if (stoppingSince !== undefined) {
        if (now - stoppingSince > sameSignalMs) process.exit(128 + number);
        return;
      }
      stoppingSince = now;
      void stop(signal);
    });
  }
}

/**
 * A promise that a bot forgot is that bot's fault alone and is told. An exception in nobody's hands may have left anything half done: the
 * process ends, and the updates in work are handled again with care.
 */
function catchTheUncaught(log: Log, end: (code: number) => Promise<never>): void {
  process.on("unhandledRejection", (error) => {
    log.error("a promise of a bot was rejected and nobody caught it", { error });
  });
  process.on("uncaughtException", (error) => {
    log.error("an exception that nobody caught ends the process", { error });
    void end(1);
  });
}

async function loadModules(settings: Settings): Promise<ReadonlyMap<string, BotModule>> {
  const modules = new Map<string, BotModule>();
  for (const { module } of settings.bots) {
    if (!modules.has(module)) modules.set(module, await loadModule(module, process.cwd()));
  }
  return modules;
}

function warn(settings: Settings, log: Log): void {
  const report = checkMachine({
    bots: settings.bots.length,
    slots: Math.min(limits.pipeline.slotsTotal, limits.pipeline.slotsPerBot * settings.bots.length),
    filesReserved: limits.process.filesReserved,
    httpRequests: process.env["BUN_CONFIG_MAX_HTTP_REQUESTS"],
    openFiles: openFilesOf(),
  });
  if (report.faults.length > 0) throw new Fault("settings_invalid", report.faults.join(" "));
  for (const warning of report.warnings) log.warn(warning);
  if (!settings.deduplicate) {
    log.warn("ENABLE_UPDATE_DEDUPLICATION is false: an update that Telegram delivers twice is handled twice");
  }
  if (settings.transport === "own" && ["HTTPS_PROXY", "https_proxy"].some((name) => process.env[name])) {
    log.warn(
      "HTTPS_PROXY is set, which TELEGRAM_TRANSPORT=own does not use; set TELEGRAM_TRANSPORT=fetch to go through the proxy",
    );
  }
  const unused = [
    ...(settings.log.dir === undefined ? [] : ["LOG_DIR"]),
    ...(settings.sidecar.adminToken === undefined ? [] : ["ADMIN_TOKEN"]),
  ];
  for (const name of unused) log.warn(`${name}: checked, but without effect in this version`);
}

function secretsIn(settings: Settings): readonly string[] {
  const { adminToken } = settings.sidecar;
  const uris = [settings.mongodb?.uri, settings.redis.url, settings.redis.cacheUrl].filter((uri) => uri !== undefined);
  // What stands behind the colon is the secret, and a module's own words may hold it alone. A short one would be found inside of words.
  const tokens = settings.bots.flatMap(({ token }): readonly string[] => {
    const secret = token.slice(token.indexOf(":") + 1);
    return secret.length < bareSecretMinChars ? [token] : [token, secret];
  });
  return [...tokens, ...uris, ...uris.flatMap(passwordIn), ...(adminToken === undefined ? [] : [adminToken])];
}

function refuse(text: string): void {
  process.stderr.write(`${text}\n`);
  process.exit(configurationFault);
}

async function flush(output: LineOutput): Promise<void> {
  await Promise.race([output.flushed(), Bun.sleep(flushMaxMs)]);
}

void main();
