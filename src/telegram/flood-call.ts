/** What flood control must know of a call: whom it writes to, and how urgent it is. */

/** A reply answers an update; a broadcast is bulk that nobody waits for. */
export type FloodKind = "reply" | "broadcast";

/** The number of a chat, else its `@name` in lower case: Telegram's limits know which chat a name means, we do not, so each stands alone. */
export type ChatKey = number | string;

/** One call, from its first `admit` to its `ended`, over all its tries. Made by `createFloodCall`; the rest belongs to flood control. */
export interface FloodCall {
  readonly method: string;
  readonly kind: FloodKind;
  /** Undefined where the call names no chat. */
  readonly chat: ChatKey | undefined;
  /** Whether it puts a message into a chat or changes one there. What does not is held back by a 429 alone. */
  readonly sends: boolean;
  /** Groups, supergroups and channels, which their ids do not tell apart; an `@name` can only be one of them. */
  readonly isGroup: boolean;
  /** Place in the order of all calls of the bot, 0 before the first `admit`; a call that is tried again keeps it. */
  order: number;
  /** How often it was answered with a 429. */
  refusals: number;
  /** How many calls had been let through when this one was, itself included. */
  passed: number;
  /** When it was let through, monotonic ms. */
  passedAt: number;
  /** Whether its chat's limits were all unused when it was let through. */
  wasQuiet: boolean;
}

/** `payload` as grammY hands it to a transformer. Never throws. */
export function createFloodCall(method: string, payload: object, kind: FloodKind): FloodCall {
  const chat = chatOf(payload);
  const sends = chat !== undefined && isSend(method);
  const isGroup = typeof chat === "string" || (chat !== undefined && chat < 0);
  return { method, kind, chat, sends, isGroup, order: 0, refusals: 0, passed: 0, passedAt: 0, wasQuiet: false };
}

/** Bounds what a name that somebody made up can cost; Telegram's have up to 32 characters. */
const nameMaxChars = 64;

function chatOf(payload: object): ChatKey | undefined {
  const chat: unknown = "chat_id" in payload ? payload.chat_id : undefined;
  if (typeof chat === "number") return chat;
  if (typeof chat !== "string" || chat === "") return undefined;
  return /^-?\d{1,15}$/.test(chat) ? Number(chat) : chat.slice(0, nameMaxChars).toLowerCase();
}

/**
 * New messages and edits. Deleting is not one: bots against spam delete by the dozen, and Telegram lets them. Neither are the signs of
 * typing and the drafts, which are meant to come many a second.
 */
function isSend(method: string): boolean {
  if (method.startsWith("send")) return method !== "sendChatAction" && !method.endsWith("Draft");
  return method.startsWith("editMessage") || method.startsWith("copyMessage") || method.startsWith("forwardMessage");
}
