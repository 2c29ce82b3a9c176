/** Counts what became of numbered messages: whether each was answered, once, and in order within its chat. */
import type { JournalEntry, SendEntry, UpdateEntry } from "./journal-entries.ts";
import type { Journal } from "./journal.ts";

/** The numbered text of a message: `#<chat> <n>`. An answer holds the same text, alone or within another. */
export function numbered(chat: number, n: number): string {
  return `#${chat} ${n}`;
}

const numberedForm = /#(-?\d+) (\d+)/;

export interface OracleReport {
  /** Numbered messages that entered a queue. */
  readonly sent: number;
  /** Of these, answered at least once. */
  readonly answered: number;
  /** Of these, not answered (so far). */
  readonly lost: number;
  /** Answered for the first time after a later message of the same chat was. */
  readonly reordered: number;
  /** Answers beyond the first. */
  readonly doubled: number;
  /** Answers to messages nobody sent, or in another chat. */
  readonly strange: number;
  /** Time from message to first answer, ms; percentiles of an even sample. */
  readonly latency: Readonly<Record<"p50Ms" | "p95Ms" | "p99Ms" | "maxMs", number>>;
  /** The first few faults in words, for whoever must find out why; lost ones included. */
  readonly examples: readonly string[];
}

interface ChatState {
  readonly bot: number;
  readonly chat: number;
  /** Messages not answered yet, and when they were sent. Absent while there are none: most chats of a big load are quiet. */
  open: Map<number, number> | undefined;
  /** Highest number sent; -1 before the first. */
  last: number;
  /** Highest number answered. */
  highest: number;
}

const examplesMax = 20;
const samplesMax = 20_000;

export class Oracle {
  readonly #bots = new Map<number, Map<number, ChatState>>();
  readonly #examples: string[] = [];
  readonly #samples: number[] = [];
  #seen = 0;
  #maxMs = 0;
  #sent = 0;
  #answered = 0;
  #reordered = 0;
  #doubled = 0;
  #strange = 0;

  /** Counts from now on. Returns how to stop. */
  follow(journal: Journal): () => void {
    return journal.listen({ update: (entry) => this.#update(entry), send: (entry) => this.#send(entry) });
  }

  /** Counts what a full journal kept. */
  read(entries: readonly JournalEntry[]): this {
    for (const entry of entries) {
      if (entry.type === "send") this.#send(entry);
      else if (entry.state !== "dropped" && entry.state !== "filtered") this.#update(entry);
    }
    return this;
  }

  /** Messages sent and not answered. */
  get open(): number {
    return this.#sent - this.#answered;
  }

  report(): OracleReport {
    const sorted = this.#samples.toSorted((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
    return {
      sent: this.#sent,
      answered: this.#answered,
      lost: this.open,
      reordered: this.#reordered,
      doubled: this.#doubled,
      strange: this.#strange,
      latency: { p50Ms: at(0.5), p95Ms: at(0.95), p99Ms: at(0.99), maxMs: this.#maxMs },
      examples: [...this.#examples, ...this.#lost(examplesMax - this.#examples.length)],
    };
  }

  #update(entry: UpdateEntry): void {
    const found = numberIn(entry.text);
    if (found === undefined || found.chat !== entry.chat) return;
    const chat = this.#chat(entry.bot, entry.chat);
    this.#sent++;
    chat.last = Math.max(chat.last, found.n);
    chat.open ??= new Map();
    chat.open.set(found.n, entry.at);
  }

  #send(entry: SendEntry): void {
    if (!entry.effect) return;
    const found = numberIn(entry.text);
    if (found === undefined) return;
    const chat = this.#bots.get(entry.bot)?.get(entry.chat);
    if (chat === undefined || found.chat !== entry.chat || found.n > chat.last) {
      this.#strange++;
      this.#example(entry, found.n, "answers nothing that was sent");
      return;
    }
    const sentAt = chat.open?.get(found.n);
    if (sentAt === undefined) {
      this.#doubled++;
      this.#example(entry, found.n, "answered again");
      return;
    }
    chat.open?.delete(found.n);
    if (chat.open?.size === 0) chat.open = undefined;
    this.#answered++;
    this.#sample(entry.at - sentAt);
    if (found.n < chat.highest) {
      this.#reordered++;
      this.#example(entry, found.n, `answered after ${chat.highest}`);
    } else {
      chat.highest = found.n;
    }
  }

  #chat(bot: number, chat: number): ChatState {
    let chats = this.#bots.get(bot);
    if (chats === undefined) this.#bots.set(bot, (chats = new Map()));
    let state = chats.get(chat);
    if (state === undefined) chats.set(chat, (state = { bot, chat, open: undefined, last: -1, highest: -1 }));
    return state;
  }

  #example({ bot, chat }: SendEntry, n: number, what: string): void {
    if (this.#examples.length < examplesMax) this.#examples.push(`bot ${bot} chat ${chat} message ${n}: ${what}`);
  }

  #lost(max: number): string[] {
    const examples: string[] = [];
    for (const chats of this.#bots.values()) {
      for (const { bot, chat, open } of chats.values()) {
        for (const n of open?.keys() ?? []) {
          if (examples.length >= max) return examples;
          examples.push(`bot ${bot} chat ${chat} message ${n}: not answered`);
        }
      }
    }
    return examples;
  }

  /** Keeps an even sample: when it is full, every second one goes and only every second of the further ones is kept. */
  #sample(ms: number): void {
    this.#maxMs = Math.max(this.#maxMs, ms);
    if (this.#seen++ % this.#stride !== 0) return;
    this.#samples.push(ms);
    if (this.#samples.length < samplesMax) return;
    this.#stride *= 2;
    for (let at = 0; at < samplesMax / 2; at++) this.#samples[at] = this.#samples[at * 2]!;
    this.#samples.length = samplesMax / 2;
  }

  #stride = 1;
}

function numberIn(text: string | undefined): { readonly chat: number; readonly n: number } | undefined {
  if (text === undefined) return undefined;
  const found = numberedForm.exec(text);
  return found === null ? undefined : { chat: Number(found[1]), n: Number(found[2]) };
}
