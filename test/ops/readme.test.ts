import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createMetrics } from "../../src/ops/metrics.ts";
import { readExposition } from "../support/exposition.ts";
import { statusOf } from "./fixtures/status.ts";

const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");

test("the table in README.md names every metric, its type and its meaning, and no other", async () => {
  const source = { status: () => statusOf() };
  const metrics = createMetrics({
    slowMs: 100,
    version: "1.2.3",
    source,
    calls: () => undefined,
    cache: () => undefined,
    leases: () => undefined,
    histograms: true,
    now: Date.now,
  });
  const families = readExposition(await metrics.text());
  metrics.stop();
  const rows = Array.from(readme.matchAll(/^\| `(botfleet_\w+)` +\| (\w+) +\|[^|]*\| (.+?) +\|$/gm));
  expect(rows.map(([, name = "", type = "", help = ""]) => ({ name, type, help }))).toEqual(
    [...families.values()].map(({ name, type, help }) => ({ name, type, help })),
  );
});

test("every metric that README.md names elsewhere exists", () => {
  const table = new Set(Array.from(readme.matchAll(/^\| `(botfleet_\w+)`/gm), ([, name]) => name ?? ""));
  const named = Array.from(readme.matchAll(/botfleet_\w+/g), ([name]) => name.replace(/_bucket$/, ""));
  expect(named.filter((name) => !table.has(name))).toEqual([]);
});

test("every file and section that README.md links to is there", () => {
  const links = Array.from(readme.matchAll(/\]\(([^)]+)\)/g), ([, link = ""]) => link);
  const local = links.filter((link) => !link.startsWith("https://"));
  const headings = Array.from(readme.matchAll(/^#+ (.+)$/gm), ([, title = ""]) => title);
  const sections = new Set(headings.map((title) => `#${title.toLowerCase().replaceAll(" ", "-")}`));
  const isThere = (link: string): boolean =>
    link.startsWith("#") ? sections.has(link) : existsSync(join(import.meta.dir, "../..", link));
  expect(local.length).toBeGreaterThan(30);
  expect(local.filter((link) => !isThere(link))).toEqual([]);
});
