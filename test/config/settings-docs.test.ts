import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { envExample, settingsTable, withTable } from "../../config/settings-docs.ts";
import { names, sections, variables } from "../../config/variables.ts";
import { settingsOf, tokens } from "./reading.ts";

const root = join(import.meta.dir, "../..");
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

test(".env.example is what `bun run docs` writes", () => {
  expect(textOf(".env.example")).toBe(envExample());
});

test("the table in README.md is what `bun run docs` writes", () => {
  const readme = textOf("README.md");
  expect(withTable(readme)).toBe(readme);
});

test("every variable stands once in both, with its meaning and its default", () => {
  for (const name of names) {
    expect(envExample().match(new RegExp(`^# ${name}=`, "gm"))).toHaveLength(1);
    const row = settingsTable()
      .split("\n")
      .filter((line) => line.startsWith(`| \`${name}\` `));
    expect(row).toHaveLength(1);
    expect(row[0]).toContain(variables[name].meaning);
    if (variables[name].default !== undefined) expect(row[0]).toContain(`\`${variables[name].default}\``);
    expect(row[0]?.includes(`${name}_FILE`)).toBe(variables[name].secret);
  }
});

test("the sections hold every variable once", () => {
  const sectioned = sections.flatMap((section) => Object.keys(section.variables));
  expect(sectioned).toEqual([...names]);
});

test("every default is a text that its own variable takes", () => {
  for (const name of names) {
    const { default: text, parse } = variables[name];
    if (text !== undefined) expect(parse(text)).toHaveProperty("value");
  }
});

test(".env.example with its comment signs taken away is read as the defaults", () => {
  const lines = envExample().matchAll(/^# ([A-Z_]+)=(.*)$/gm);
  const env = Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
  expect(settingsOf({ ...env, BOT_TOKENS: tokens[0] })).toEqual(settingsOf({ BOT_TOKENS: tokens[0] }));
});

test("a README without the marks is told apart from one with them", () => {
  expect(withTable("# botfleet")).toBeUndefined();
  expect(withTable("<!-- settings:end --> <!-- settings:start -->")).toBeUndefined();
  expect(withTable("a <!-- settings:start --> old <!-- settings:end --> b")).toBe(
    `a <!-- settings:start -->\n\n${settingsTable()}\n\n<!-- settings:end --> b`,
  );
});
