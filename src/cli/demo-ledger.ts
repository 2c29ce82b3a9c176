/**
 * Everything said in the demo and what became of it. The oracle counts numbered messages; what a person types has no number, so it is
 * given one here, for the oracle alone.
 */
import type { BotApi } from "../simulator/bot-api.ts";
import type { SendEntry } from "../simulator/journal-entries.ts";
import { numbered, Oracle, type OracleReport } from "../simulator/oracle.ts";

/** The bot answered something that a person typed. */
export interface Answer {
  readonly person: number;
  readonly text: string;
  readonly afterMs: number;
  /** It had been answered before. */
  readonly again: boolean;
}

export interface LedgerOptions {
  readonly api: BotApi;
  readonly bot: number;
  /** Chats from this number on are the crowd's, whose texts carry their numbers; below it people type. */
  readonly firstCrowdChat: number;
  readonly onAnswer: (answer: Answer) => void;
}

interface Typed {
  readonly person: number;
  readonly text: string;
  readonly n: number;
  /** Monotonic ms. */
  readonly at: number;
  answered: boolean;
}

/** Typed messages remembered to find their answers; beyond it the oldest is forgotten. */
const typedMax = 1_000;

export class Ledger {
  readonly #options: LedgerOptions;
  readonly #oracle = new Oracle();
  readonly #next = new Map<number, number>();
  #typed: Typed[] = [];

  constructor(options: LedgerOptions) {
    this.#options = options;
    // Updates are counted where they are said: the oracle must see the number, the bot the words.
    options.api.journal.listen({ send: (entry) => this.#sent(entry) });
  }

  /** Messages not answered yet. */
  get open(): number {
    return this.#oracle.open;
  }

  report(): OracleReport {
    return this.#oracle.report();
  }

  /** A person types. False where the queue at Telegram is full and the message was never sent. */
  say(person: number, text: string): boolean {
    const { api, bot } = this.#options;
    const n = this.#next.get(person) ?? 0;
    const entry = api.people.person(person).say(bot, text);
    if (entry.state !== "queued") return false;
    this.#next.set(person, n + 1);
    this.#typed.push({ person, text, n, at: api.clock.monotonic(), answered: false });
    if (this.#typed.length > typedMax) this.#typed = this.#typed.slice(-typedMax / 2);
    this.#oracle.read([{ ...entry, text: numbered(person, n) }]);
    return true;
  }

  /** `count` numbered messages at once, over `chats` chats of the crowd from `firstChat` on in turn. Returns how many Telegram took. */
  crowd(count: number, chats: number, firstChat = 0): number {
    const { api, bot, firstCrowdChat } = this.#options;
    for (let at = 0; at < count; at++) {
      const chat = firstCrowdChat + firstChat + (at % chats);
      const n = this.#next.get(chat) ?? 0;
      const entry = api.people.person(chat).say(bot, numbered(chat, n));
      if (entry.state !== "queued") return at;
      this.#next.set(chat, n + 1);
      this.#oracle.read([entry]);
    }
    return count;
  }

  #sent(entry: SendEntry): void {
    if (!entry.effect) return;
    if (entry.chat >= this.#options.firstCrowdChat) {
      this.#oracle.read([entry]);
      return;
    }
    const same = this.#typed.filter(({ person, text }) => person === entry.chat && text === entry.text);
    const typed = same.find(({ answered }) => !answered) ?? same.at(-1);
    // Left over from an earlier demo in the same data folder.
    if (typed === undefined) return;
    this.#oracle.read([{ ...entry, text: numbered(typed.person, typed.n) }]);
    const afterMs = this.#options.api.clock.monotonic() - typed.at;
    this.#options.onAnswer({ person: typed.person, text: typed.text, afterMs, again: typed.answered });
    typed.answered = true;
  }
}
