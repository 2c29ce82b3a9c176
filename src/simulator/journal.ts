/** What an oracle counts in: every update made, delivered and confirmed, every call that came in. */
import type { Counts, JournalEntry, PollEntry, SendEntry, UpdateEntry } from "./journal-entries.ts";
import { zero } from "./journal-entries.ts";

export interface JournalListener {
  /** After an update entered the queue. */
  update?(entry: UpdateEntry): void;
  /** After a send was answered (or lost). */
  send?(entry: SendEntry): void;
  /** After a getUpdates ended. */
  poll?(entry: PollEntry): void;
}

interface BotCounts {
  readonly all: Counts;
  readonly chats: Map<number, Counts>;
  /** Calls by method as the caller spelled it, answers by status. */
  readonly calls: Map<string, number>;
}

export interface JournalOptions {
  /** Also keep the entries, up to `maxEntries`. */
  readonly full?: boolean;
  /** Further entries are counted in `left` and not kept; default 1,000,000. */
  readonly maxEntries?: number;
}

/** Counters are always on; entries are kept only where `full`. */
export class Journal {
  readonly entries: JournalEntry[] = [];
  /** Entries that were not kept because `maxEntries` was reached. */
  left = 0;
  /** May be switched at any time. */
  full: boolean;
  readonly #maxEntries: number;
  readonly #all = zero();
  readonly #bots = new Map<number, BotCounts>();
  readonly #listeners = new Set<JournalListener>();

  constructor(options: JournalOptions = {}) {
    this.full = options.full ?? false;
    this.#maxEntries = options.maxEntries ?? 1_000_000;
  }

  /** Returns how to stop listening. */
  listen(listener: JournalListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The live totals of everything, of a bot, or of a chat of it. */
  counts(bot?: number, chat?: number): Readonly<Counts> {
    if (bot === undefined) return this.#all;
    const of = this.#bots.get(bot);
    return (chat === undefined ? of?.all : of?.chats.get(chat)) ?? zero();
  }

  /** Calls of a bot by method. */
  calls(bot: number): ReadonlyMap<string, number> {
    return this.#of(bot).calls;
  }

  /** Forgets the kept entries; counters go on. */
  clearEntries(): void {
    this.entries.length = 0;
    this.left = 0;
  }

  called(bot: number, method: string): void {
    const { calls } = this.#of(bot);
    calls.set(method, (calls.get(method) ?? 0) + 1);
  }

  /** An update entered the queue, or did not (`dropped`, `filtered`). */
  created(entry: UpdateEntry): void {
    const name = entry.state === "dropped" || entry.state === "filtered" ? entry.state : "created";
    this.#count(entry, name);
    this.#keep(entry);
    if (name === "created") for (const listener of this.#listeners) listener.update?.(entry);
  }

  delivered(entry: UpdateEntry): void {
    if (entry.delivered++ > 0) this.#count(entry, "repeated");
    this.#count(entry, "delivered");
  }

  ended(entry: UpdateEntry, how: "confirmed" | "expired" | "deleted"): void {
    entry.state = how;
    this.#count(entry, how);
  }

  sent(entry: SendEntry): void {
    this.#count(entry, "sends");
    if (entry.effect) this.#count(entry, "sendEffects");
    if (entry.outcome === 200) this.#count(entry, "sendsOk");
    this.#keep(entry);
    for (const listener of this.#listeners) listener.send?.(entry);
  }

  polled(entry: PollEntry): void {
    for (const listener of this.#listeners) listener.poll?.(entry);
  }

  #of(bot: number): BotCounts {
    let found = this.#bots.get(bot);
    if (found === undefined) {
      found = { all: zero(), chats: new Map(), calls: new Map() };
      this.#bots.set(bot, found);
    }
    return found;
  }

  #count(entry: JournalEntry, name: keyof Counts): void {
    const of = this.#of(entry.bot);
    let chat = of.chats.get(entry.chat);
    if (chat === undefined) {
      chat = zero();
      of.chats.set(entry.chat, chat);
    }
    this.#all[name]++;
    of.all[name]++;
    chat[name]++;
  }

  #keep(entry: JournalEntry): void {
    if (!this.full) return;
    if (this.entries.length < this.#maxEntries) this.entries.push(entry);
    else this.left++;
  }
}
