import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const program = join(import.meta.dir, "../../src/cli/demo.ts");
/** A start takes a fraction of a second; the machine may be busy. */
const maxMs = 60_000;

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-test-"));
  folders.push(folder);
  return folder;
}

interface DemoRun {
  readonly child: Bun.Subprocess<"pipe", "pipe", "pipe">;
  /** Where its temporary folder is. */
  readonly temporary: string;
}

function startDemo(flags: readonly string[], env: Readonly<Record<string, string>> = {}): DemoRun {
  const temporary = temporaryFolder();
  const child = Bun.spawn([process.execPath, program, ...flags], {
    env: { ...process.env, TMPDIR: temporary, ...env },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  return { child, temporary };
}

async function run(flags: readonly string[], env?: Readonly<Record<string, string>>) {
  const { child, temporary } = startDemo(flags, env);
  await child.stdin.end();
  const [code, out, err] = await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
  return { code, out, err, temporary };
}

/** The worker processes that the demo told of. */
function workersIn(out: string): readonly number[] {
  return [...new Set(Array.from(out.matchAll(/Worker (\d+) runs/g), ([, pid]) => Number(pid)))];
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Reads on to the end; `includes` resolves as soon as `part` was read. */
function follow(stream: ReadableStream<Uint8Array>) {
  const waiting = new Set<() => void>();
  let text = "";
  const read = async (): Promise<string> => {
    const decoder = new TextDecoder();
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true });
      for (const look of waiting) look();
    }
    return text;
  };
  return {
    all: read(),
    includes: (part: string): Promise<string> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!text.includes(part)) return;
          waiting.delete(look);
          resolve(text);
        };
        waiting.add(look);
        look();
      }),
  };
}

test(
  "a chat is answered, a killed worker loses and reorders nothing, and nothing is left behind",
  async () => {
    const others = { BOTS_FILE: "/nowhere/bots.json", REDIS_URL: "nonsense", PORT: "1", BOT_TOKENS: "" };
    const { code, out, temporary } = await run(["--script", "hello bot; /many 300; kill; status; quit"], others);
    expect(out).toContain("bot> hello bot  (");
    expect(out).toContain("sent 301 · answered 301 · lost 0 · out of order 0 · ");
    expect(out).toMatch(/is dead \(SIGKILL\)\. [1-9]\d* messages are not answered yet/);
    expect(out).toContain("backlog 0 → in work 0 → settled 301 · dead letters 0");
    expect(code).toBe(0);
    expect(workersIn(out)).toHaveLength(2);
    expect(workersIn(out).filter(lives)).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  },
  maxMs,
);

test(
  "commands come from standard input, and its end ends the demo once everything is answered",
  async () => {
    const { child } = startDemo([]);
    await child.stdin.write("/as 7\nnobody knows\n\n/nonsense 1\n/down\nare you there\n/up\n/slow 2\n/flood\n");
    await child.stdin.end();
    const out = await child.stdout.text();
    expect(out).toContain("person 7> nobody knows\n     bot> nobody knows  (");
    expect(out).toContain("There is no such use of /nonsense");
    expect(out).toContain("No answer while Telegram is down.");
    expect(out).toContain("bot> are you there  (");
    expect(out).toMatch(/bot to person 999> and I say hello from another chat[^]*backlog [1-9]/);
    expect(out).toContain("sent 1,003 · answered 1,003 · lost 0 · out of order 0 · doubled 0");
    expect(await child.exited).toBe(0);
    expect(workersIn(out).filter(lives)).toEqual([]);
  },
  maxMs,
);

test(
  "a data folder that was kept does not make a second demo's messages look old",
  async () => {
    const folder = temporaryFolder();
    for (const round of [1, 2]) {
      const { code, out } = await run(["--data-dir", folder, "--script", `round ${round}; /many 50`]);
      expect(out).toContain("sent 51 · answered 51 · lost 0 · out of order 0 · doubled 0");
      expect(code).toBe(0);
    }
    expect(readdirSync(folder)).toContain("inbox.sqlite");
  },
  maxMs,
);

test(
  "SIGTERM, even sent twice at once, ends demo and worker clean and removes the temporary folder",
  async () => {
    const { child, temporary } = startDemo([]);
    const out = await follow(child.stdout).includes("its page");
    expect(workersIn(out).map(lives)).toEqual([true]);
    child.kill("SIGTERM");
    child.kill("SIGINT");
    expect(await child.exited).toBe(0);
    expect(workersIn(out).filter(lives)).toEqual([]);
    expect(readdirSync(temporary)).toEqual([]);
  },
  maxMs,
);

test(
  "a worker that dies by itself is told of and started again",
  async () => {
    const { child } = startDemo([]);
    const output = follow(child.stdout);
    const [first] = workersIn(await output.includes("its page"));
    process.kill(first!, "SIGKILL");
    await output.includes(`Worker ${first} ended with SIGKILL`);
    await child.stdin.write("still there\n");
    await child.stdin.end();
    const out = await output.all;
    expect(out).toContain("bot> still there  (");
    expect(await child.exited).toBe(0);
  },
  maxMs,
);

test(
  "a worker that cannot start ends the demo with 1 and the worker's own words",
  async () => {
    using taken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response() });
    const { code, err, temporary } = await run(["--port", String(taken.port), "--script", "hello"]);
    expect(err).toContain("it ended with exit code 78");
    expect(err).toContain(`PORT: cannot listen on 127.0.0.1:${taken.port}: the port is in use`);
    expect(code).toBe(1);
    expect(readdirSync(temporary)).toEqual([]);
  },
  maxMs,
);

test("a wrong flag ends with 64 and the usage, --help with 0", async () => {
  for (const flags of [["--nonsense"], ["--port", "x"], ["--port", "70000"], ["hello"], ["--data-dir="]]) {
    const { code, err } = await run(flags);
    expect([flags, code]).toEqual([flags, 64]);
    expect(err).toContain("usage: bun run demo");
  }
  const { code, out } = await run(["--help"]);
  expect(code).toBe(0);
  expect(out).toContain("usage: bun run demo");
});

test(
  "in a terminal the counts stand above the prompt, and Ctrl-C ends it clean",
  async () => {
    const decoder = new TextDecoder();
    let shown = "";
    const seen = Promise.withResolvers<void>();
    const child = Bun.spawn([process.execPath, program], {
      env: { ...process.env, NO_COLOR: "1", TERM: "xterm" },
      terminal: {
        cols: 80,
        rows: 24,
        data(terminal, data) {
          const before = shown;
          shown += decoder.decode(data, { stream: true });
          const appears = (part: string): boolean => shown.includes(part) && !before.includes(part);
          if (appears("sent 0 · answered 0 · lost 0")) terminal.write("hello\r");
          if (appears("sent 1 · answered 1 · lost 0")) {
            seen.resolve();
            terminal.write("\u0003");
          }
        },
      },
    });
    await seen.promise;
    expect(await child.exited).toBe(0);
    expect(shown).toContain("bot> hello  (");
    // Neither colours nor boldness, only movements of the cursor.
    // oxlint-disable-next-line no-control-regex
    expect(shown).not.toMatch(/\u001B\[\d*m/);
    expect(workersIn(shown).filter(lives)).toEqual([]);
  },
  maxMs,
);
