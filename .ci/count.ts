/**
 * `bun .ci/count.ts <junit report> <exit code of the check>`: lists what failed and what was skipped, and ends with the line
 * "N passed, N failed, N skipped". Exits with 1 where anything failed or no test ran.
 */
import { existsSync, readFileSync } from "node:fs";

interface TestCase {
  readonly title: string;
  readonly place: string;
  readonly outcome: "passed" | "failed" | "skipped";
  /** Of a failure. */
  readonly message: string;
}

const [report = "", status = ""] = process.argv.slice(2);
const cases = existsSync(report) ? casesIn(readFileSync(report, "utf8")) : [];
const of = (outcome: TestCase["outcome"]): readonly TestCase[] => cases.filter((each) => each.outcome === outcome);

for (const each of of("skipped")) console.log(`skipped: ${each.title} (${each.place})`);
for (const each of of("failed"))
  console.log(`FAILED: ${each.title} (${each.place})\n    ${each.message.replaceAll("\n", "\n    ")}`);
if (cases.length === 0) console.log("FAILED: no test ran; see the output above");
else if (status !== "0" && of("failed").length === 0)
  console.log(`FAILED: outside of the tests, with exit code ${status}; see the output above`);
console.log(`${of("passed").length} passed, ${of("failed").length} failed, ${of("skipped").length} skipped`);
process.exit(status === "0" && of("failed").length === 0 && cases.length > 0 ? 0 : 1);

function casesIn(xml: string): readonly TestCase[] {
  return [...xml.matchAll(/<testcase\s([^>]*?)(?:\/>|>([^]*?)<\/testcase>)/g)].map(
    ([, attributes = "", content = ""]) => {
      const failure = /<(?:failure|error)\b([^>]*)/.exec(content)?.[1];
      const outcome = failure !== undefined ? "failed" : content.includes("<skipped") ? "skipped" : "passed";
      const place = `${valueOf(attributes, "file")}:${valueOf(attributes, "line")}`;
      const title = [valueOf(attributes, "classname"), valueOf(attributes, "name")]
        .filter((text) => text !== "")
        .join(" > ");
      return { title, place, outcome, message: valueOf(failure ?? "", "message").slice(0, 4_000) };
    },
  );
}

function valueOf(attributes: string, name: string): string {
  const raw = new RegExp(`(?:^|\\s)${name}="([^"]*)"`).exec(attributes)?.[1] ?? "";
  const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return raw.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (_, decimal?: string, hex?: string, word?: string) =>
    word === undefined
      ? String.fromCodePoint(decimal === undefined ? Number.parseInt(hex ?? "20", 16) : Number(decimal))
      : (named[word] ?? ""),
  );
}
