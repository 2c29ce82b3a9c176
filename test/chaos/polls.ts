/** Every poll of every bot, as Telegram saw it: whether two instances polled one at the same time, and how long nobody did. */
import type { PollEntry } from "../../src/simulator/journal-entries.ts";
import type { Journal } from "../../src/simulator/journal.ts";

/** The later of two polls of one bot by different callers, and the earlier one, which had not ended when it began. */
export interface Overlap {
  readonly first: PollEntry;
  readonly second: PollEntry;
}

export class Polls {
  /** By bot, in the order in which they ended. */
  readonly #ended = new Map<number, PollEntry[]>();

  constructor(journal: Journal) {
    journal.listen({
      poll: (entry) => {
        const polls = this.#ended.get(entry.bot);
        if (polls === undefined) this.#ended.set(entry.bot, [entry]);
        else polls.push(entry);
      },
    });
  }

  /** Of `bot` or all, those that have ended. */
  all(bot?: number): readonly PollEntry[] {
    return bot === undefined ? [...this.#ended.values()].flat() : (this.#ended.get(bot) ?? []);
  }

  /** Those that another one ended: the caller was answered 409. */
  conflicts(): readonly PollEntry[] {
    return this.all().filter(({ end }) => end === "conflict");
  }

  overlaps(): readonly Overlap[] {
    return [...this.#ended.values()].flatMap((polls) => {
      const found: Overlap[] = [];
      let last: PollEntry | undefined;
      for (const second of polls.toSorted((a, b) => a.at - b.at)) {
        if (last !== undefined && last.from !== second.from && second.at < last.endedAt) {
          found.push({ first: last, second });
        }
        if (last === undefined || second.endedAt >= last.endedAt) last = second;
      }
      return found;
    });
  }

  /** How often the caller was another one than before, the first one included. Two that poll in turns make it rise with each poll. */
  turns(bot: number): number {
    let last: string | undefined;
    let turns = 0;
    for (const { from } of this.all(bot).toSorted((a, b) => a.at - b.at)) {
      if (from !== last) turns++;
      last = from;
    }
    return turns;
  }

  /** Longest time within `sinceAt` and `untilAt`, wall-clock ms, in which no poll of `bot` was open, ms. All polls must have ended. */
  longestGapMs(bot: number, sinceAt: number, untilAt: number): number {
    let coveredUntil = sinceAt;
    let longest = 0;
    for (const { at, endedAt } of this.all(bot).toSorted((a, b) => a.at - b.at)) {
      if (at >= untilAt) break;
      longest = Math.max(longest, at - coveredUntil);
      coveredUntil = Math.max(coveredUntil, endedAt);
    }
    return Math.max(longest, untilAt - coveredUntil);
  }
}
