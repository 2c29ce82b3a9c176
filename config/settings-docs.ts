/**
 * `.env.example` and the table of settings in README.md, generated from `variables.ts` (`bun run docs` writes both; a test fails
 * when they differ from it).
 */
import { readFileSync, writeFileSync } from "node:fs";
import { names, sections, variables } from "./variables.ts";
import type { VariableName } from "./variables.ts";

const startMark = "<!-- settings:start -->";
const endMark = "<!-- settings:end -->";

/** The text of `.env.example`: every variable, commented out, with what it means and its default. */
export function envExample(): string {
  const head = [
    "# The settings of botfleet. Copy this file to .env, and take the # away where you set something.",
    "# A secret may be given as a file instead: NAME_FILE=/run/secrets/name.",
    "# A value that holds # stands between double quotes; a $ in a value is written \\$.",
  ];
  const blocks = sections.map(({ title, variables: group }) =>
    [`## ${title}`, ...namesOf(group).map((name) => ["", ...assignment(name)].join("\n"))].join("\n"),
  );
  return `${[head.join("\n"), ...blocks].join("\n\n")}\n`;
}

function assignment(name: VariableName): readonly string[] {
  const { meaning, unset, default: value } = variables[name];
  const plain = (unset === "" ? meaning : `${meaning} Unset: ${unset}.`).replaceAll("`", "");
  return [`# ${plain}`, `# ${name}=${value ?? ""}`];
}

/** The table of README.md as Markdown, its columns padded as the formatter does. */
export function settingsTable(): string {
  const rows = names.map((name) => {
    const { meaning, unset, default: value, secret } = variables[name];
    const text = secret ? `${meaning} (Secret: also as \`${name}_FILE\`.)` : meaning;
    return [`\`${name}\``, text, value === undefined ? unset || "–" : `\`${value}\``];
  });
  const cells = [["setting", "meaning", "default"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [lines[0], rule, ...lines.slice(1)].join("\n");
}

/** `readme` with the table between its marks; undefined where the marks are missing. */
export function withTable(readme: string): string | undefined {
  const start = readme.indexOf(startMark);
  const end = readme.indexOf(endMark, start);
  if (start < 0 || end < 0) return undefined;
  return `${readme.slice(0, start + startMark.length)}\n\n${settingsTable()}\n\n${readme.slice(end)}`;
}

function namesOf(group: (typeof sections)[number]["variables"]): readonly VariableName[] {
  return names.filter((name) => Object.hasOwn(group, name));
}

if (import.meta.main) {
  const root = `${import.meta.dir}/..`;
  writeFileSync(`${root}/.env.example`, envExample());
  const readme = withTable(readFileSync(`${root}/README.md`, "utf8"));
  if (readme === undefined) throw new Error(`README.md lacks the line ${startMark} or, after it, ${endMark}`);
  writeFileSync(`${root}/README.md`, readme);
}
