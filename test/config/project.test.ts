/** What is promised of the files around the code: the image, the pinned versions, the script of the checks. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };
import { variables } from "../../config/variables.ts";

const root = join(import.meta.dir, "../..");
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");
const bunVersion = manifest.devDependencies.bun;

describe("the image", () => {
  /** Instructions with their arguments, continued lines joined, without comments. */
  const instructions = textOf("Dockerfile")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => /^(\w+)\s+(.*)$/.exec(line)?.slice(1) ?? [line, ""]);
  const of = (name: string): readonly string[] =>
    instructions.filter(([each]) => each === name).map(([, rest]) => rest ?? "");
  const last = instructions.slice(instructions.findLastIndex(([name]) => name === "FROM"));

  test("is built in stages on the pinned version of Bun", () => {
    expect(of("FROM")).toEqual([`oven/bun:${bunVersion}-slim AS dependencies`, `oven/bun:${bunVersion}-slim`]);
  });

  test("runs as a user without rights, from the last stage on", () => {
    expect(last.filter(([name]) => name === "USER")).toEqual([["USER", "bun"]]);
    const user = last.findIndex(([name]) => name === "USER");
    expect(last.slice(user).map(([name]) => name)).not.toContain("RUN");
  });

  test("starts the program without a shell, so that SIGTERM reaches it", () => {
    expect(of("ENTRYPOINT").map((text) => JSON.parse(text) as unknown)).toEqual([["bun", "src/main.ts"]]);
    expect(of("CMD")).toEqual([]);
    expect(of("STOPSIGNAL")).toEqual(["SIGTERM"]);
    expect(existsSync(join(root, "src/main.ts"))).toBe(true);
  });

  test("asks /health with bun itself, on the port that is set", () => {
    const [, command] = /CMD (.*)$/.exec(of("HEALTHCHECK")[0] ?? "") ?? [];
    expect(JSON.parse(command ?? "null")).toEqual(["bun", "-e", expect.stringContaining("/health")]);
    expect(command).toContain(`process.env.PORT || ${variables.PORT.default}`);
    expect(of("EXPOSE")).toEqual([variables.PORT.default]);
  });

  test("keeps its data in a volume that its user owns", () => {
    expect(of("VOLUME")).toEqual(["/data"]);
    expect(of("ENV").join(" ")).toContain("DATA_DIR=/data");
    expect(of("RUN").join(" ")).toContain("chown bun:bun /data");
  });

  test("polls hundreds of bots: more HTTP requests at a time than Bun's default, as `bun run start`", () => {
    const setting = "BUN_CONFIG_MAX_HTTP_REQUESTS=4096";
    expect(of("ENV").join(" ")).toContain(setting);
    expect(manifest.scripts.start).toStartWith(setting);
  });

  test("keeps freed memory for the next updates instead of giving it back page by page, as `bun run start`", () => {
    const setting = "MIMALLOC_PURGE_HOLES=0";
    expect(of("ENV").join(" ")).toContain(setting);
    expect(manifest.scripts.start).toContain(` ${setting} `);
  });

  test("holds the locked production dependencies and nothing that is not needed to run", () => {
    expect(of("RUN")[0]).toBe("bun install --frozen-lockfile --production --ignore-scripts");
    const [, ...sent] = textOf(".dockerignore")
      .replaceAll(/^#.*\n/gm, "")
      .trim()
      .split("\n");
    expect(textOf(".dockerignore")).toContain("\n*\n");
    expect(sent).toEqual(["!package.json", "!bun.lock", "!bunfig.toml", "!config", "!src"]);
  });

  for (const [healthy, code] of [
    [true, 0],
    [false, 1],
  ] as const) {
    test(`is ${healthy ? "healthy" : "unhealthy"} when /health answers ${healthy ? 200 : 503}`, async () => {
      using server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: (request) =>
          new Response("", { status: healthy && new URL(request.url).pathname === "/health" ? 200 : 503 }),
      });
      const [, , script = ""] = JSON.parse(/CMD (.*)$/.exec(of("HEALTHCHECK")[0] ?? "")?.[1] ?? "[]") as string[];
      const check = Bun.spawn([process.execPath, "-e", script], {
        env: { PORT: String(server.port) },
        stderr: "ignore",
      });
      expect(await check.exited).toBe(code);
    });
  }
});

describe("the project", () => {
  test("pins every dependency to one version", () => {
    const versions = Object.values({ ...manifest.dependencies, ...manifest.devDependencies });
    for (const version of versions) expect(version).toMatch(/^\d+\.\d+\.\d+$/);
  });

  test("asks for the version of Bun that it is tested with", () => {
    expect(bunVersion).toBe(manifest.devDependencies["bun-types"]);
    expect(manifest.engines.bun).toBe(`>=${bunVersion}`);
  });

  test("locks its packages by name, version and hash, from whatever registry", () => {
    expect(textOf("bun.lock")).not.toMatch(/https?:/);
  });

  test("is under the MIT licence", () => {
    expect(manifest.license).toBe("MIT");
    expect(textOf("LICENSE")).toStartWith("MIT License\n\nCopyright (c) 2026 botfleet contributors\n");
  });

  test("checks format, types, lint and tests in one command", () => {
    for (const step of ["fmt --no-script --check", "run types", "run lint", "run test"])
      expect(manifest.scripts.check).toContain(step);
    expect(textOf(".ci/run")).toContain("bun run check");
  });
});

describe("the count that ends a check", () => {
  /** What the script prints, line by line, and its exit code. */
  function count(cases: readonly string[], status: number): { lines: readonly string[]; code: number } {
    const folder = mkdtempSync(join(tmpdir(), "botfleet-count-"));
    try {
      const report = join(folder, "junit.xml");
      if (cases.length > 0)
        writeFileSync(report, `<?xml?><testsuites><testsuite name="a">${cases.join("\n")}</testsuite></testsuites>`);
      const run = Bun.spawnSync([process.execPath, join(root, ".ci/count.ts"), report, String(status)]);
      return { lines: run.stdout.toString().trimEnd().split("\n"), code: run.exitCode };
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  const passed = '<testcase name="a" classname="" file="a.test.ts" line="1" />';
  const skipped = '<testcase name="c" classname="" file="a.test.ts" line="3"><skipped /></testcase>';
  const failed =
    '<testcase name="b &lt;1&gt;" classname="of" file="a.test.ts" line="2"><failure type="Error" message="not &quot;x&quot;&#10;but y">at</failure></testcase>';

  test("is taken from the report", () => {
    expect(count([passed, passed, skipped], 0)).toEqual({
      lines: ["skipped: c (a.test.ts:3)", "2 passed, 0 failed, 1 skipped"],
      code: 0,
    });
  });

  test("shows each failure with its place and message, and fails", () => {
    const lines = ["FAILED: of > b <1> (a.test.ts:2)", '    not "x"', "    but y", "1 passed, 1 failed, 0 skipped"];
    expect(count([passed, failed], 1)).toEqual({ lines, code: 1 });
    expect(count([passed, failed], 0).code).toBe(1);
  });

  test("fails where something outside of the tests failed", () => {
    const { lines, code } = count([passed], 3);
    expect(lines).toEqual([
      "FAILED: outside of the tests, with exit code 3; see the output above",
      "1 passed, 0 failed, 0 skipped",
    ]);
    expect(code).toBe(1);
  });

  test("fails where no test ran", () => {
    const expected = { lines: ["FAILED: no test ran; see the output above", "0 passed, 0 failed, 0 skipped"], code: 1 };
    expect(count([], 0)).toEqual(expected);
    expect(count([], 1)).toEqual(expected);
  });
});
