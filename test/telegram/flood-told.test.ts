import { expect, test } from "bun:test";
import { toBotId } from "../../src/ids.ts";
import { refusalIn, refusalText } from "../../src/telegram/flood-told.ts";

const dayMs = 86_400_000;

test("what is told of a refused bot is understood, in whole milliseconds", () => {
  const text = refusalText({ bot: toBotId(7), waitMs: 1_500.2 });
  expect(refusalIn(text, dayMs)).toEqual({ bot: toBotId(7), waitMs: 1_501 });
});

test("whatever else is told is passed by, and so is a wait that is too long or none", () => {
  const of = (fields: object): string => JSON.stringify({ kind: "bot_refused", bot: 7, waitMs: 5, ...fields });
  expect(refusalIn(of({}), dayMs)).toBeDefined();
  for (const text of [
    "",
    "null",
    "7",
    "[]",
    '{"kind":"bot_refused"',
    of({ kind: "other" }),
    of({ bot: "7" }),
    of({ bot: 0 }),
    of({ bot: 1.5 }),
    of({ waitMs: 0 }),
    of({ waitMs: -1 }),
    of({ waitMs: "5" }),
    of({ waitMs: null }),
    of({ waitMs: dayMs + 1 }),
  ]) {
    expect([text, refusalIn(text, dayMs)]).toEqual([text, undefined]);
  }
});
