import { expect, test } from "bun:test";
import { join } from "node:path";

const program = join(import.meta.dir, "../../src/simulator/main.ts");

test("as a process it prints its address and tokens in one line, serves, and ends clean on SIGTERM", async () => {
  const child = Bun.spawn(["bun", program, "--bots", "2"], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const { url, pid, tokens } = JSON.parse(new TextDecoder().decode(value)) as {
    readonly url: string;
    readonly pid: number;
    readonly tokens: readonly string[];
  };
  expect(pid).toBe(child.pid);
  expect((await fetch(`${url}/bot${tokens[1]}/getMe`)).status).toBe(200);
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test("wrong flags end with 64 and the usage", async () => {
  for (const flags of [["--bots", "x"], ["--nonsense"]]) {
    const child = Bun.spawn(["bun", program, ...flags], { stdout: "pipe", stderr: "pipe" });
    expect(await child.exited).toBe(64);
    expect(await child.stderr.text()).toContain("usage: ");
  }
});
