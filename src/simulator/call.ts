/** One call to the simulated Bot API, and the chat it is about. */
import type { SimulatedBot } from "./bot.ts";
import type { Chat } from "./chats.ts";
import { refusedAnswer } from "./chats.ts";
import type { Answer, Payload } from "./wire.ts";
import { ok, refusal } from "./wire.ts";

export interface Call {
  readonly bot: SimulatedBot;
  /** In lower case. */
  readonly method: string;
  readonly payload: Payload;
  /** Wall-clock ms. */
  readonly now: number;
  /** Chats that nobody opened exist all the same. */
  readonly anyChat: boolean;
}

/** 400 with `Bad Request: ` and what is wrong. */
export const bad = (what: string): Answer => refusal(400, `Bad Request: ${what}`);
/** `"result":true`. */
export const yes = ok("true");

/** Runs `act` in the chat that the call names, if the bot may write there. */
export function inChat(call: Call, act: (chat: Chat) => Answer): Answer {
  const id = call.payload["chat_id"];
  if (id === undefined || id === "") return bad("chat_id is empty");
  const chat = findChat(call, id);
  if (chat === undefined) return bad("chat not found");
  return chat.refused === undefined ? act(chat) : refusedAnswer(chat, chat.refused);
}

function findChat({ bot, anyChat }: Call, id: unknown): Chat | undefined {
  if (typeof id === "string" && id.startsWith("@")) {
    for (const chat of bot.chats.values()) if (chat.username === id.slice(1)) return chat;
    return undefined;
  }
  const number = Number(id);
  if (!Number.isSafeInteger(number) || number === 0) return undefined;
  return anyChat ? bot.chat(number) : bot.chats.get(number);
}
