/**
 * Who may import whom. Imports point one way: main → fleet → pipeline, poller → ports → ids. Everything that may be used is listed;
 * types count like values. Longer than other files because the tables are the point.
 */
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { importsOf, isBarrel, ringIn, workAtImport } from "./support/imports.ts";
import type { SourceFile } from "./support/imports.ts";

interface Part {
  /** Globs of its files. A file belongs to the first part that matches. */
  readonly files: readonly string[];
  /** Parts that it may import besides itself. */
  readonly uses: readonly string[];
}

/** What every part may lean on. */
const ground = ["ids", "clock", "faults", "log"];

/** From the ground up. A new file goes into the part whose job it shares, or into a new part with the least it needs. */
const parts: Readonly<Record<string, Part>> = {
  ids: { files: ["src/ids.ts"], uses: [] },
  clock: { files: ["src/clock.ts"], uses: [] },
  faults: { files: ["src/faults.ts"], uses: [] },
  log: { files: ["src/log.ts"], uses: [] },
  /** Back-pressure: what the pipeline has room for, and what the poller asks before it polls. */
  room: { files: ["src/room.ts"], uses: ["ids", "clock"] },
  signals: { files: ["src/abort-listeners.ts"], uses: [] },
  attempts: { files: ["src/attempts.ts"], uses: ["ids"] },

  "leases port": { files: ["src/leases/leases.ts", "src/leases/fleet-view.ts"], uses: ["ids"] },
  "inbox port": { files: ["src/inbox/inbox.ts"], uses: ["ids", "leases port"] },
  /** The user and what changes it: pure, known to everybody who handles users. */
  domain: {
    files: [
      "src/users/user.ts",
      "src/users/outcome.ts",
      "src/users/operations.ts",
      "src/users/users.ts",
      "src/users/check-user.ts",
    ],
    uses: ["ids", "faults"],
  },
  "storage port": { files: ["src/storage/store.ts", "src/storage/session-store.ts"], uses: ["ids", "domain"] },
  "sessions port": { files: ["src/sessions/port.ts"], uses: [] },
  "cache port": { files: ["src/cache/tier.ts"], uses: ["ids", "domain"] },
  "bot contract": { files: ["src/bots/bot.ts"], uses: ["ids", "domain", "sessions port"] },

  "redis address": { files: ["src/redis/address.ts"], uses: ["faults"] },
  /** The Redis of the inbox and the leases, and how that of the cache is connected to. */
  redis: { files: ["src/redis/*.ts"], uses: ["clock", "faults", "redis address"] },
  leases: { files: ["src/leases/*.ts"], uses: [...ground, "redis", "redis address", "leases port"] },
  /** What the files of SQLite share: their format, their damage, the thread that owns one. */
  sqlite: { files: ["src/sqlite/*.ts"], uses: ["clock", "faults"] },
  inbox: {
    files: ["src/inbox/*.ts"],
    uses: [...ground, "sqlite", "redis", "redis address", "inbox port", "leases port"],
  },
  sessions: {
    files: ["src/sessions/*.ts"],
    uses: [...ground, "attempts", "sessions port", "storage port", "cache port"],
  },
  users: { files: ["src/users/*.ts"], uses: [...ground, "attempts", "domain", "storage port", "cache port"] },
  cache: {
    files: ["src/cache/*.ts"],
    uses: [...ground, "redis", "redis address", "domain", "storage port", "cache port"],
  },
  storage: { files: ["src/storage/*.ts"], uses: [...ground, "sqlite", "domain", "storage port"] },
  telegram: { files: ["src/telegram/*.ts"], uses: [...ground, "signals", "attempts"] },

  "bot modules": {
    files: ["src/bots/echo.ts", "src/bots/referral/**/*.ts"],
    uses: [...ground, "bot contract", "domain"],
  },
  bots: {
    files: ["src/bots/*.ts"],
    uses: [...ground, "signals", "attempts", "bot contract", "domain", "bot modules", "telegram"],
  },

  pipeline: {
    files: [
      "src/pipeline.ts",
      "src/pipeline-*.ts",
      "src/lanes.ts",
      "src/lane-*.ts",
      "src/attempt-run.ts",
      "src/bodies.ts",
      "src/expiry.ts",
      "src/verdict.ts",
      "src/work.ts",
    ],
    uses: [...ground, "signals", "attempts", "room", "inbox port", "leases port"],
  },
  poller: {
    files: ["src/poller.ts", "src/polling.ts", "src/poll-*.ts", "src/poller-*.ts"],
    uses: [...ground, "signals", "room", "inbox port", "leases port", "telegram"],
  },
  fleet: {
    files: ["src/fleet.ts", "src/fleet-*.ts"],
    uses: [
      ...ground,
      "signals",
      "attempts",
      "room",
      "inbox port",
      "leases port",
      "bot contract",
      "bots",
      "telegram",
      "pipeline",
      "poller",
    ],
  },

  /** Counts and shows what the others tell: it knows their words (types), never their code. */
  ops: {
    files: ["src/ops/*.ts", "src/ops/page/*.ts"],
    uses: [...ground, "inbox port", "leases port", "pipeline", "poller", "telegram"],
  },
  /** A server that stands alone: nothing of the runner, so that it can judge the runner. */
  simulator: { files: ["src/simulator/*.ts"], uses: ["ids", "clock"] },
  config: { files: ["config/*.ts"], uses: ["ids", "redis address"] },
  main: {
    files: ["src/main.ts", "src/main-*.ts"],
    uses: [
      ...ground,
      "signals",
      "attempts",
      "room",
      "leases port",
      "inbox port",
      "storage port",
      "cache port",
      "domain",
      "bot contract",
      "leases",
      "inbox",
      "sessions",
      "users",
      "cache",
      "storage",
      "telegram",
      "bots",
      "pipeline",
      "poller",
      "fleet",
      "ops",
      "config",
    ],
  },
  cli: {
    files: ["src/cli/*.ts"],
    uses: [
      ...ground,
      "signals",
      "simulator",
      "ops",
      "config",
      "inbox port",
      "inbox",
      "domain",
      "storage port",
      "storage",
      "telegram",
    ],
  },
};

/** Which files know a library. What is not listed here is not used in src/ or config/. */
const libraries: Readonly<Record<string, readonly string[]>> = {
  grammy: ["src/bots/*.ts", "src/bots/referral/*.ts", "src/telegram/*.ts"],
  "grammy/types": [
    "src/ids.ts",
    "src/bots/*.ts",
    "src/bots/referral/*.ts",
    "src/telegram/*.ts",
    "src/poll*.ts",
    "src/fleet*.ts",
  ],
  "@grammyjs/runner": ["src/poller.ts", "src/polling.ts"],
  "@grammyjs/transformer-throttler": ["src/telegram/*.ts"],
  "bun:sqlite": ["src/sqlite/*.ts", "src/inbox/*.ts", "src/storage/sqlite*.ts"],
  "@sinclair/typebox": ["src/users/check-user.ts"],
  "@sinclair/typebox/compiler": ["src/users/check-user.ts"],
  mongodb: ["src/storage/mongodb-connection.ts", "src/storage/mongodb-errors.ts"],
  ioredis: ["src/redis/connection.ts", "src/redis/ioredis.ts", "src/cache/redis.ts"],
  "lru-cache": ["src/cache/memory.ts", "src/cache/codes.ts"],
  "@noble/hashes/sha3.js": ["src/bots/referral/wallet-evm.ts"],
  "@scure/base": ["src/bots/referral/wallet-solana.ts"],
  "cli-progress": ["src/cli/users-seed.ts"],
  dataloader: ["src/cache/storage.ts", "src/inbox/redis-reads.ts", "src/sessions/sessions.ts"],
  elysia: ["src/ops/*.ts"],
  "prom-client": ["src/ops/*.ts"],
  pino: ["src/ops/log.ts"],
  /** The version. */
  "package.json": ["src/main.ts"],
  "bun:ffi": ["src/ops/watchdog-worker.ts", "src/inbox/*.ts", "src/leases/*.ts"],
};

/** Files that are started as a program or a worker: they may do work when they are loaded, and nobody imports them for it. */
const entries = [
  "src/main.ts",
  "src/cli/*.ts",
  "src/simulator/main.ts",
  "src/**/*-worker.ts",
  "config/settings-docs.ts",
];

const root = join(import.meta.dir, "..");
const matches = (globs: readonly string[], path: string): boolean => globs.some((glob) => new Glob(glob).match(path));
const partOf = (path: string): string | undefined =>
  Object.entries(parts).find(([, part]) => matches(part.files, path))?.[0];
const isOwn = (specifier: string): boolean => /^(?:src|config)\//.test(specifier);

const files: readonly SourceFile[] = [...new Glob("{src,config}/**/*.ts").scanSync(root)]
  .map((path) => path.replaceAll("\\", "/"))
  .toSorted()
  .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
const graph = new Map(files.map((file) => [file.path, importsOf(file, root)]));

/** Why `from` may not import `to`; undefined where it may. */
function objection(from: string, to: string): string | undefined {
  if (/^(?:node:|bun$|bun:test$)/.test(to))
    return to === "bun:test" ? `${from} imports bun:test, which only tests do` : undefined;
  if (to.startsWith(".")) return `${from} imports ${to}, and there is no such file`;
  if (!isOwn(to)) {
    const known = libraries[to];
    if (known === undefined)
      return `${from} imports ${to}: list it under "libraries" in test/architecture.test.ts with the files that may know it`;
    return matches(known, from) ? undefined : `${from} imports ${to}, which only ${known.join(", ")} may know`;
  }
  const [part, other] = [partOf(from), partOf(to)];
  if (part === undefined || other === undefined || part === other || to.endsWith(".json")) return undefined;
  return parts[part]?.uses.includes(other) === true
    ? undefined
    : `${from} (${part}) imports ${to} (${other}), which ${part} may not use`;
}

describe("the architecture", () => {
  test("has a part for every file", () => {
    const homeless = files.filter((file) => partOf(file.path) === undefined).map((file) => file.path);
    const advice = homeless.map(
      (path) => `${path}: add it to a part of the table "parts" in test/architecture.test.ts`,
    );
    expect(advice).toEqual([]);
  });

  test("lets every import through its table", () => {
    const objections = [...graph].flatMap(([from, imports]) => imports.map((to) => objection(from, to)));
    expect(objections.filter((each) => each !== undefined)).toEqual([]);
  });

  test("sees every import that the transpiler sees", () => {
    const transpiler = new Bun.Transpiler({ loader: "ts" });
    const missed: string[] = [];
    for (const file of files) {
      const values = new Set(transpiler.scanImports(file.text).map((each) => each.path)).size;
      if ((graph.get(file.path)?.length ?? 0) < values) missed.push(file.path);
    }
    expect(missed).toEqual([]);
  });

  test("is a one-way street: no ring of imports, types included", () => {
    expect(ringIn(graph)).toBeUndefined();
  });

  test("has no ring in its table either", () => {
    const uses = new Map(Object.entries(parts).map(([name, part]) => [name, part.uses]));
    expect(ringIn(uses)).toBeUndefined();
    for (const [, used] of uses) for (const name of used) expect(Object.keys(parts)).toContain(name);
  });

  test("has no file that only passes on what others export", () => {
    expect(files.filter(isBarrel).map((file) => file.path)).toEqual([]);
  });

  test("does nothing and holds no state when a file is loaded", () => {
    const busy = files
      .filter((file) => !matches(entries, file.path))
      .flatMap((file) => workAtImport(file).map((line) => `${file.path}: ${line}`));
    expect(busy).toEqual([]);
  });

  test("gives main and the programs of cli alone the configuration", () => {
    const readers = [...graph]
      .filter(([, imports]) => imports.some((each) => each.startsWith("config/")))
      .map(([path]) => path);
    expect(readers.filter((path) => !/^(?:config\/|src\/cli\/|src\/main(?:-[a-z]+)?\.ts$)/.test(path))).toEqual([]);
  });

  test("lets nobody import a program", () => {
    const programs = entries.filter((glob) => !glob.includes("worker"));
    const importers = [...graph].flatMap(([from, imports]) =>
      imports.filter((to) => matches(programs, to)).map((to) => `${from} imports ${to}`),
    );
    expect(importers.filter((each) => !each.startsWith("src/cli/"))).toEqual([]);
  });

  test("keeps MongoDB in two files, Redis in three", () => {
    expect(libraries["mongodb"]).toHaveLength(2);
    expect(libraries["ioredis"]).toHaveLength(3);
  });

  test("has no file above 300 lines that does not say why in its first comment", () => {
    const long = files.filter((file) => file.text.trimEnd().split("\n").length > 300);
    const silent = long.filter((file) => !/longer than/i.test(file.text.slice(0, file.text.indexOf("*/"))));
    expect(silent.map((file) => file.path)).toEqual([]);
  });
});

describe("the rules notice", () => {
  const file = (path: string, text: string): SourceFile => ({ path, text });

  test("imports of every form", () => {
    const text = [
      'import type { A } from "./ids.ts";',
      'import {\n  b,\n  type C,\n} from "elysia";',
      'import "pino";',
      'export * from "mongodb";',
      'export type { D } from "ioredis";',
      'const load = () => import("dataloader");',
      'type E = import("lru-cache").LRUCache<string, string>;',
      '// import { f } from "grammy";',
      '/**\n * import { g } from "grammy";\n */',
    ].join("\n");
    expect(importsOf(file("src/x.ts", text), root)).toEqual([
      "src/ids.ts",
      "elysia",
      "mongodb",
      "ioredis",
      "pino",
      "dataloader",
      "lru-cache",
    ]);
  });

  test("imports against the table", () => {
    const forbidden = [
      ["src/bots/echo.ts", "src/inbox/inbox.ts"],
      ["src/bots/echo.ts", "src/telegram/client.ts"],
      ["src/bots/referral/daily.ts", "src/storage/store.ts"],
      ["src/ids.ts", "src/clock.ts"],
      ["src/inbox/sqlite.ts", "src/pipeline.ts"],
      ["src/inbox/sqlite.ts", "src/leases/local.ts"],
      ["src/lanes.ts", "src/inbox/sqlite.ts"],
      ["src/pipeline.ts", "src/poller.ts"],
      ["src/pipeline.ts", "src/telegram/client.ts"],
      ["src/poller.ts", "src/pipeline.ts"],
      ["src/fleet.ts", "src/inbox/sqlite.ts"],
      ["src/fleet.ts", "src/main.ts"],
      ["src/simulator/server.ts", "src/pipeline.ts"],
      ["src/ops/sidecar.ts", "src/fleet.ts"],
      ["src/ops/sidecar.ts", "config/limits.ts"],
      ["src/telegram/client.ts", "config/limits.ts"],
      ["src/pipeline.ts", "grammy"],
      ["src/ops/sidecar.ts", "pino"],
      ["src/fleet.ts", "bun:sqlite"],
      ["src/fleet.ts", "left-pad"],
      ["src/fleet.ts", "bun:test"],
      ["src/fleet.ts", "./absent.ts"],
    ] as const;
    for (const [from, to] of forbidden) expect(objection(from, to)).toStartWith(`${from} `);
    expect(objection("src/poller.ts", "src/telegram/client.ts")).toBeUndefined();
    expect(objection("src/inbox/sqlite.ts", "bun:sqlite")).toBeUndefined();
  });

  test("a ring", () => {
    const ring = new Map([
      ["a", ["b", "c"]],
      ["b", ["c"]],
      ["c", ["d", "b"]],
    ]);
    expect(ringIn(ring)).toEqual(["b", "c", "b"]);
    expect(ringIn(new Map([["a", ["b"]]]))).toBeUndefined();
  });

  test("a barrel, and not a file that also declares something", () => {
    expect(isBarrel(file("a.ts", 'export * from "./b.ts";\nexport { c } from "./c.ts";\n'))).toBe(true);
    expect(isBarrel(file("a.ts", 'import { b } from "./b.ts";\nexport type { b };\n'))).toBe(true);
    expect(isBarrel(file("a.ts", 'export { b } from "./b.ts";\nexport const c = 1;\n'))).toBe(false);
    expect(isBarrel(file("a.ts", "export const c = 1;\n"))).toBe(false);
  });

  test("work and state at import", () => {
    for (const line of [
      "let count = 0;",
      "export let open = true;",
      "start();",
      "await start();",
      "if (import.meta.main) start();",
      "for (const a of []) a;",
      "const seen = new Map<string, number>();",
      "export const all = new Set();",
      "const server = new Server();",
      "const server = createServer();",
      "const port = process.env['PORT'];",
      "const value = await load();",
    ]) {
      expect([line, workAtImport(file("a.ts", line)).length]).toEqual([line, 1]);
    }
  });

  test("that declarations are no work", () => {
    const text = [
      'import { a } from "./a.ts";',
      "const kinds = new Set(['a', 'b']);",
      "const form = new RegExp(`a\nlet b = 1;\n${[1].map((n) => `${n}\nlet c = 2;`).join('`')}\nlet d = 3;`, '}`');",
      "const quotes = /[`\"'/]/;",
      "export const one = { two: () => a };",
      "export function f() {\n  let inner = 0;\n  return inner;\n}",
      "export class C {\n  #state = new Map();\n}",
      "export interface I {\n  readonly x: number;\n}",
      "type T = string;",
      "export default a;",
    ].join("\n");
    expect(workAtImport(file("a.ts", text)).filter((line) => !line.startsWith("export default"))).toEqual([]);
  });
});
