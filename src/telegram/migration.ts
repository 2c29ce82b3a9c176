/** A group that became a supergroup has a new number, which Telegram names in the refusal of a call to the old one. */
import type { Answer } from "./answers.ts";

/**
 * The payload with the chat's new number; undefined where there is nothing to follow. A call that names messages of the old chat
 * (`message_id`) is not followed: a supergroup numbers its messages anew, so it would change or delete another one.
 */
export function movedPayload(payload: object, answer: Answer): object | undefined {
  if (answer.ok || answer.error_code !== 400) return undefined;
  const chat: unknown = answer.parameters?.migrate_to_chat_id;
  if (typeof chat !== "number" || !Number.isSafeInteger(chat) || !("chat_id" in payload)) return undefined;
  const namesMessages = "message_id" in payload || "message_ids" in payload;
  const isCopy = "from_chat_id" in payload && Number(payload.from_chat_id) !== Number(payload.chat_id);
  return namesMessages && !isCopy ? undefined : { ...payload, chat_id: chat };
}
