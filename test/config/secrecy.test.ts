import { expect, test } from "bun:test";
import fc from "fast-check";
import { readSettings } from "../../config/settings.ts";
import { names, variables } from "../../config/variables.ts";
import { reader, tokens } from "./reading.ts";

/** Something that cannot stand in a fault by chance, and that nobody takes for the name of a variable or field: as in a token. */
const secret = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_-]{8,20}[a-z][0-9][A-Za-z0-9_-]{8,20}$/);

/** Where a secret may stand by right or by mistake: alone, in a token, in a URL, in JSON, broken in some way. */
const around: readonly ((secret: string) => string)[] = [
  (text) => text,
  (text) => `123456:${text}`,
  (text) => `123456:${text},,77:${text}!`,
  (text) => `bot123456:${text}`,
  (text) => `redis://user:${text}@redis.example:6379/0`,
  (text) => `redis://user:${text}@/0`,
  (text) => `redis://:${text}@h:port`,
  (text) => `redis+sentinel://user:${text}@one:1,two/main/0`,
  (text) => `redis+sentinel://:${text}@one,/`,
  (text) => `mongodb://user:${text}@a,b/db.name`,
  (text) => `mongodb://user:${text}@ss@a/db`,
  (text) => `mongodb://a/${text}.x`,
  (text) => `https://user:${text}@api.example`,
  (text) => `https://api.example/${text}?${text}`,
  (text) => `{"bots":[{"name":"a","token":"123456:${text}","module":"echo"}]}`,
  (text) => `${text}\n${text}\u0000`,
];

const text = fc.tuple(secret, fc.constantFrom(...around)).map(([inner, wrap]) => ({ inner, text: wrap(inner) }));
const variable = fc.constantFrom(
  ...names,
  ...names.filter((name) => variables[name].secret).map((name) => `${name}_FILE`),
);

/** Every fault of an environment, none of which may hold `inner`. */
function expectKept(inner: string, env: Record<string, string>, files: Record<string, string> = {}): void {
  const read = readSettings(env, reader(files));
  if ("faults" in read) for (const fault of read.faults) expect(fault).not.toContain(inner);
}

test("no fault repeats a secret that stands in whatever variable", () => {
  fc.assert(
    fc.property(text, variable, ({ inner, text: value }, name) => {
      expectKept(inner, { BOT_TOKENS: "broken", [name]: value });
      expectKept(inner, { [name]: value });
    }),
    { numRuns: 2_000 },
  );
});

test("no fault repeats a secret that stands in a file", () => {
  fc.assert(
    fc.property(text, variable, ({ inner, text: value }, name) => {
      expectKept(inner, { BOT_TOKENS: "broken", [name]: "/run/secret" }, { "/run/secret": value });
    }),
    { numRuns: 1_000 },
  );
});

const fieldNames = [
  "name",
  "token",
  "tokenEnv",
  "module",
  "apiRoot",
  "limits",
  "engine",
  "chatBurst",
  "other",
] as const;
const value = (inner: string): fc.Arbitrary<unknown> =>
  fc.oneof(
    fc.constantFrom(...around).map((wrap) => wrap(inner)),
    fc.constantFrom<unknown>(
      null,
      1,
      true,
      "echo",
      tokens[0],
      "T",
      [],
      {},
      [inner],
      { [inner]: inner },
      { engine: inner },
    ),
  );

test("no fault repeats a secret that stands in whatever field of BOTS_FILE, or is the name of one", () => {
  const bots = secret.chain((inner) => {
    const key = fc.oneof(
      { weight: 9, arbitrary: fc.constantFrom<string>(...fieldNames) },
      { weight: 1, arbitrary: fc.constant(`${inner}0:`) },
    );
    const bot = fc.dictionary(key, value(inner));
    return fc.tuple(fc.constant(inner), fc.array(bot, { maxLength: 4 }));
  });
  fc.assert(
    fc.property(bots, ([inner, list]) => {
      expectKept(
        inner,
        { BOTS_FILE: "/etc/bots.json", T: `9:${inner}!` },
        { "/etc/bots.json": JSON.stringify({ bots: list }) },
      );
    }),
    { numRuns: 3_000 },
  );
});

test("no fault repeats a secret of a BOTS_FILE that is cut off or damaged anywhere", () => {
  const whole = (inner: string): string =>
    JSON.stringify({ bots: [{ name: "a", token: `123456:${inner}`, module: "echo" }] });
  fc.assert(
    fc.property(secret, fc.nat(), fc.constantFrom("", '"', "\\", "}", "\u0000", "x"), (inner, at, damage) => {
      const file = whole(inner);
      const cut = at % file.length;
      expectKept(inner, { BOTS_FILE: "/f.json" }, { "/f.json": file.slice(0, cut) + damage });
      expectKept(inner, { BOTS_FILE: "/f.json" }, { "/f.json": file.slice(0, cut) + damage + file.slice(cut) });
    }),
    { numRuns: 1_000 },
  );
});

test("a BOTS_FILE that holds a bare secret instead of JSON keeps it", () => {
  fc.assert(
    fc.property(text, ({ inner, text: content }) =>
      expectKept(inner, { BOTS_FILE: "/f.json" }, { "/f.json": content }),
    ),
  );
});

test("any environment is read to settings or to at least one fault, and never throws", () => {
  const name = fc.constantFrom<string>(...names, ...names.map((each) => `${each}_FILE`));
  const hostile = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.webUrl(),
    fc.json(),
    fc.constantFrom("true", "0", "1", "echo", ...tokens),
  );
  fc.assert(
    fc.property(fc.dictionary(name, hostile), hostile, (env, content) => {
      const read = readSettings(env, (path) => (path.length % 2 === 0 ? content : reader({})(path)));
      if ("faults" in read) expect(read.faults.length).toBeGreaterThan(0);
      else expect(read.settings.bots.length).toBeGreaterThan(0);
    }),
    { numRuns: 2_000 },
  );
});

test("a failing file system that throws something odd is still a fault without its text", () => {
  for (const thrown of [
    new Error("secret-in-message"),
    "secret-in-message",
    null,
    { code: "secret-in-message" },
    { code: 5 },
  ]) {
    const read = readSettings({ BOT_TOKENS_FILE: "/run/t" }, () => {
      throw thrown;
    });
    expect(read).toEqual({ faults: ["BOT_TOKENS_FILE: /run/t cannot be read: unknown reason"] });
  }
});
