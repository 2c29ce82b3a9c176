/**
 * What each update was answered, in each of its runs. A bot that answers every message once, in order, is watched from outside: after a kill a
 * chat goes on with the first of its updates that is not settled, so that the n-th answer since then belongs to the n-th update from there.
 */
import type { SendEntry, UpdateEntry } from "../../src/simulator/journal-entries.ts";
import type { Journal } from "../../src/simulator/journal.ts";
import type { StoredUpdate } from "../support/inbox-file.ts";

export interface ToldUpdate {
  readonly bot: number;
  readonly chat: number;
  readonly updateId: number;
  readonly text: string;
  /** One for each run that came so far. */
  readonly answers: string[];
}

interface Lane {
  readonly bot: number;
  readonly chat: number;
  readonly updates: ToldUpdate[];
  /** Place of the update that the next answer belongs to. */
  next: number;
  /** One behind the last that was answered. */
  answered: number;
}

export class Told {
  readonly #lanes = new Map<string, Lane>();
  /** Answers that belong to no update. */
  readonly strays: string[] = [];

  /** From the first update on. */
  constructor(journal: Journal) {
    journal.listen({ update: (entry) => this.#said(entry), send: (entry) => this.#answered(entry) });
  }

  /**
   * The process has ended, all it had sent has been received, and its inbox holds this. `concerns`: the chats that it had; absent: all. Others
   * go on elsewhere.
   */
  ended(unsettled: readonly StoredUpdate[], concerns?: (bot: number, chat: number) => boolean): void {
    for (const lane of this.#lanes.values()) {
      if (concerns === undefined || concerns(lane.bot, lane.chat)) lane.next = lane.answered;
    }
    for (const { bot, lane: chat, updateId } of unsettled.toReversed()) {
      const lane = this.#lanes.get(`${bot} ${chat}`);
      const place = lane?.updates.findIndex((update) => update.updateId === updateId) ?? -1;
      // The oldest of a chat is the last one to be seen here.
      if (lane !== undefined && place >= 0) lane.next = place;
    }
  }

  updates(): readonly ToldUpdate[] {
    return [...this.#lanes.values()].flatMap(({ updates }) => updates);
  }

  #said({ bot, chat, updateId, text = "" }: UpdateEntry): void {
    const key = `${bot} ${chat}`;
    const lane = this.#lanes.get(key) ?? { bot, chat, updates: [], next: 0, answered: 0 };
    this.#lanes.set(key, lane);
    lane.updates.push({ bot, chat, updateId, text, answers: [] });
  }

  #answered({ effect, bot, chat, text }: SendEntry): void {
    if (!effect) return;
    const lane = this.#lanes.get(`${bot} ${chat}`);
    const update = lane?.updates[lane.next];
    if (lane === undefined || update === undefined) {
      this.strays.push(`${bot} ${chat}: ${text}`);
      return;
    }
    update.answers.push(text);
    lane.next++;
    lane.answered = Math.max(lane.answered, lane.next);
  }
}
