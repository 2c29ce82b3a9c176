import { expect, test } from "bun:test";
import { parseCommand } from "../../src/cli/demo-commands.ts";

test("what is no command is said to the bot, as it was typed", () => {
  expect(parseCommand("  hello  there ")).toEqual({ name: "say", text: "hello  there" });
  expect(parseCommand("kill me softly")).toEqual({ name: "say", text: "kill me softly" });
  expect(parseCommand("   ")).toBeUndefined();
});

test("words work with and without their slash, in any case", () => {
  for (const name of ["kill", "status", "help", "quit"] as const) {
    expect(parseCommand(name)).toEqual({ name });
    expect(parseCommand(`/${name.toUpperCase()}`)).toEqual({ name });
  }
});

test("numbers are read, and have a default only for /many", () => {
  expect(parseCommand("/as 12")).toEqual({ name: "as", person: 12 });
  expect(parseCommand("/many 2,000")).toEqual({ name: "many", count: 2_000 });
  expect(parseCommand("/many")).toEqual({ name: "many", count: 500 });
  expect(parseCommand("/slow 0")).toEqual({ name: "slow", ms: 0 });
  expect(parseCommand("/429")).toEqual({ name: "429" });
});

test("what cannot be done is explained and never sent", () => {
  const lines = ["/as", "/as 0", "/as 1000", "/many -1", "/many 1e9", "/many 1 2", "/slow", "/slow x", "/down 3", "/x"];
  for (const line of [...lines, "/", "x".repeat(4_097)]) {
    expect([line, parseCommand(line)?.name]).toEqual([line, "wrong"]);
  }
});
