/** A group that became a supergroup has a new number, which Telegram names in the refusal of a call to the old one. */
import type { Answer } from "./answers.ts";

/**
 * The payload with the chat's new number; undefined where there is nothing to follow. A call that names messages of the old chat
 * (`message_id`) is not followed: a supergroup numbers its messages anew, so it would change or delete another one. A reply to such a
 * message is sent, as a reply to nothing. Nor is a call where the chat it writes to cannot be the group that moved.
 */
export function movedPayload(payload: object, answer: Answer): object | undefined {
  if (answer.ok || answer.error_code !== 400) return undefined;
  const chat: unknown = answer.parameters?.migrate_to_chat_id;
  if (typeof chat !== "number" || !Number.isSafeInteger(chat)) return undefined;
  if (!("chat_id" in payload) || !isBasicGroup(payload.chat_id)) return undefined;
  const namesMessages = "message_id" in payload || "message_ids" in payload;
  // Of two groups it could be either: what is meant for one must not go to the other.
  const isCopy = "from_chat_id" in payload && !isBasicGroup(payload.from_chat_id);
  if (namesMessages && !isCopy) return undefined;
  return { ...payload, chat_id: chat, ...withoutReply(payload) };
}

/** The only kind of chat that moves: supergroups, channels and secret chats have numbers from -10^12 down, users positive ones. */
function isBasicGroup(chat: unknown): boolean {
  const id = Number(chat);
  return id < 0 && id > -1e12;
}

/** Fields that are undefined are left out when the payload is written. */
function withoutReply(payload: object): object {
  const reply = "reply_parameters" in payload ? payload.reply_parameters : undefined;
  const isElsewhere = typeof reply === "object" && reply !== null && "chat_id" in reply && !isBasicGroup(reply.chat_id);
  return isElsewhere
    ? { reply_to_message_id: undefined }
    : { reply_parameters: undefined, reply_to_message_id: undefined };
}
