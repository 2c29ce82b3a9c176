import { expect, test } from "bun:test";
import { join } from "node:path";
import { sleep, systemClock } from "../../src/clock.ts";

const program = join(import.meta.dir, "fixtures/watchdog-program.ts");
const maxMs = 400;

async function start(kind: "block" | "live" | "stopped") {
  const child = Bun.spawn([process.execPath, program, kind, String(maxMs)], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  const reader = child.stdout.getReader();
  const read = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
  expect(await read()).toBe("watching\n");
  return { child, read };
}

async function go(child: Bun.Subprocess<"pipe", "pipe", "pipe">): Promise<void> {
  await child.stdin.write("go\n");
  await child.stdin.end();
}

test("a process whose event loop is blocked for good ends with exit code 1 and says why", async () => {
  const { child } = await start("block");
  expect(await child.exited).toBe(1);
  const line = JSON.parse(await child.stderr.text()) as Record<string, unknown>;
  expect(line["level"]).toBe("error");
  expect(line["msg"]).toContain("the event loop stood still");
  expect(Number(line["stalledMs"])).toBeGreaterThan(maxMs);
});

test("a process that moves lives on", async () => {
  const { child, read } = await start("live");
  await go(child);
  expect(await read()).toBe("ended by itself\n");
  expect(await child.exited).toBe(0);
});

test("a process that was suspended for three limits lives on", async () => {
  const { child, read } = await start("live");
  child.kill("SIGSTOP");
  // The time itself is what is tested: nothing can be waited for in a process that stands still.
  await sleep(systemClock, maxMs * 3);
  child.kill("SIGCONT");
  await go(child);
  expect(await read()).toBe("ended by itself\n");
  expect(await child.exited).toBe(0);
});

test("a watchdog that was stopped ends nothing", async () => {
  const { child, read } = await start("stopped");
  await go(child);
  expect(await read()).toBe("ended by itself\n");
  expect(await child.exited).toBe(0);
});
