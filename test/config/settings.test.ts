/** What each setting may be. Longer than other files because each variable is one entry. */
import { describe, expect, test } from "bun:test";
import optimization from "../../config/database-optimization.json" with { type: "json" };
import { faultsText } from "../../config/settings.ts";
import type { Settings } from "../../config/settings.ts";
import { names, variables } from "../../config/variables.ts";
import type { VariableName } from "../../config/variables.ts";
import { faultsOf, minimal, settingsOf, tokens } from "./reading.ts";

interface Case {
  /** What else must be set for the variable to show. */
  readonly with?: Readonly<Record<string, string>>;
  readonly pick: (settings: Settings) => unknown;
  readonly default: unknown;
  readonly valid: readonly (readonly [text: string, expected: unknown])[];
  readonly invalid: readonly string[];
}

const mongodb = { MONGODB_URI: "mongodb://127.0.0.1" };
const redis = { REDIS_URL: "redis://127.0.0.1" };
const notNumbers = ["-1", "1.5", "1e3", "0x10", "ten", "1_000", "1,000", "99999999999999999999", "١٢"];
const flags = (pick: Case["pick"], byDefault: boolean): Case => ({
  pick,
  default: byDefault,
  valid: [
    ["true", true],
    ["1", true],
    ["false", false],
    ["0", false],
    [" true ", true],
  ],
  invalid: ["yes", "on", "TRUE", "2", "tru"],
});
const numbers = (pick: Case["pick"], byDefault: number, least: number, most: number): Case => ({
  pick,
  default: byDefault,
  valid: [
    [String(least), least],
    [String(most), most],
  ],
  invalid: [...notNumbers, String(most + 1), ...(least > 0 ? [String(least - 1)] : [])],
});
const redisUrls = [
  "http://h:6379",
  "redis:h",
  "redis:/h",
  "127.0.0.1:6379",
  "redis://",
  "redis://h/x",
  "redis://h /0",
  "redis://:p#w@h",
  "redis://:100%@h",
  "redis://:p%ffw@h",
  "redis+sentinel://one",
  "redis+sentinel://:p%ffw@one/main",
  "redis+sentinel://one:x/main",
  "redis+sentinel:one/main",
  "rediss+sentinel://one/main",
];

const cases: Readonly<Record<VariableName, Case>> = {
  BOT_TOKENS: {
    pick: (settings) => settings.bots.map((bot) => `${bot.id}=${bot.token}`),
    default: [`111=${tokens[0]}`],
    valid: [
      [`${tokens[0]},${tokens[1]}`, [`111=${tokens[0]}`, `222=${tokens[1]}`]],
      [` ${tokens[0]} ,\n${tokens[1]}\n,`, [`111=${tokens[0]}`, `222=${tokens[1]}`]],
      ["7:a", ["7=7:a"]],
    ],
    invalid: [
      ",",
      "abc",
      "123",
      ":abc",
      "123:",
      "0:abc",
      "9999999999999999:abc",
      "bot123:abc",
      "123:a/b",
      `${tokens[0]},x`,
    ],
  },
  BOT_MODULE: {
    pick: (settings) => settings.bots[0]?.module,
    default: "echo",
    valid: [
      ["referral", "referral"],
      ["./bots/shop.ts", "./bots/shop.ts"],
      ["shop.js", "shop.js"],
    ],
    invalid: ["ecko", "Echo", "toString", "__proto__", "./a\u0000.ts"],
  },
  BOTS_FILE: {
    with: { BOT_TOKENS: "" },
    pick: (settings) => settings.bots.map((bot) => bot.name),
    default: [],
    valid: [["/etc/bots.json", ["one"]]],
    invalid: ["/etc/absent.json", "a\nb"],
  },
  TELEGRAM_API_ROOT: {
    pick: (settings) => settings.bots[0]?.apiRoot,
    default: "https://api.telegram.org",
    valid: [
      ["http://127.0.0.1:8081/", "http://127.0.0.1:8081"],
      ["https://proxy.example/telegram//", "https://proxy.example/telegram"],
      ["HTTP://[::1]:80", "http://[::1]"],
    ],
    invalid: [
      "api.telegram.org",
      "ftp://a",
      "http:a",
      "http:/a",
      "https://",
      "https://a?b",
      "https://a#b",
      "https://u:p@a",
      "https://a b",
    ],
  },
  PORT: numbers((settings) => settings.sidecar.port, 3001, 0, 65_535),
  HOST: {
    pick: (settings) => settings.sidecar.host,
    default: "0.0.0.0",
    valid: [
      ["127.0.0.1", "127.0.0.1"],
      ["::1", "::1"],
      ["localhost", "localhost"],
    ],
    invalid: ["http://localhost", "a b", "a/b", "ä"],
  },
  METRICS_PORT: { ...numbers((settings) => settings.sidecar.metricsPort, 0, 0, 65_535), default: undefined },
  DATA_DIR: {
    pick: (settings) => settings.dataDir,
    default: "./data",
    valid: [["/var/lib/botfleet", "/var/lib/botfleet"]],
    invalid: ["a\u0000b", "a\nb"],
  },
  TELEGRAM_TRANSPORT: {
    pick: (settings) => settings.transport,
    default: "own",
    valid: ["own", "fetch"].map((transport) => [transport, transport] as const),
    invalid: ["OWN", "node", "http2"],
  },
  LOG_LEVEL: {
    pick: (settings) => settings.log.level,
    default: "info",
    valid: ["trace", "debug", "info", "warn", "error", "fatal"].map((level) => [level, level] as const),
    invalid: ["INFO", "verbose", "silent"],
  },
  LOG_DIR: {
    pick: (settings) => settings.log.dir,
    default: undefined,
    valid: [["./logs", "./logs"]],
    invalid: ["a\u0007"],
  },
  ADMIN_TOKEN: {
    pick: (settings) => settings.sidecar.adminToken,
    default: undefined,
    valid: [["p4ss:w0rd!", "p4ss:w0rd!"]],
    invalid: ["two words", "zoë", "a\u0001", "x".repeat(1_025)],
  },
  ENABLE_PERFORMANCE_MONITORING: flags((settings) => settings.monitoring.detailed, true),
  METRICS_COLLECTION_INTERVAL: numbers((settings) => settings.monitoring.collectEveryMs, 60_000, 1_000, 2_147_483_647),
  MONGODB_URI: {
    pick: (settings) => settings.mongodb && [settings.mongodb.uri, settings.mongodb.database],
    default: undefined,
    valid: [
      ["mongodb://127.0.0.1", ["mongodb://127.0.0.1", "botfleet"]],
      [
        "mongodb://u:p%40@a:27017,b:27018/shop?replicaSet=rs0",
        ["mongodb://u:p%40@a:27017,b:27018/shop?replicaSet=rs0", "shop"],
      ],
      ["mongodb://[::1]:27017/?tls=true", ["mongodb://[::1]:27017/?tls=true", "botfleet"]],
      ["mongodb+srv://cluster.example/x", ["mongodb+srv://cluster.example/x", "x"]],
    ],
    invalid: [
      "127.0.0.1:27017",
      "http://a",
      "mongodb://",
      "mongodb:a",
      "mongodb://a,/x",
      "mongodb://a/b.c",
      "mongodb://u:p@ss@a",
      "mongodb://u:100%@a",
      "mongodb://u:p%ff@a",
      "mongodb://a b/",
    ],
  },
  MONGODB_DATABASE: {
    with: { MONGODB_URI: "mongodb://127.0.0.1/named" },
    pick: (settings) => settings.mongodb?.database,
    default: "named",
    valid: [["shop_1", "shop_1"]],
    invalid: ["a.b", "a b", "$x", "a/b", "x".repeat(64)],
  },
  MONGODB_MAX_POOL_SIZE: { ...numbers((settings) => settings.mongodb?.maxPoolSize, 1_000, 1, 65_535), with: mongodb },
  MONGODB_MIN_POOL_SIZE: {
    ...numbers((settings) => settings.mongodb?.minPoolSize, 100, 0, 65_535),
    with: { ...mongodb, MONGODB_MAX_POOL_SIZE: "65535" },
  },
  MONGODB_SOCKET_TIMEOUT_MS: {
    ...numbers((settings) => settings.mongodb?.socketTimeoutMs, 30_000, 100, 2_147_483_647),
    with: mongodb,
  },
  MONGODB_WAIT_QUEUE_TIMEOUT_MS: {
    ...numbers((settings) => settings.mongodb?.waitQueueTimeoutMs, 10_000, 1, 2_147_483_647),
    with: mongodb,
  },
  REDIS_URL: {
    pick: (settings) => settings.redis.url,
    default: undefined,
    valid: [
      ["redis://127.0.0.1:6379", "redis://127.0.0.1:6379"],
      ["rediss://user:p%40ss@redis.example/2", "rediss://user:p%40ss@redis.example/2"],
      ["redis://[::1]", "redis://[::1]"],
      ["redis+sentinel://:p%40ss@one:26379,two/main/2", "redis+sentinel://:p%40ss@one:26379,two/main/2"],
    ],
    invalid: redisUrls,
  },
  REDIS_CACHE_URL: {
    with: redis,
    pick: (settings) => settings.redis.cacheUrl,
    default: "redis://127.0.0.1",
    valid: [
      ["redis://cache.example/1", "redis://cache.example/1"],
      ["redis+sentinel://one,two/cache", "redis+sentinel://one,two/cache"],
    ],
    invalid: redisUrls,
  },
  REDIS_ENABLED: {
    ...flags((settings) => settings.redis.url !== undefined, true),
    with: redis,
  },
  REDIS_ALLOW_LOSS: flags((settings) => settings.redis.allowLoss, false),
  REDIS_MAX_CONNECTIONS: numbers((settings) => settings.redis.maxConnections, 500, 1, 65_535),
  REDIS_MIN_CONNECTIONS: {
    ...numbers((settings) => settings.redis.minConnections, 50, 0, 65_535),
    with: { REDIS_MAX_CONNECTIONS: "65535" },
  },
  USER_CACHE_SIZE: numbers((settings) => settings.cache.users, 500_000, 1, 50_000_000),
  USER_CACHE_TTL_MS: numbers((settings) => settings.cache.userMs, 600_000, 1, 2_147_483_647),
  REDIS_CACHE_TTL_MS: numbers((settings) => settings.cache.redisMs, 86_400_000, 1, 2_147_483_647),
  ENABLE_BATCH_PROCESSING: flags((settings) => settings.batches.writes, true),
  BATCH_SIZE: numbers((settings) => settings.batches.writesMax, 1_000, 1, 100_000),
  ENABLE_QUERY_BATCHING: flags((settings) => settings.batches.reads, true),
  ENABLE_UPDATE_DEDUPLICATION: flags((settings) => settings.deduplicate, true),
  RATE_LIMIT_ENABLED: flags((settings) => settings.rateLimit !== undefined, true),
  RATE_LIMIT_WINDOW_MS: numbers((settings) => settings.rateLimit?.windowMs, 60_000, 1, 2_147_483_647),
  RATE_LIMIT_MAX_REQUESTS: numbers((settings) => settings.rateLimit?.maxRequests, 100, 1, 1_000_000),
};

const files = { "/etc/bots.json": JSON.stringify({ bots: [{ name: "one", token: tokens[0], module: "echo" }] }) };

describe("every variable", () => {
  for (const name of names) {
    const { pick, valid, invalid, with: others, default: byDefault } = cases[name];
    const around = { ...minimal, ...others };

    test(`${name} has its default while it is unset or empty`, () => {
      if (name === "BOTS_FILE") return expect(settingsOf(minimal).bots.map((bot) => bot.name)).toEqual(["bot-111"]);
      expect(pick(settingsOf(around))).toEqual(byDefault);
      if (name === "BOT_TOKENS" || name === "BOT_MODULE") return;
      expect(pick(settingsOf({ ...around, [name]: "" }))).toEqual(byDefault);
      expect(pick(settingsOf({ ...around, [name]: " \t" }))).toEqual(byDefault);
    });

    test(`${name} takes each valid text`, () => {
      for (const [text, expected] of valid)
        expect(pick(settingsOf({ ...around, [name]: text }, files))).toEqual(expected);
    });

    test(`${name} is named by the one fault of an invalid text, which says what is right`, () => {
      for (const text of invalid) {
        const faults = faultsOf({ ...around, [name]: text }, files);
        expect([text, faults.length]).toEqual([text, 1]);
        expect(faults[0]).toStartWith(`${name}: `);
        expect(faults[0]?.length).toBeGreaterThan(name.length + 12);
      }
    });
  }
});

describe("secrets from files", () => {
  const secrets = names.filter((name) => variables[name].secret);

  test("are BOT_TOKENS, ADMIN_TOKEN, MONGODB_URI, REDIS_URL and REDIS_CACHE_URL", () => {
    expect(secrets).toEqual(["BOT_TOKENS", "ADMIN_TOKEN", "MONGODB_URI", "REDIS_URL", "REDIS_CACHE_URL"]);
  });

  for (const name of secrets) {
    const { pick, valid, with: others } = cases[name];
    const around = { ...minimal, ...others, [name]: undefined };
    const [text, expected] = valid[0] ?? ["", undefined];

    test(`${name}_FILE gives the content of the file, trimmed`, () => {
      const settings = settingsOf(
        { ...around, [`${name}_FILE`]: "/run/secret" },
        { "/run/secret": `\uFEFF ${text}\r\n` },
      );
      expect(pick(settings)).toEqual(expected);
    });

    test(`${name} and ${name}_FILE together are a fault that names both`, () => {
      const faults = faultsOf({ ...around, [name]: text, [`${name}_FILE`]: "/run/secret" }, { "/run/secret": text });
      expect(faults).toEqual([`${name}: ${name}_FILE is set as well; keep one of them`]);
    });

    test(`${name}_FILE that cannot be read is one fault that names variable, path and reason`, () => {
      const faultOf = (content?: string): readonly string[] =>
        faultsOf(
          { ...around, [`${name}_FILE`]: "/run/secret" },
          content === undefined ? {} : { "/run/secret": content },
        );
      expect(faultOf()).toEqual([`${name}_FILE: /run/secret cannot be read: there is no such file`]);
      expect(faultOf("!EACCES")).toEqual([`${name}_FILE: /run/secret cannot be read: this user may not read it`]);
      expect(faultOf("!EISDIR")).toEqual([`${name}_FILE: /run/secret cannot be read: it is a folder`]);
      expect(faultOf("!EIO")).toEqual([`${name}_FILE: /run/secret cannot be read: EIO`]);
      expect(faultOf(" \n")).toEqual([`${name}_FILE: /run/secret is empty`]);
    });
  }

  test("a variable that is no secret has no _FILE form", () => {
    expect(settingsOf({ ...minimal, PORT_FILE: "/run/port" }).sidecar.port).toBe(3001);
  });
});

describe("bots from BOT_TOKENS", () => {
  test("are named after their id, run BOT_MODULE and have the default limits", () => {
    const { bots } = settingsOf({
      BOT_TOKENS: tokens.join(","),
      BOT_MODULE: "./shop.ts",
      TELEGRAM_API_ROOT: "http://h/",
    });
    expect(bots.map((bot) => bot.name)).toEqual(["bot-111", "bot-222", "bot-333"]);
    expect({ ...bots[2] } as object).toEqual({
      name: "bot-333",
      id: 333,
      token: tokens[2],
      module: "./shop.ts",
      apiRoot: "http://h",
      limits: { engine: "built-in", chatPerSecond: 1, chatBurst: 5, groupPerMinute: 20, broadcastPerSecond: 30 },
    });
  });

  test("run module referral unless BOT_MODULE says otherwise", () => {
    expect(settingsOf({ BOT_TOKENS: tokens[0] }).bots[0]?.module).toBe("referral");
  });

  test("are each given once: a second token of the same bot is described by its place", () => {
    expect(faultsOf({ BOT_TOKENS: `${tokens[0]},${tokens[1]},${tokens[0]}` })).toEqual([
      "BOT_TOKENS: token 3 belongs to the same bot as token 1; give each bot once",
    ]);
    expect(faultsOf({ BOT_TOKENS: `111:a,0111:b` })[0]).toContain("token 2 belongs to the same bot as token 1");
  });

  test("are checked all in one go, wrong ones by their place", () => {
    expect(faultsOf({ BOT_TOKENS: `x,${tokens[0]},y` })).toEqual([
      "BOT_TOKENS: token 1 of 3 has not the form <number>:<letters, digits, _ or -> in which @BotFather gives it; " +
        "token 3 of 3 has not the form <number>:<letters, digits, _ or -> in which @BotFather gives it",
    ]);
  });
});

describe("settings together", () => {
  test("nothing configured is one fault that names BOT_TOKENS and BOTS_FILE", () => {
    const faults = faultsOf({});
    expect(faults).toHaveLength(1);
    expect(faults[0]).toStartWith("BOT_TOKENS, BOTS_FILE: no bot is configured");
    expect(faultsOf({ BOT_TOKENS: "", BOTS_FILE: "  " })).toEqual(faults);
  });

  test("BOT_TOKENS and BOTS_FILE together are a fault", () => {
    const both = { ...minimal, BOTS_FILE: "/etc/bots.json" };
    expect(faultsOf(both, files)).toEqual(["BOT_TOKENS, BOTS_FILE: both are set; keep one of them"]);
    const fromFiles = { BOT_TOKENS_FILE: "/run/tokens", BOTS_FILE: "/etc/bots.json" };
    expect(faultsOf(fromFiles, { ...files, "/run/tokens": tokens[0] })).toHaveLength(1);
  });

  test("REDIS_URL without MONGODB_URI is a fault where a module keeps users, and only there", () => {
    const two = (module: string): Record<string, string> => ({ BOT_TOKENS: tokens[0], BOT_MODULE: module, ...redis });
    expect(faultsOf(two("referral"))).toHaveLength(1);
    expect(faultsOf(two("referral"))[0]).toStartWith("MONGODB_URI: must be set where REDIS_URL is");
    expect(faultsOf(two("echo"))).toEqual([]);
    expect(faultsOf(two("./referral.ts"))).toEqual([]);
    expect(faultsOf({ ...two("referral"), ...mongodb })).toEqual([]);
    expect(faultsOf({ ...two("referral"), REDIS_ENABLED: "false" })).toEqual([]);
    const cacheOnly = { BOT_TOKENS: tokens[0], REDIS_CACHE_URL: "redis://cache" };
    expect(faultsOf(cacheOnly)).toEqual([]);
    const bots = [
      { name: "one", token: tokens[0], module: "echo" },
      { name: "two", token: tokens[1], module: "referral" },
    ];
    const mixed = { "/etc/bots.json": JSON.stringify({ bots }) };
    expect(faultsOf({ BOTS_FILE: "/etc/bots.json", ...redis }, mixed)[0]).toContain("module referral");
  });

  test("REDIS_ENABLED=true without a URL is a fault; either URL is enough", () => {
    expect(faultsOf({ ...minimal, REDIS_ENABLED: "true" })[0]).toStartWith(
      "REDIS_ENABLED: is true, but neither REDIS_URL nor REDIS_CACHE_URL",
    );
    expect(faultsOf({ ...minimal, ...redis, REDIS_ENABLED: "true" })).toEqual([]);
    expect(faultsOf({ ...minimal, REDIS_CACHE_URL: "redis://c", REDIS_ENABLED: "true" })).toEqual([]);
  });

  test("REDIS_ENABLED=false switches both off", () => {
    const off = { ...minimal, ...redis, REDIS_CACHE_URL: "redis://c", REDIS_ENABLED: "false" };
    expect(settingsOf(off).redis).toMatchObject({ url: undefined, cacheUrl: undefined });
  });

  test("REDIS_CACHE_URL alone leaves inbox and leases to one instance", () => {
    const { redis: found } = settingsOf({ ...minimal, REDIS_CACHE_URL: "redis://c" });
    expect(found).toMatchObject({ url: undefined, cacheUrl: "redis://c" });
  });

  test("a minimum above its maximum is a fault if it was asked for, else it gives way", () => {
    expect(faultsOf({ ...minimal, MONGODB_MIN_POOL_SIZE: "2000" })).toEqual([
      "MONGODB_MIN_POOL_SIZE: is above MONGODB_MAX_POOL_SIZE, which is 1000",
    ]);
    expect(faultsOf({ ...minimal, REDIS_MIN_CONNECTIONS: "9", REDIS_MAX_CONNECTIONS: "8" })).toHaveLength(1);
    expect(settingsOf({ ...minimal, ...mongodb, MONGODB_MAX_POOL_SIZE: "10" }).mongodb?.minPoolSize).toBe(10);
    expect(settingsOf({ ...minimal, REDIS_MAX_CONNECTIONS: "8" }).redis.minConnections).toBe(8);
  });

  test("METRICS_PORT equal to PORT is a fault, unless the system chooses both", () => {
    expect(faultsOf({ ...minimal, METRICS_PORT: "3001" })[0]).toStartWith("METRICS_PORT: is the same as PORT");
    expect(faultsOf({ ...minimal, PORT: "0", METRICS_PORT: "0" })).toEqual([]);
  });

  test("numbers for MongoDB come from database-optimization.json where the environment has none", () => {
    const { mongodb: found } = settingsOf({ ...minimal, ...mongodb });
    expect(found).toMatchObject({
      maxPoolSize: optimization.pool.maxPoolSize,
      minPoolSize: optimization.pool.minPoolSize,
      socketTimeoutMs: optimization.pool.socketTimeoutMS,
      waitQueueTimeoutMs: optimization.pool.waitQueueTimeoutMS,
    });
  });

  test("RATE_LIMIT_ENABLED=false leaves no limit", () => {
    expect(settingsOf({ ...minimal, RATE_LIMIT_ENABLED: "false" }).rateLimit).toBeUndefined();
  });

  test("variables that botfleet does not know are left alone", () => {
    expect(faultsOf({ ...minimal, PATH: "/bin", BOT_TOKEN_NOTE: "x", toString: "y" })).toEqual([]);
  });
});

test("all faults are told in one go, and the text for exit 78 holds each on a line of its own", () => {
  const faults = faultsOf({ BOT_TOKENS: "x", PORT: "y", REDIS_URL: "z", LOG_LEVEL: "w", ENABLE_QUERY_BATCHING: "v" });
  expect(faults.map((fault) => fault.split(":")[0])).toEqual([
    "BOT_TOKENS",
    "PORT",
    "LOG_LEVEL",
    "REDIS_URL",
    "ENABLE_QUERY_BATCHING",
    "MONGODB_URI",
  ]);
  const lines = faultsText(faults).split("\n");
  expect(lines[0]).toBe("botfleet cannot start: 6 settings are wrong.");
  expect(lines.slice(1, -1)).toEqual(faults.map((fault) => `  - ${fault}`));
  expect(faultsText(["A: b"]).split("\n")[0]).toBe("botfleet cannot start: 1 setting is wrong.");
});
