/**
 * Every environment variable of botfleet, described once: parsing, `.env.example` and the table in README.md come from here.
 * Texts speak to an operator. A variable that is a secret may be given as a file in `<NAME>_FILE` instead.
 */
import optimization from "./database-optimization.json" with { type: "json" };
import { apiRoot, databaseName, flag, headerSecret, host, moduleName, mongodbUri, oneOf } from "./parse.ts";
import { path, redisUrl, tokenList, wholeNumber } from "./parse.ts";
import type { Parse } from "./parse.ts";

export interface Variable<T, Default extends string | undefined> {
  /** What it does, one line of Markdown. */
  readonly meaning: string;
  /** What `parse` is given where the variable is unset; undefined where being unset is a state of its own. */
  readonly default: Default;
  /** What being unset means, where there is no default. */
  readonly unset: string;
  readonly parse: Parse<T>;
  readonly secret: boolean;
}

function optional<T>(meaning: string, parse: Parse<T>, unset = ""): Variable<T, undefined> {
  return { meaning, default: undefined, unset, parse, secret: false };
}

function secret<T>(meaning: string, parse: Parse<T>, unset = ""): Variable<T, undefined> {
  return { meaning, default: undefined, unset, parse, secret: true };
}

function given<T>(meaning: string, parse: Parse<T>, value: string | number | boolean): Variable<T, string> {
  return { meaning, default: String(value), unset: "", parse, secret: false };
}

/** The longest time a timer can be set to, ms. */
const timerMaxMs = 2_147_483_647;
const milliseconds = (min: number): Parse<number> => wholeNumber(min, timerMaxMs);
const port = wholeNumber(0, 65_535);
const connections = wholeNumber(0, 65_535);
const pool = optimization.pool;

const bots = {
  BOT_TOKENS: secret(
    "The bots to run: their tokens, separated by commas. Each runs `BOT_MODULE` and is named `bot-<id>`. Either this or `BOTS_FILE`.",
    tokenList,
  ),
  BOT_MODULE: given(
    "What the bots of `BOT_TOKENS` do: `referral`, `echo`, or the path of a module of your own, seen from the working directory.",
    moduleName,
    "referral",
  ),
  BOTS_FILE: optional(
    "The bots to run, each with a name, module, server and limits of its own: a JSON file such as `config/bots.example.json`.",
    path,
  ),
  TELEGRAM_API_ROOT: given(
    "The Bot API server; in `BOTS_FILE` a bot's `apiRoot` wins.",
    apiRoot,
    "https://api.telegram.org",
  ),
  TELEGRAM_TRANSPORT: given(
    "How Telegram is talked to: `own` keep-alive sockets, several times cheaper; or `fetch` of Bun, which also takes the proxy of `HTTPS_PROXY`.",
    oneOf("own", "fetch"),
    "own",
  ),
};

const process = {
  PORT: given("Port of the sidecar (`/health`, `/ready`, `/metrics`, `/`); 0 lets the system choose.", port, 3001),
  HOST: given("Address the sidecar listens on.", host, "0.0.0.0"),
  METRICS_PORT: optional("Port of a listener of its own for `/metrics`.", port, "metrics on `PORT`"),
  DATA_DIR: given("Folder of the SQLite inbox and storage. One process at a time.", path, "./data"),
  LOG_LEVEL: given(
    "Least severe level that is logged: `trace`, `debug`, `info`, `warn`, `error` or `fatal`. JSON lines on standard output.",
    oneOf("trace", "debug", "info", "warn", "error", "fatal"),
    "info",
  ),
  LOG_DIR: optional(
    "Folder for log files as well; they rotate at 100 MB and 7 are kept.",
    path,
    "standard output alone",
  ),
  ADMIN_TOKEN: secret("Switches the admin actions of the sidecar on, for whoever sends it.", headerSecret, "off"),
  ENABLE_PERFORMANCE_MONITORING: given("`false`: no histograms and no log of slow commands.", flag, true),
  METRICS_COLLECTION_INTERVAL: given(
    "Period of the costly gauges (server status, sizes), in ms.",
    milliseconds(1_000),
    60_000,
  ),
};

const databases = {
  MONGODB_URI: secret("MongoDB for users and sessions.", mongodbUri, "SQLite in `DATA_DIR`"),
  MONGODB_DATABASE: optional("Its database.", databaseName, "the one in `MONGODB_URI`, else `botfleet`"),
  MONGODB_MAX_POOL_SIZE: given("Most connections to MongoDB.", wholeNumber(1, 65_535), pool.maxPoolSize),
  MONGODB_MIN_POOL_SIZE: given("Connections to MongoDB kept open.", connections, pool.minPoolSize),
  MONGODB_SOCKET_TIMEOUT_MS: given(
    "Silence after which a connection to MongoDB is given up, in ms.",
    milliseconds(100),
    pool.socketTimeoutMS,
  ),
  MONGODB_WAIT_QUEUE_TIMEOUT_MS: given(
    "Longest wait for a free connection to MongoDB, in ms.",
    milliseconds(1),
    pool.waitQueueTimeoutMS,
  ),
  REDIS_URL: secret(
    "Redis for inbox and leases: many instances. `redis://`, `rediss://` or `redis+sentinel://host:26379,host:26379/name/0`.",
    redisUrl,
    "one instance, inbox in `DATA_DIR`",
  ),
  REDIS_CACHE_URL: secret("Redis for the second cache tier.", redisUrl, "the same as `REDIS_URL`"),
  REDIS_ENABLED: optional(
    "`false` switches both off; `true` without a URL is a fault.",
    flag,
    "`true` where a URL is set",
  ),
  REDIS_ALLOW_LOSS: given("`true` accepts an inbox Redis that may evict or keeps nothing on disk.", flag, false),
  REDIS_MAX_CONNECTIONS: given(
    "Most connections to Redis for the cache, subscribing ones included; one more is opened while all have over 1,000 commands in flight. Inbox and leases have four of their own.",
    wholeNumber(1, 65_535),
    500,
  ),
  REDIS_MIN_CONNECTIONS: given("Connections to Redis for the cache opened in the background.", connections, 50),
};

const work = {
  USER_CACHE_SIZE: given(
    "Users kept in memory (first cache tier); 10,000 cost about 5 MB.",
    wholeNumber(1, 50_000_000),
    500_000,
  ),
  USER_CACHE_TTL_MS: given("How long they are kept, in ms.", milliseconds(1), 600_000),
  REDIS_CACHE_TTL_MS: given(
    "How long users are kept in Redis (second cache tier), in ms.",
    milliseconds(1),
    86_400_000,
  ),
  ENABLE_BATCH_PROCESSING: given("`false`: every write to the storage alone.", flag, true),
  BATCH_SIZE: given("Most writes in one batch.", wholeNumber(1, 100_000), 1_000),
  ENABLE_QUERY_BATCHING: given("`false`: every read from the storage alone.", flag, true),
  ENABLE_UPDATE_DEDUPLICATION: given("`false`: an update that Telegram delivers twice is handled twice.", flag, true),
  RATE_LIMIT_ENABLED: given("Limit incoming updates per user in module `referral`.", flag, true),
  RATE_LIMIT_WINDOW_MS: given("Window of that limit, in ms.", milliseconds(1), 60_000),
  RATE_LIMIT_MAX_REQUESTS: given("Updates of one user in a window.", wholeNumber(1, 1_000_000), 100),
};

/** The variables in the order in which they are documented. */
export const sections = [
  { title: "Bots", variables: bots },
  { title: "Process", variables: process },
  { title: "Databases", variables: databases },
  { title: "Cache, batches and limits", variables: work },
] as const;

export const variables = { ...bots, ...process, ...databases, ...work };

export type VariableName = keyof typeof variables;

/** What the environment says: one value a variable, undefined where it is unset and has no default. */
export type Values = {
  readonly [Name in VariableName]: (typeof variables)[Name] extends Variable<infer T, infer Default>
    ? Default extends string
      ? T
      : T | undefined
    : never;
};

export const names = Object.keys(variables) as readonly VariableName[];
