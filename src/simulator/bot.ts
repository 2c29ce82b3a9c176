/** One simulated bot: what Telegram keeps for it. */
import type { Clock } from "../clock.ts";
import type { Token } from "../ids.ts";
import type { QueueLimits } from "./bot-queue.ts";
import { BotQueue } from "./bot-queue.ts";
import { Chat } from "./chats.ts";
import type { UpdateEntry } from "./journal-entries.ts";
import type { Journal } from "./journal.ts";
import { examine, withId } from "./injected.ts";
import { LongPoll } from "./long-poll.ts";
import { retentionMs } from "./retention.ts";
import type { SendLimits } from "./send-limits.ts";
import { SendLimiter } from "./send-limits.ts";
import { makeToken } from "./token.ts";

export interface BotSpec {
  readonly id: number;
  /** Default: `makeToken(id)`. */
  readonly token?: Token;
  /** Default: `bot_<id>_bot`. */
  readonly username?: string;
  /** Default 1. */
  readonly firstUpdateId?: number;
  /** Sending limits to enforce; default: none. */
  readonly limits?: SendLimits;
}

export interface BotLimits extends QueueLimits {
  /** Messages of a chat that can still be looked at. */
  readonly historyPerChat: number;
}

/** A query that a bot may answer. */
interface Query {
  /** Monotonic ms. */
  readonly expiresAt: number;
  /** What the bot answered with, as sent. */
  answer?: Readonly<Record<string, unknown>>;
}

/** Kinds that `allowed_updates: []` leaves out. */
const optional = new Set(["chat_member", "message_reaction", "message_reaction_count"]);
/** Queries remembered for answers; the oldest is forgotten first. */
const queriesMax = 100_000;

export class SimulatedBot {
  readonly id: number;
  readonly token: Token;
  readonly me: Readonly<Record<string, unknown>>;
  readonly meJson: string;
  readonly queue: BotQueue;
  readonly poll: LongPoll;
  readonly chats = new Map<number, Chat>();
  readonly limiter: SendLimiter | undefined;
  /** `setWebhook`'s url; "" where none is set. */
  webhook = "";
  /** As set last; empty: the default set. */
  allowed: readonly string[] = [];
  /** Every call is answered 401. */
  revoked = false;
  readonly #queries = new Map<string, Query>();
  readonly #journal: Journal;
  readonly #clock: Clock;
  readonly #historyPerChat: number;

  constructor(
    spec: BotSpec,
    options: { readonly clock: Clock; readonly journal: Journal; readonly limits: BotLimits },
  ) {
    const { clock, journal, limits } = options;
    this.id = spec.id;
    this.token = spec.token ?? makeToken(spec.id);
    this.me = {
      id: spec.id,
      is_bot: true,
      first_name: `Bot ${spec.id}`,
      username: spec.username ?? `bot_${spec.id}_bot`,
      can_join_groups: true,
      can_read_all_group_messages: true,
      supports_inline_queries: true,
      can_connect_to_business: false,
      has_main_web_app: false,
    };
    this.meJson = JSON.stringify(this.me);
    this.#journal = journal;
    this.#clock = clock;
    this.#historyPerChat = limits.historyPerChat;
    this.limiter = spec.limits === undefined ? undefined : new SendLimiter(clock, spec.limits);
    this.queue = new BotQueue(spec.firstUpdateId ?? 1, {
      clock,
      limits,
      left: (update, how) => journal.ended(update.entry, how),
    });
    this.poll = new LongPoll(this.queue, clock, {
      delivered: (update) => journal.delivered(update.entry),
      ended: (poll) => journal.polled({ bot: spec.id, ...poll }),
    });
  }

  /** The chat, made where the bot does not know it yet. */
  chat(id: number): Chat {
    let chat = this.chats.get(id);
    if (chat === undefined) {
      chat = new Chat(id, this.#historyPerChat);
      this.chats.set(id, chat);
    }
    return chat;
  }

  wants(kind: string): boolean {
    return this.allowed.length === 0 ? !optional.has(kind) : this.allowed.includes(kind);
  }

  /** Puts `{"update_id":…,"<kind>":<body>}` into the queue; `body` is JSON text. */
  push(kind: string, body: string, about: { readonly chat: number; readonly text?: string }): UpdateEntry {
    const entry = this.#entry(kind, about.chat, about.text);
    if (!this.wants(kind)) return this.#refuse(entry, "filtered");
    return this.#enqueue(entry, `{"update_id":${entry.updateId},"${kind}":${body}}`);
  }

  /**
   * Puts any update into the queue, whatever `allowed_updates` says. A text goes out as it is; an object gets an `update_id` where it has
   * none. Its chat and its query become known to the bot.
   */
  inject(update: unknown): UpdateEntry {
    const { kind, chat, text, queryId, sentId } = examine(update);
    const entry = this.#entry(kind, chat ?? 0, text);
    if (chat !== undefined) this.chat(chat);
    if (queryId !== undefined) this.ask(queryId, kind);
    if (sentId !== undefined && isPlace(sentId) && sentId >= entry.updateId) entry.updateId = sentId;
    return this.#enqueue(entry, withId(update, entry.updateId), sentId);
  }

  /** Numbers the updates from `firstId` on, as after a week without any. False, and nothing happens, while updates wait. */
  restartNumbering(firstId: number): boolean {
    if (this.queue.size > 0) return false;
    this.queue.nextId = firstId;
    return true;
  }

  /** A query that can be answered from now on, as long as Telegram keeps its kind. */
  ask(queryId: string, kind: string): void {
    if (this.#queries.size >= queriesMax)
      for (const oldest of this.#queries.keys()) {
        this.#queries.delete(oldest);
        break;
      }
    this.#queries.set(queryId, { expiresAt: this.#clock.monotonic() + retentionMs(kind) });
  }

  /** The query, while it can be answered. */
  query(queryId: string): Query | undefined {
    const query = this.#queries.get(queryId);
    return query === undefined || query.expiresAt < this.#clock.monotonic() ? undefined : query;
  }

  #entry(kind: string, chat: number, text: string | undefined): UpdateEntry {
    const updateId = this.queue.nextId;
    const at = this.#clock.now();
    return { type: "update", bot: this.id, chat, updateId, kind, text, at, delivered: 0, state: "queued" };
  }

  #enqueue(entry: UpdateEntry, json: string, sentId?: number): UpdateEntry {
    if (!this.queue.push(entry, json, sentId)) return this.#refuse(entry, "dropped");
    this.#journal.created(entry);
    this.poll.updated();
    return entry;
  }

  #refuse(entry: UpdateEntry, state: "dropped" | "filtered"): UpdateEntry {
    entry.updateId = -1;
    entry.state = state;
    this.#journal.created(entry);
    return entry;
  }
}

/** Ids that Telegram could give. */
function isPlace(id: number): boolean {
  return Number.isInteger(id) && id >= 0 && id < 2 ** 31;
}
