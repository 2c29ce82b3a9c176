/** What an update means to the referral bot. Reads every field with care: an update may hold anything. */
import { payloadOf, toUserId, type Update, type UserId } from "../../ids.ts";
import type { BotState } from "../../users/user.ts";
import type { Profile } from "../../users/operations.ts";

export interface Sender {
  readonly id: UserId;
  /** As Telegram sent it, not fit to be shown. */
  readonly profile: Profile;
}

/** `name` in small letters, without slash and `@bot`; `argument` trimmed, at most 256 characters of it. */
interface Told {
  readonly name: string;
  readonly argument: string;
}

export type Incoming = { readonly from: Sender } & (
  | ({ readonly kind: "command"; readonly chat: number } & Told)
  | { readonly kind: "text"; readonly chat: number }
  /** In a group, with the bot's name behind it. `message`: its number there. */
  | ({ readonly kind: "group_command"; readonly chat: number; readonly message: number | undefined } & Told)
  /** `chat`: the private one of the message with the button; undefined anywhere else. */
  | { readonly kind: "press"; readonly query: string; readonly data: string; readonly chat: number | undefined }
  /** In the private chat. */
  | { readonly kind: "membership"; readonly state: BotState }
);

/** Longer than any code or address. */
const argumentMaxChars = 256;
/** Of a command with the bot's name behind it; Telegram's own have at most 32 each. */
const commandMaxChars = 80;

/** `username`: the bot's, in small letters. Undefined: nothing that this bot answers. Never throws. */
export function incomingOf(update: Update, username: string): Incoming | undefined {
  const found = payloadOf(update);
  const payload = partOf(found?.payload);
  const from = senderIn(payload);
  if (payload === undefined || from === undefined) return undefined;
  switch (found?.kind) {
    case "message":
      return messageIn(payload, from, username);
    case "callback_query":
      return pressIn(payload, from);
    case "my_chat_member":
      return membershipIn(payload, from);
    default:
      return undefined;
  }
}

type Part = Readonly<Record<string, unknown>>;

function partOf(value: unknown): Part | undefined {
  return typeof value === "object" && value !== null ? (value as Part) : undefined;
}

function textIn(part: Part, name: string): string | undefined {
  const value = part[name];
  return typeof value === "string" ? value : undefined;
}

function idIn(part: Part | undefined): number | undefined {
  const id = part?.["id"];
  return Number.isSafeInteger(id) && id !== 0 ? (id as number) : undefined;
}

/** Other bots are not answered, so that two of them never talk to each other for ever. */
function senderIn(payload: Part | undefined): Sender | undefined {
  const from = partOf(payload?.["from"]);
  const id = idIn(from);
  if (from === undefined || id === undefined || id < 0 || from["is_bot"] === true) return undefined;
  const username = textIn(from, "username");
  const languageCode = textIn(from, "language_code");
  const profile: Profile = {
    firstName: textIn(from, "first_name") ?? "",
    ...(username === undefined ? {} : { username }),
    ...(languageCode === undefined ? {} : { languageCode }),
  };
  return { id: toUserId(id), profile };
}

function messageIn(message: Part, from: Sender, username: string): Incoming | undefined {
  const chatPart = partOf(message["chat"]);
  const chat = idIn(chatPart);
  const text = textIn(message, "text");
  if (chat === undefined || text === undefined) return undefined;
  const command = commandIn(text);
  const { name = "", argument = "", to } = command ?? {};
  if (chatPart?.["type"] === "private") {
    const isOurs = command !== undefined && (to === undefined || to === username);
    return isOurs ? { kind: "command", from, chat, name, argument } : { kind: "text", from, chat };
  }
  if (to !== username) return undefined;
  const id = message["message_id"];
  return {
    kind: "group_command",
    from,
    chat,
    message: Number.isSafeInteger(id) ? (id as number) : undefined,
    name,
    argument,
  };
}

/** `to`: whose name stands behind it, in small letters. */
function commandIn(text: string): (Told & { readonly to: string | undefined }) | undefined {
  const start = text.trimStart();
  if (!start.startsWith("/")) return undefined;
  const head = start.slice(1, commandMaxChars);
  const end = head.search(/\s/);
  const word = (end < 0 ? head : head.slice(0, end)).toLowerCase();
  const at = word.indexOf("@");
  const argument =
    end < 0
      ? ""
      : start
          .slice(1 + end)
          .trim()
          .slice(0, argumentMaxChars);
  return at < 0
    ? { name: word, to: undefined, argument }
    : { name: word.slice(0, at), to: word.slice(at + 1), argument };
}

function pressIn(query: Part, from: Sender): Incoming | undefined {
  const id = textIn(query, "id");
  if (id === undefined) return undefined;
  const chatPart = partOf(partOf(query["message"])?.["chat"]);
  const chat = chatPart?.["type"] === "private" ? idIn(chatPart) : undefined;
  return { kind: "press", from, query: id, data: textIn(query, "data") ?? "", chat };
}

function membershipIn(member: Part, from: Sender): Incoming | undefined {
  if (partOf(member["chat"])?.["type"] !== "private") return undefined;
  switch (partOf(member["new_chat_member"])?.["status"]) {
    case "member":
      return { kind: "membership", from, state: "active" };
    case "kicked":
      return { kind: "membership", from, state: "blocked" };
    default:
      return undefined;
  }
}
