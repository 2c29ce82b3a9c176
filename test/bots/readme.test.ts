/** The bot that README.md shows is one that runs. */
import { expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadModule } from "../../src/bots/catalog.ts";
import { host, textUpdate } from "./fixtures/scripted.ts";

const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");

test("the bot in ten lines loads as a module and answers", async () => {
  const [, code = ""] = /```ts\n(\/\/ shop\.ts[^]*?)```/.exec(readme) ?? [];
  expect(code.trim().split("\n").length).toBeLessThanOrEqual(10);
  // Beside the tests, so that it finds grammY.
  const file = join(import.meta.dir, "fixtures", `readme-${process.pid}.ts`);
  writeFileSync(file, code);
  try {
    const module = await loadModule(file, "/");
    const { handle, calls } = await host(module);
    await handle(textUpdate("tea"));
    expect(module.updates).toEqual(["message", "callback_query"]);
    expect(calls.map(({ method, payload }) => [method, payload["text"]])).toEqual([["sendMessage", "You said: tea"]]);
  } finally {
    rmSync(file);
  }
});
