import { describe, expect, test } from "bun:test";
import { createRedact, passwordIn } from "../../src/ops/redact.ts";

const token = "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc";
const tail = token.slice(token.indexOf(":") + 1);
const hash = "c501b71e775f74ce10e377dea85a7ea24ecd640b223ea86dfe453e0eaed2e2b2";

const places: readonly (readonly [string, string])[] = [
  ["alone", token],
  ["in a sentence", `token ${token}, refused`],
  ["in the address of a method", `https://api.telegram.org/bot${token}/sendMessage`],
  ["in the address of a file", `https://api.telegram.org/file/bot${token}/photos/file_1.jpg`],
  ["percent-encoded", `https://proxy.test/?to=${encodeURIComponent(`/bot${token}/getMe`)}`],
  ["in JSON", JSON.stringify({ path: `/bot${token}/getMe` })],
  ["in JSON within JSON", JSON.stringify({ body: JSON.stringify({ token }) })],
  ["after digits", `99999999999${token}`],
];

for (const [where, text] of places) {
  test(`a bot token ${where} is removed`, () => {
    expect(createRedact([])(text)).not.toContain(tail);
  });
}

test("a token of unusual length is removed where it stands in the path of an address", () => {
  const redact = createRedact([]);
  expect(redact("http://127.0.0.1:8081/bot7:short/getMe")).toBe("http://127.0.0.1:8081/bot<redacted>/getMe");
});

test("the number of the bot stays, so that an operator knows which token it was", () => {
  expect(createRedact([])(`refused ${token}`)).toBe("refused 123456789:<redacted>");
});

test("text without a secret stays as it is", () => {
  const redact = createRedact(["hunter22"]);
  const harmless = 'update 871234567 at 12:30:59 from http://127.0.0.1:3001/ready {"chat":-1001234567890,"hash":"42"}';
  expect(redact(harmless)).toBe(harmless);
});

test("the password of a URI is removed, one that holds an @ too", () => {
  const redact = createRedact([]);
  expect(redact("mongodb://bot:p@ss@db.test:27017/x?a=1")).toBe("mongodb://<redacted>@db.test:27017/x?a=1");
  expect(redact("redis://:s3cret@cache.test")).not.toContain("s3cret");
});

test("an exact secret is removed in the forms that URIs and JSON give it", () => {
  const secret = 'p"ss wörd\\1';
  const redact = createRedact([secret, "admin-token", "admin-token-2"]);
  const text = `${secret} ${encodeURIComponent(secret)} ${JSON.stringify(secret)} admin-token-2 admin-token`;
  expect(redact(text)).toBe('<redacted> <redacted> "<redacted>" <redacted> <redacted>');
});

test("the signature of initData is removed", () => {
  const redact = createRedact([]);
  for (const text of [
    `auth_date=1&hash=${hash}`,
    encodeURIComponent(`auth_date=1&hash=${hash}`),
    JSON.stringify({ hash }),
    JSON.stringify(JSON.stringify({ hash })),
  ]) {
    expect(redact(text)).not.toContain(hash.slice(0, 16));
  }
  const signature = "A".repeat(86);
  expect(redact(`signature=${signature}`)).not.toContain("AAAAAAAA");
});

test("hostile text of a million characters is redacted in linear time", () => {
  const redact = createRedact(["secret-secret"]);
  for (const unit of ["1", "://", "/bot1", "a:", "hash=", "hash==", "A1:"]) {
    const text = unit.repeat(1_000_000 / unit.length);
    const startedAt = performance.now();
    redact(text);
    // Linear takes some ten to a few hundred ms; quadratic takes minutes.
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  }
});

describe("the password of a URI", () => {
  test("is found as it stands there and decoded, whatever the scheme", () => {
    for (const [uri, found] of [
      ["redis://:se%40cret@host:6379/0", ["se%40cret", "se@cret"]],
      ["redis+sentinel://ann:se:cret@one:26379,two/main/0", ["se:cret", "se:cret"]],
      ["mongodb+srv://ann:secret@cluster.example/db", ["secret", "secret"]],
      ["redis+sentinel://one:26379,two:26379/main", []],
      ["redis://ann@host:6379", []],
    ] as const) {
      expect(passwordIn(uri)).toEqual(found);
    }
  });
});
