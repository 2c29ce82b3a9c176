/** A strict reader of the text format of Prometheus (version 0.0.4): throws at the first line that a scraper could take amiss. */

export interface Family {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Draft extends Family {
  readonly samples: Sample[];
}

const nameForm = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const sampleForm = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const labelForm = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)/;
const types = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);

/** Families by name, in the order of the text. */
export function readExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith("\n")) throw new Error("the text does not end with a line end");
  const families = new Map<string, Draft>();
  const helps = new Map<string, string>();
  const seen = new Set<string>();
  let open: Draft | undefined;
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === "HELP") {
      once(helps.has(name), `a second HELP of ${name}`);
      helps.set(name, rest);
    } else if (kind === "TYPE") {
      once(families.has(name), `a second TYPE of ${name}`);
      if (!types.has(rest) || !nameForm.test(name)) throw new Error(`no such type or name: ${line}`);
      open = { name, type: rest, help: helps.get(name) ?? fail(`no HELP before ${line}`), samples: [] };
      families.set(name, open);
    } else {
      const sample = sampleOf(line);
      if (open === undefined || !belongs(sample, open)) throw new Error(`outside of its family: ${line}`);
      const key = line.slice(0, line.lastIndexOf(" "));
      once(seen.has(key), `a second sample of ${key}`);
      seen.add(key);
      open.samples.push(sample);
    }
  }
  for (const family of families.values()) check(family);
  return families;
}

function sampleOf(line: string): Sample {
  const [, name = "", body, number = ""] = sampleForm.exec(line) ?? fail(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  for (let rest = body ?? ""; rest !== "";) {
    const [all, label = "", value = ""] = labelForm.exec(rest) ?? fail(`no label: ${rest}`);
    once(label in labels, `a second label ${label} in ${line}`);
    labels[label] = value;
    rest = rest.slice(all.length);
  }
  const value = number === "+Inf" ? Infinity : Number(number);
  if (number.trim() === "" || Number.isNaN(value)) throw new Error(`no number: ${line}`);
  return { name, labels, value };
}

function belongs({ name }: Sample, family: Family): boolean {
  if (family.type !== "histogram") return name === family.name;
  return ["_bucket", "_sum", "_count"].some((end) => name === family.name + end);
}

function check(family: Family): void {
  const { name, type, samples } = family;
  if (type === "counter" && !name.endsWith("_total")) throw new Error(`a counter without _total: ${name}`);
  if (type === "counter" && samples.some(({ value }) => !(value >= 0 && value < Infinity))) {
    throw new Error(`a counter below 0 or without end: ${name}`);
  }
  if (type === "histogram") for (const one of histogramsOf(family)) checkHistogram(name, one);
}

/** The samples of each set of labels, `le` left out. */
function histogramsOf({ samples }: Family): Iterable<readonly Sample[]> {
  const found = new Map<string, Sample[]>();
  for (const sample of samples) {
    const { le: _, ...labels } = sample.labels;
    const key = JSON.stringify(labels);
    found.set(key, [...(found.get(key) ?? []), sample]);
  }
  return found.values();
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const one = (end: string): number =>
    samples.find((sample) => sample.name === name + end)?.value ?? fail(`${name} has no ${end}`);
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  let bound = -Infinity;
  let below = 0;
  for (const { labels, value } of buckets) {
    const le = labels["le"] === "+Inf" ? Infinity : Number(labels["le"]);
    if (!(le > bound)) throw new Error(`${name}: bucket ${labels["le"]} does not come after ${bound}`);
    if (value < below) throw new Error(`${name}: bucket ${labels["le"]} holds less than the one before`);
    bound = le;
    below = value;
  }
  if (bound !== Infinity) throw new Error(`${name} has no bucket +Inf`);
  if (one("_count") !== below) throw new Error(`${name}: _count is not what the bucket +Inf holds`);
  if (!Number.isFinite(one("_sum")) || one("_sum") < 0) throw new Error(`${name}: no sum`);
}

function once(isThere: boolean, words: string): void {
  if (isThere) throw new Error(words);
}

function fail(words: string): never {
  throw new Error(words);
}
