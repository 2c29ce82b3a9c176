/** Methods that put messages into chats and change them there. */
import type { Call } from "./call.ts";
import { bad, inChat, yes } from "./call.ts";
import type { Chat } from "./chats.ts";
import { buttonsOf, integer, json, text } from "./params.ts";
import type { Answer } from "./wire.ts";
import { ok } from "./wire.ts";

export function sendMessage(call: Call): Answer {
  const body = text(call.payload, "text");
  if (body === "") return bad("message text is empty");
  if (body.length > 8_192 && Buffer.byteLength(body) > 32_768) return bad("text is too long");
  return inChat(call, (chat) => {
    const wrong = textFault(body);
    return wrong === undefined ? ok(write(call, chat, "text", body)) : bad(wrong);
  });
}

function textFault(body: string): string | undefined {
  if (body.trim() === "") return "text must be non-empty";
  // Telegram counts code points: only a text that is long in UTF-16 needs counting.
  return body.length > 4_096 && codePoints(body) > 4_096 ? "message is too long" : undefined;
}

function codePoints(body: string): number {
  let count = 0;
  for (const _ of body) count++;
  return count;
}

export function sendMedia(call: Call, kind: string): Answer {
  return inChat(call, (chat) => ok(write(call, chat, kind, text(call.payload, "caption"))));
}

/** Shows a new message to the chat and returns it as JSON text. */
export function write(call: Call, chat: Chat, kind: string, body: string): string {
  const messageId = ++chat.lastMessageId;
  chat.show({
    messageId,
    from: "bot",
    kind,
    text: body,
    buttons: buttonsOf(call.payload),
    at: call.now,
    edited: false,
  });
  return messageJson(call, chat, messageId, kind, body, "");
}

function messageJson(call: Call, chat: Chat, id: number, kind: string, body: string, extra: string): string {
  const { me } = call.bot;
  const from = `{"id":${call.bot.id},"is_bot":true,"first_name":${JSON.stringify(me["first_name"])}}`;
  const head = `{"message_id":${id},"from":${from},"chat":${chat.json},"date":${Math.floor(call.now / 1_000)}${extra}`;
  const markup = json(call.payload, "reply_markup");
  const inline = typeof markup === "object" && markup !== null && "inline_keyboard" in markup;
  const tail = inline ? `,"reply_markup":${JSON.stringify(markup)}}` : "}";
  const content = JSON.stringify(body);
  if (kind === "text" || kind === "message") return `${head},"text":${content}${tail}`;
  return `${head}${body === "" ? "" : `,"caption":${content}`},${mediaJson(kind, id)}${tail}`;
}

function mediaJson(kind: string, id: number): string {
  const file = `{"file_id":"file-${id}","file_unique_id":"u${id}"}`;
  return kind === "photo"
    ? `"photo":[{"file_id":"file-${id}","file_unique_id":"u${id}","width":1,"height":1}]`
    : `"${kind}":${file}`;
}

export function editMessage(call: Call): Answer {
  if (call.payload["inline_message_id"] !== undefined) return yes;
  const textOnly = call.method === "editmessagetext";
  const body = text(call.payload, textOnly ? "text" : "caption");
  if (textOnly && body === "") return bad("message text is empty");
  return inChat(call, (chat) => {
    const wrong = textOnly ? textFault(body) : undefined;
    if (wrong !== undefined) return bad(wrong);
    const messageId = integer(call.payload, "message_id", 0);
    if (messageId < 1 || messageId > chat.lastMessageId) return bad("message to edit not found");
    const old = chat.find(messageId);
    const buttons = buttonsOf(call.payload);
    const kept = call.method === "editmessagereplymarkup" ? (old?.text ?? "") : body;
    if (old !== undefined && old.text === kept && JSON.stringify(old.buttons) === JSON.stringify(buttons)) {
      return bad(
        "message is not modified: specified new message content and reply markup are exactly the same as a current content " +
          "and reply markup of the message",
      );
    }
    const kind = old?.kind ?? "text";
    chat.show({ messageId, from: "bot", kind, text: kept, buttons, at: call.now, edited: true });
    return ok(messageJson(call, chat, messageId, kind, kept, `,"edit_date":${Math.floor(call.now / 1_000)}`));
  });
}

export function deleteMessage(call: Call): Answer {
  return inChat(call, (chat) => {
    const messageId = integer(call.payload, "message_id", 0);
    if (messageId < 1 || messageId > chat.lastMessageId) return bad("message to delete not found");
    chat.remove(messageId);
    return yes;
  });
}
