/** That two pollers of one bot, and a bot without one, would be seen. */
import { expect, test } from "bun:test";
import type { PollEntry } from "../../src/simulator/journal-entries.ts";
import { Journal } from "../../src/simulator/journal.ts";
import { Polls } from "./polls.ts";

const bot = 7;

/** Polls in the order in which they ended: who, from when, until when. */
function pollsOf(...entries: readonly (readonly [from: string, at: number, endedAt: number])[]): Polls {
  const journal = new Journal();
  const polls = new Polls(journal);
  for (const [from, at, endedAt] of entries) journal.polled({ bot, from, at, endedAt, end: "answered" });
  return polls;
}

const pairsOf = (polls: Polls): string[] =>
  polls.overlaps().map(({ first, second }) => `${shown(first)} ${shown(second)}`);
const shown = ({ from, at }: PollEntry): string => `${from}${at}`;

test("a poll that begins while another instance has one open overlaps, also where that one ends later", () => {
  expect(pairsOf(pollsOf(["a", 0, 10], ["b", 9, 20]))).toEqual(["a0 b9"]);
  expect(pairsOf(pollsOf(["b", 5, 6], ["b", 7, 8], ["a", 0, 10]))).toEqual(["a0 b5", "a0 b7"]);
});

test("polls of one instance, and of one after the other, do not", () => {
  expect(pairsOf(pollsOf(["a", 0, 10], ["a", 9, 20], ["b", 20, 30]))).toEqual([]);
});

test("instances that poll in turns take more turns than a hand-over", () => {
  expect(pollsOf(["a", 0, 1], ["a", 1, 2], ["b", 2, 3], ["b", 3, 4]).turns(bot)).toBe(2);
  expect(pollsOf(["a", 0, 1], ["b", 1, 2], ["a", 2, 3], ["b", 3, 4]).turns(bot)).toBe(4);
});

test("the longest time without an open poll counts within the times that are asked for", () => {
  const polls = pollsOf(["a", 0, 10], ["a", 13, 14], ["a", 12, 40], ["b", 45, 90]);
  expect(polls.longestGapMs(bot, 5, 80)).toBe(5);
  expect(polls.longestGapMs(bot, 5, 44)).toBe(4);
  expect(polls.longestGapMs(bot, 20, 97)).toBe(7);
});
