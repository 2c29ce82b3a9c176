/** What the strict reader of Prometheus' text must notice, or the tests that lean on it would prove nothing. */
import { expect, test } from "bun:test";
import { readExposition } from "../support/exposition.ts";

const head = "# HELP x_seconds Time.\n# TYPE x_seconds histogram\n";
const whole = `${head}x_seconds_bucket{le="1"} 2\nx_seconds_bucket{le="+Inf"} 3\nx_seconds_sum 4.5\nx_seconds_count 3\n`;

test("a text in the format of Prometheus is read family by family", () => {
  const family = readExposition(whole).get("x_seconds");
  expect(family).toMatchObject({ type: "histogram", help: "Time." });
  expect(family?.samples[0]).toEqual({ name: "x_seconds_bucket", labels: { le: "1" }, value: 2 });
  const escaped = '# HELP a_total A.\n# TYPE a_total counter\na_total{bot="a\\"b\\\\,c\\n",why="x"} 1e+21\n';
  expect(readExposition(escaped).get("a_total")?.samples[0]?.labels).toEqual({ bot: 'a\\"b\\\\,c\\n', why: "x" });
});

test.each([
  ["buckets that are not cumulative", whole.replace('le="1"} 2', 'le="1"} 4')],
  ["bounds that do not rise", whole.replace('le="1"', 'le="2"').replace("+Inf", "1")],
  ["no bucket +Inf", whole.replace('x_seconds_bucket{le="+Inf"} 3\n', "")],
  ["a count that is not the bucket +Inf", whole.replace("count 3", "count 2")],
  ["no sum", whole.replace("x_seconds_sum 4.5\n", "")],
  ["a sum that is no number", whole.replace("4.5", "NaN")],
  ["a family without HELP", whole.replace("# HELP x_seconds Time.\n", "")],
  ["a family without TYPE", whole.replace("# TYPE x_seconds histogram\n", "")],
  ["a type that is not one", whole.replace(" histogram", " diagram")],
  ["a family twice", whole + whole],
  ["a sample twice", `${whole}x_seconds_sum 4.5\n`],
  ["a sample of another family", `${whole}y 1\n`],
  ["a label without quotes", whole.replace('"1"', "1")],
  ["a line end in a label", whole.replace('"1"', '"1\n"')],
  ["a sample without a value", `${whole}x_seconds_sum{a="1"} \n`],
  ["a counter without _total", "# HELP a A.\n# TYPE a counter\na 1\n"],
  ["a counter below 0", "# HELP a_total A.\n# TYPE a_total counter\na_total -1\n"],
  ["no line end at the end", whole.trimEnd()],
])("%s is refused", (_, text) => {
  expect(() => readExposition(text)).toThrow();
});
