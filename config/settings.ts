/**
 * The environment as settings. Everything is checked before anything starts, and all faults are told in one go: an operator who
 * repairs a deployment gets one list, not one error a start. What each variable means stands in `variables.ts`.
 */
import { botIdOf } from "../src/ids.ts";
import { type Compression, readCompression } from "./compression.ts";
import optimization from "./database-optimization.json" with { type: "json" };
import { defaultLimits, readBotsFile } from "./bots-file.ts";
import type { BotSettings } from "./bots-file.ts";
import { contentOf, isGiven, secretOf, shownPath, textOf } from "./environment.ts";
import type { Environment, ReadFile } from "./environment.ts";
import { usesStorage } from "./parse.ts";
import { names, variables } from "./variables.ts";
import type { Values, VariableName } from "./variables.ts";

export interface Settings {
  /** At least one; names and ids differ. */
  readonly bots: readonly BotSettings[];
  readonly sidecar: {
    readonly host: string;
    /** 0: the system chooses. */
    readonly port: number;
    /** Undefined: `/metrics` is answered on `port`. */
    readonly metricsPort: number | undefined;
    /** Undefined: admin actions are off. */
    readonly adminToken: string | undefined;
  };
  readonly transport: Values["TELEGRAM_TRANSPORT"];
  readonly dataDir: string;
  readonly log: {
    readonly level: Values["LOG_LEVEL"];
    /** Undefined: standard output alone. */
    readonly dir: string | undefined;
  };
  readonly monitoring: {
    /** False: no histograms, no log of slow commands. */
    readonly detailed: boolean;
    readonly collectEveryMs: number;
  };
  /** Undefined: SQLite. */
  readonly mongodb:
    | (Compression & {
        readonly uri: string;
        readonly database: string;
        readonly maxPoolSize: number;
        readonly minPoolSize: number;
        readonly socketTimeoutMs: number;
        readonly waitQueueTimeoutMs: number;
      })
    | undefined;
  readonly redis: {
    /** For inbox and leases. Undefined: one instance. */
    readonly url: string | undefined;
    /** For the second cache tier. Undefined: there is none. */
    readonly cacheUrl: string | undefined;
    readonly allowLoss: boolean;
    readonly maxConnections: number;
    readonly minConnections: number;
  };
  readonly cache: { readonly users: number; readonly userMs: number; readonly redisMs: number };
  readonly batches: {
    /** False: every write alone. */
    readonly writes: boolean;
    readonly writesMax: number;
    /** False: every read alone. */
    readonly reads: boolean;
  };
  /** False: an update delivered twice is two entries of the inbox. */
  readonly deduplicate: boolean;
  /** Undefined: incoming updates are not limited. */
  readonly rateLimit: { readonly windowMs: number; readonly maxRequests: number } | undefined;
}

/**
 * Reads and checks every setting. Each fault names its variable and, for a file, its path and field, says what is wrong and never
 * holds a secret. No faults: the settings are complete.
 */
export function readSettings(
  env: Environment,
  readFile: ReadFile,
): { readonly settings: Settings } | { readonly faults: readonly string[] } {
  const faults: string[] = [];
  const values = readValues(env, readFile, faults);
  const bots = readBots(values, env, readFile, faults);
  checkTogether(values, env, bots, faults);
  // Without faults no value is absent but those that may be.
  const compression = readCompression(optimization);
  if ("wrong" in compression) faults.push(`config/database-optimization.json: ${compression.wrong}`);
  if (faults.length > 0 || "wrong" in compression) return { faults };
  return { settings: settingsOf(values as Values, bots, compression.value) };
}

/** What is printed before exit 78. */
export function faultsText(faults: readonly string[]): string {
  const count = faults.length === 1 ? "1 setting is" : `${faults.length} settings are`;
  const lines = faults.map((fault) => `  - ${fault}`);
  return [
    `botfleet cannot start: ${count} wrong.`,
    ...lines,
    "README.md and .env.example describe every setting.",
  ].join("\n");
}

/** One value a variable; absent where it is unset, and where it is wrong. */
function readValues(env: Environment, readFile: ReadFile, faults: string[]): Partial<Values> {
  const values: Partial<Record<VariableName, unknown>> = {};
  for (const name of names) {
    const variable = variables[name];
    const found = variable.secret ? secretOf(env, readFile, name) : { value: textOf(env, name) };
    if ("fault" in found) {
      faults.push(found.fault);
      continue;
    }
    const text = found.value ?? variable.default;
    if (text === undefined) continue;
    const parsed = variable.parse(text);
    if ("value" in parsed) values[name] = parsed.value;
    else faults.push(`${name}: ${found.value === undefined ? "unset, and its default " : ""}${parsed.wrong}`);
  }
  return values as Partial<Values>;
}

function readBots(
  values: Partial<Values>,
  env: Environment,
  readFile: ReadFile,
  faults: string[],
): readonly BotSettings[] {
  const fromFile = textOf(env, "BOTS_FILE") !== undefined;
  const fromTokens = isGiven(env, "BOT_TOKENS");
  if (fromFile && fromTokens) faults.push("BOT_TOKENS, BOTS_FILE: both are set; keep one of them");
  if (!fromFile && !fromTokens) {
    faults.push(
      "BOT_TOKENS, BOTS_FILE: no bot is configured; set BOT_TOKENS to the tokens, or BOTS_FILE to a JSON file of bots",
    );
  }
  const { BOTS_FILE: path, BOT_MODULE: module, TELEGRAM_API_ROOT: apiRoot = "" } = values;
  if (path !== undefined) return botsIn(path, apiRoot, env, readFile, faults);
  return (values.BOT_TOKENS ?? []).map((token) => {
    const id = botIdOf(token);
    return { name: `bot-${id}`, id, token, module: module ?? "", apiRoot, limits: defaultLimits };
  });
}

function botsIn(
  path: string,
  apiRoot: string,
  env: Environment,
  readFile: ReadFile,
  faults: string[],
): readonly BotSettings[] {
  const content = contentOf(readFile, path);
  if ("wrong" in content) {
    faults.push(`BOTS_FILE: ${content.wrong}`);
    return [];
  }
  return readBotsFile(content.value, {
    apiRoot,
    secret: (name, shown) => secretOf(env, readFile, name, shown),
    fault: (field, wrong) => faults.push(`BOTS_FILE: ${shownPath(path)}: ${field === "" ? "" : `${field}: `}${wrong}`),
  });
}

/** Rules over several settings. */
function checkTogether(
  values: Partial<Values>,
  env: Environment,
  bots: readonly BotSettings[],
  faults: string[],
): void {
  const redisGiven = isGiven(env, "REDIS_URL");
  if (values.REDIS_ENABLED === true && !redisGiven && !isGiven(env, "REDIS_CACHE_URL")) {
    faults.push(
      "REDIS_ENABLED: is true, but neither REDIS_URL nor REDIS_CACHE_URL is set; set one, or leave REDIS_ENABLED out",
    );
  }
  const modules = isGiven(env, "BOT_TOKENS") ? [values.BOT_MODULE ?? ""] : bots.map((bot) => bot.module);
  const stateful = modules.find(usesStorage);
  if (redisGiven && values.REDIS_ENABLED !== false && !isGiven(env, "MONGODB_URI") && stateful !== undefined) {
    faults.push(
      `MONGODB_URI: must be set where REDIS_URL is, since module ${stateful} keeps users and each instance would have its own; set it, or unset REDIS_URL`,
    );
  }
  notAbove(values, env, "MONGODB_MIN_POOL_SIZE", "MONGODB_MAX_POOL_SIZE", faults);
  notAbove(values, env, "REDIS_MIN_CONNECTIONS", "REDIS_MAX_CONNECTIONS", faults);
  if (values.METRICS_PORT !== undefined && values.METRICS_PORT !== 0 && values.METRICS_PORT === values.PORT) {
    faults.push("METRICS_PORT: is the same as PORT; give it another one, or unset it to have /metrics on PORT");
  }
}

type Minimum = "MONGODB_MIN_POOL_SIZE" | "REDIS_MIN_CONNECTIONS";
type Maximum = "MONGODB_MAX_POOL_SIZE" | "REDIS_MAX_CONNECTIONS";

/** A minimum that was not asked for gives way to the maximum (`settingsOf`); one that was must fit. */
function notAbove(values: Partial<Values>, env: Environment, least: Minimum, most: Maximum, faults: string[]): void {
  const [min, max] = [values[least], values[most]];
  if (min === undefined || max === undefined || min <= max || textOf(env, least) === undefined) return;
  faults.push(`${least}: is above ${most}, which is ${max}`);
}

function settingsOf(values: Values, bots: readonly BotSettings[], compression: Compression): Settings {
  const redisOn = values.REDIS_ENABLED !== false;
  const url = redisOn ? values.REDIS_URL : undefined;
  return {
    bots,
    sidecar: {
      host: values.HOST,
      port: values.PORT,
      metricsPort: values.METRICS_PORT,
      adminToken: values.ADMIN_TOKEN,
    },
    transport: values.TELEGRAM_TRANSPORT,
    dataDir: values.DATA_DIR,
    log: { level: values.LOG_LEVEL, dir: values.LOG_DIR },
    monitoring: {
      detailed: values.ENABLE_PERFORMANCE_MONITORING,
      collectEveryMs: values.METRICS_COLLECTION_INTERVAL,
    },
    mongodb: values.MONGODB_URI && {
      uri: values.MONGODB_URI.uri,
      database: values.MONGODB_DATABASE ?? values.MONGODB_URI.database ?? "botfleet",
      ...compression,
      maxPoolSize: values.MONGODB_MAX_POOL_SIZE,
      minPoolSize: Math.min(values.MONGODB_MIN_POOL_SIZE, values.MONGODB_MAX_POOL_SIZE),
      socketTimeoutMs: values.MONGODB_SOCKET_TIMEOUT_MS,
      waitQueueTimeoutMs: values.MONGODB_WAIT_QUEUE_TIMEOUT_MS,
    },
    redis: {
      url,
      cacheUrl: redisOn ? (values.REDIS_CACHE_URL ?? url) : undefined,
      allowLoss: values.REDIS_ALLOW_LOSS,
      maxConnections: values.REDIS_MAX_CONNECTIONS,
      minConnections: Math.min(values.REDIS_MIN_CONNECTIONS, values.REDIS_MAX_CONNECTIONS),
    },
    cache: { users: values.USER_CACHE_SIZE, userMs: values.USER_CACHE_TTL_MS, redisMs: values.REDIS_CACHE_TTL_MS },
    batches: {
      writes: values.ENABLE_BATCH_PROCESSING,
      writesMax: values.BATCH_SIZE,
      reads: values.ENABLE_QUERY_BATCHING,
    },
    deduplicate: values.ENABLE_UPDATE_DEDUPLICATION,
    rateLimit: values.RATE_LIMIT_ENABLED
      ? { windowMs: values.RATE_LIMIT_WINDOW_MS, maxRequests: values.RATE_LIMIT_MAX_REQUESTS }
      : undefined,
  };
}
