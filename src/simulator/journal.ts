/** What an oracle counts in: every update made, delivered and confirmed, every call that came in. */

/** One update from its creation to its end. */
export interface UpdateEntry {
  readonly type: "update";
  readonly bot: number;
  /** 0 where the update belongs to no chat. */
  readonly chat: number;
  /** Its place in the numbering of the bot; -1 where it was dropped or filtered. */
  updateId: number;
  readonly kind: string;
  readonly text: string | undefined;
  /** Wall-clock ms. */
  readonly at: number;
  /** Answers to getUpdates that held it. */
  delivered: number;
  /**
   * `dropped` the queue was full · `filtered` `allowed_updates` leaves its kind out · `deleted` by a negative offset or
   * `drop_pending_updates`.
   */
  state: "queued" | "confirmed" | "expired" | "deleted" | "dropped" | "filtered";
}

/** One call that puts something into a chat (`send...`, `editMessageText`, `deleteMessage`, ...), in the order of arrival. */
export interface SendEntry {
  readonly type: "send";
  readonly bot: number;
  readonly chat: number;
  readonly method: string;
  /** Text or caption. */
  readonly text: string;
  readonly at: number;
  /** It took effect: the person sees it. */
  readonly effect: boolean;
  /** What went back: the HTTP status, or how no answer came. */
  readonly outcome: number | "hang" | "reset" | "truncated" | "refused";
}

export type JournalEntry = UpdateEntry | SendEntry;

/** Running totals of a chat, a bot or the whole simulator. */
export interface Counts {
  /** Updates that entered the queue. */
  created: number;
  /** Deliveries, repeats included. */
  delivered: number;
  /** Deliveries of an update that had been delivered before. */
  repeated: number;
  confirmed: number;
  expired: number;
  deleted: number;
  dropped: number;
  filtered: number;
  /** Calls that put something into a chat. */
  sends: number;
  /** Those that took effect. */
  sendEffects: number;
  /** Those answered with `ok: true`. */
  sendsOk: number;
}

export interface JournalListener {
  /** After an update entered the queue. */
  update?(entry: UpdateEntry): void;
  /** After a send was answered (or lost). */
  send?(entry: SendEntry): void;
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

function zero(): Counts {
  return {
    created: 0,
    delivered: 0,
    repeated: 0,
    confirmed: 0,
    expired: 0,
    deleted: 0,
    dropped: 0,
    filtered: 0,
    sends: 0,
    sendEffects: 0,
    sendsOk: 0,
  };
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
