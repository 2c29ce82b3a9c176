/** When each numbered message was answered, however often, and which of the repetitions a kill explains. */
import type { SendEntry } from "../../src/simulator/journal-entries.ts";
import type { Journal } from "../../src/simulator/journal.ts";
import type { StoredUpdate } from "../support/inbox-file.ts";

/** One end of a process without warning. */
export interface Kill {
  /** Wall-clock ms at which the signal was sent, and at which everything the process had sent has been received. */
  readonly at: number;
  readonly overAt: number;
  /** What the inbox on disk held as unsettled then. */
  readonly unsettled: readonly StoredUpdate[];
}

export interface Repetitions {
  /** Answers beyond the first. */
  readonly doubled: number;
  /** Of these, to a message that a kill between the two answers cut off: see `isExplained`. */
  readonly explained: number;
  /** Chats with something in work at a kill, over all kills. */
  readonly inWork: number;
  /** Longest time from an answer to the kill that made it be repeated, ms. */
  readonly oldestMs: number;
}

export class Answers {
  /** Bot and text of the message → wall-clock ms of each answer. */
  readonly #times = new Map<string, number[]>();
  /** Answers so far. */
  count = 0;

  constructor(journal: Journal) {
    journal.listen({ send: (entry) => this.#sent(entry) });
  }

  of(bot: number, text: string): readonly number[] {
    return this.#times.get(keyOf(bot, text)) ?? [];
  }

  repetitions(kills: readonly Kill[]): Repetitions {
    const inWork = kills.map(({ unsettled, ...kill }) => ({
      ...kill,
      heads: new Set(headsOf(unsettled)),
      keys: new Set(unsettled.map(({ bot, text }) => keyOf(bot, text ?? ""))),
    }));
    let doubled = 0;
    let explained = 0;
    let oldestMs = 0;
    for (const [key, times] of this.#times) {
      for (const [index, again] of times.entries()) {
        const before = times[index - 1];
        if (before === undefined) continue;
        doubled++;
        const cause = inWork.find(
          ({ at, overAt, heads, keys }) =>
            overAt >= before && overAt <= again && (heads.has(key) || (keys.has(key) && at - before <= flushMaxMs)),
        );
        if (cause === undefined) continue;
        explained++;
        oldestMs = Math.max(oldestMs, cause.at - before);
      }
    }
    return { doubled, explained, inWork: inWork.reduce((sum, { heads }) => sum + heads.size, 0), oldestMs };
  }

  #sent({ effect, bot, text, at }: SendEntry): void {
    if (!effect) return;
    this.count++;
    const times = this.#times.get(keyOf(bot, text));
    if (times === undefined) this.#times.set(keyOf(bot, text), [at]);
    else times.push(at);
  }
}

/**
 * A chat is handled one update at a time, but goes on before the outcome of the last one is written: what was answered so shortly before
 * the kill may be unsettled and not the oldest of its chat. Promised are 100 ms; the margin is for disks that others use too.
 */
const flushMaxMs = 1_000;

/** The oldest unsettled message of each chat: it may have been in work for any time. */
function headsOf(unsettled: readonly StoredUpdate[]): string[] {
  const lanes = new Map<string, string>();
  for (const { bot, lane, text } of unsettled) {
    const key = `${bot} ${lane}`;
    if (!lanes.has(key)) lanes.set(key, keyOf(bot, text ?? ""));
  }
  return [...lanes.values()];
}

function keyOf(bot: number, text: string): string {
  return `${bot} ${text}`;
}
