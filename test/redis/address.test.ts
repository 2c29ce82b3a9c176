import { expect, test } from "bun:test";
import { readAddress } from "../../src/redis/address.ts";

test("one server is left to the client, and its database is known", () => {
  for (const [text, database] of [
    ["redis://127.0.0.1:6379", "0"],
    ["rediss://:pa%2Fss@host/3", "3"],
  ] as const) {
    expect(readAddress(text)).toEqual({ kind: "server", url: text, database });
  }
});

test("sentinels are listed with the name of the primary; ports, credentials and database may be left out", () => {
  expect(readAddress("redis+sentinel://ann:pa%2Fss@one:1,two/main/2")).toEqual({
    kind: "sentinels",
    sentinels: [
      { host: "one", port: 1 },
      { host: "two", port: 26_379 },
    ],
    name: "main",
    username: "ann",
    password: "pa/ss",
    database: "2",
  });
  expect(readAddress("redis+sentinel://:secret@one/main")).toMatchObject({
    username: undefined,
    password: "secret",
    database: "0",
  });
  expect(readAddress("redis+sentinel://[::1],[::2]:7/main")).toMatchObject({
    sentinels: [
      { host: "::1", port: 26_379 },
      { host: "::2", port: 7 },
    ],
  });
  expect(readAddress("redis+sentinel://:a:b%3Ac@one/my%20main")).toMatchObject({ password: "a:b:c", name: "my main" });
  expect(readAddress("redis+sentinel://one/main")).toMatchObject({ username: undefined, password: undefined });
});

test("anything else is refused in words that do not hold it", () => {
  for (const text of [
    "secret",
    "redis+sentinel://:secret@/main",
    "redis+sentinel://:secret@one",
    "redis+sentinel://:secret%@one/main",
    "redis+sentinel://:secret@one:0/main",
    "redis+sentinel://:secret@one:1:2/main",
    "redis+sentinel://:secret@one,/main",
    "redis+sentinel://:secret@one /main",
    "redis+sentinel://:secret@one/main/x",
    "redis+sentinel://:secret@one/main#x",
    "redis://:secret@one two",
  ]) {
    expect(() => readAddress(text)).toThrow("the address of Redis has not the form");
    expect(() => readAddress(text)).not.toThrow("secret");
  }
});
