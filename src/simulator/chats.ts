/** Chats of one bot, as the people in them see them. */
import type { Answer } from "./wire.ts";
import { refusal, words } from "./wire.ts";

export type ChatType = "private" | "group" | "supergroup" | "channel";

/** Why a bot may not write to a chat. */
export type Refusal =
  "blocked" | "deactivated" | "not_started" | "kicked" | "deleted" | { readonly upgradedTo: number };

export interface Button {
  readonly text: string;
  /** `callback_data`; absent on buttons of a reply keyboard. */
  readonly data?: string;
}

/** A message as it stands now. */
export interface SeenMessage {
  readonly messageId: number;
  /** `bot`, or the id of the person. */
  readonly from: "bot" | number;
  /** `text`, `photo`, `document`, ...: what follows `send` in the method's name. */
  readonly kind: string;
  /** Text or caption. */
  readonly text: string;
  readonly buttons: readonly (readonly Button[])[];
  /** Wall-clock ms of the last change. */
  readonly at: number;
  readonly edited: boolean;
  /** Rises with every message and edit of the chat. */
  readonly moment: number;
}

type Waiter = (message: SeenMessage) => void;

/** The type that the number of a chat stands for, where nobody said otherwise. */
export function chatTypeOf(id: number): ChatType {
  if (id > 0) return "private";
  return id <= -1_000_000_000_000 ? "supergroup" : "group";
}

export class Chat {
  readonly id: number;
  type: ChatType;
  #title: string | undefined;
  /** `@name` without the @. */
  username: string | undefined;
  refused: Refusal | undefined;
  /** Highest id given to a message. */
  lastMessageId = 0;
  /** `moment` of what a person last said or pressed here. */
  touched = 0;
  #moment = 0;
  #history: SeenMessage[] | undefined;
  #waiters: Set<Waiter> | undefined;
  readonly #historyMax: number;

  constructor(id: number, historyMax: number) {
    this.id = id;
    this.type = chatTypeOf(id);
    this.#historyMax = historyMax;
  }

  /** Name of the person or group. */
  get title(): string {
    return this.#title ?? (this.id > 0 ? `Person ${this.id}` : `Group ${-this.id}`);
  }

  set title(title: string) {
    this.#title = title;
  }

  /** The newest messages, oldest first. */
  get history(): readonly SeenMessage[] {
    return this.#history ?? [];
  }

  /** As in the field `chat` of a message, JSON text. */
  get json(): string {
    const name = this.type === "private" ? "first_name" : "title";
    const username = this.username === undefined ? "" : `"username":${JSON.stringify(this.username)},`;
    return `{"id":${this.id},"${name}":${JSON.stringify(this.title)},${username}"type":"${this.type}"}`;
  }

  find(messageId: number): SeenMessage | undefined {
    return this.#history?.findLast((message) => message.messageId === messageId);
  }

  /** Shows a message, or shows it changed where its id is known. */
  show(message: Omit<SeenMessage, "moment">): void {
    const seen: SeenMessage = { ...message, moment: ++this.#moment };
    if (message.from !== "bot") this.touched = seen.moment;
    this.#remember(seen);
    if (this.#waiters !== undefined) for (const waiter of this.#waiters) waiter(seen);
  }

  /** A person did something here that is not a message: what follows is an answer to it. */
  touch(): void {
    this.touched = ++this.#moment;
  }

  remove(messageId: number): void {
    const at = this.#history?.findIndex((message) => message.messageId === messageId) ?? -1;
    if (at >= 0) this.#history?.splice(at, 1);
  }

  /** Calls `waiter` for every message and edit from now on. Returns how to stop. */
  watch(waiter: Waiter): () => void {
    this.#waiters ??= new Set();
    this.#waiters.add(waiter);
    return () => this.#waiters?.delete(waiter);
  }

  #remember(seen: SeenMessage): void {
    if (this.#historyMax === 0) return;
    this.#history ??= [];
    const at = seen.edited ? this.#history.findIndex((other) => other.messageId === seen.messageId) : -1;
    if (at >= 0) this.#history[at] = seen;
    else this.#history.push(seen);
    if (this.#history.length > this.#historyMax) this.#history.shift();
  }
}

/** Telegram's answer to a bot that writes to a chat closed to it. */
export function refusedAnswer(chat: Chat, refused: Refusal): Answer {
  if (typeof refused === "object") {
    const parameters = { migrate_to_chat_id: refused.upgradedTo };
    return refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", parameters);
  }
  switch (refused) {
    case "blocked":
      return refusal(403, words.blocked);
    case "deactivated":
      return refusal(403, "Forbidden: user is deactivated");
    case "not_started":
      return refusal(403, "Forbidden: bot can't initiate conversation with a user");
    case "kicked":
      if (chat.type === "channel") return refusal(403, "Forbidden: bot is not a member of the channel chat");
      return refusal(403, `Forbidden: bot was kicked from the ${chat.type} chat`);
    case "deleted":
      return refusal(403, "Forbidden: the group chat was deleted");
  }
}
