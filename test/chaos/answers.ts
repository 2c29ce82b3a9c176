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
  /** Of these, to a message that was in work at a kill between the two answers, or answered and its outcome not written. */
  readonly explained: number;
  /** Messages in such a state at a kill, over all kills: no more can be answered again. */
  readonly inWork: number;
  /** Longest time from an answer to the kill that made it be repeated, ms. */
  readonly oldestMs: number;
}

export class Answers {
  /** Bot and text of the message → wall-clock ms of each answer. */
  readonly #times = new Map<string, number[]>();
  readonly #bots: readonly number[] | undefined;
  /** Answers so far. */
  count = 0;

  /** `bots`: whose answers are counted; absent: of all. */
  constructor(journal: Journal, bots?: readonly number[]) {
    this.#bots = bots;
    journal.listen({ send: (entry) => this.#sent(entry) });
  }

  /** The bot's answers are counted. */
  isOf(bot: number): boolean {
    return this.#bots?.includes(bot) !== false;
  }

  of(bot: number, text: string): readonly number[] {
    return this.#times.get(keyOf(bot, text)) ?? [];
  }

  repetitions(kills: readonly Kill[]): Repetitions {
    const inWork = kills.map((kill) => ({ at: kill.at, overAt: kill.overAt, begun: this.#begunAt(kill) }));
    let doubled = 0;
    let explained = 0;
    let oldestMs = 0;
    for (const [key, times] of this.#times) {
      for (const [index, again] of times.entries()) {
        const before = times[index - 1];
        if (before === undefined) continue;
        doubled++;
        const cause = inWork.find(({ overAt, begun }) => overAt >= before && overAt <= again && begun.has(key));
        if (cause === undefined) continue;
        explained++;
        oldestMs = Math.max(oldestMs, cause.at - before);
      }
    }
    return { doubled, explained, inWork: inWork.reduce((sum, { begun }) => sum + begun.size, 0), oldestMs };
  }

  /**
   * A chat is handled one update at a time, but goes on before the outcome of the last one is written: of what is not settled, those
   * that were answered, and the first that was not.
   */
  #begunAt({ overAt, unsettled }: Kill): ReadonlySet<string> {
    const begun = new Set<string>();
    const waiting = new Set<string>();
    for (const { bot, lane, text } of unsettled) {
      const chat = `${bot} ${lane}`;
      if (waiting.has(chat)) continue;
      const key = keyOf(bot, text ?? "");
      begun.add(key);
      if (this.#times.get(key)?.some((at) => at <= overAt) !== true) waiting.add(chat);
    }
    return begun;
  }

  #sent({ effect, bot, text, at }: SendEntry): void {
    if (!effect || !this.isOf(bot)) return;
    this.count++;
    const times = this.#times.get(keyOf(bot, text));
    if (times === undefined) this.#times.set(keyOf(bot, text), [at]);
    else times.push(at);
  }
}

function keyOf(bot: number, text: string): string {
  return `${bot} ${text}`;
}
