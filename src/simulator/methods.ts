/** The methods of the simulated Bot API, getUpdates apart. What is not listed but known to the real one answers `true`. */
import type { SimulatedBot } from "./bot.ts";
import type { Chat } from "./chats.ts";
import { refusedAnswer } from "./chats.ts";
import { allowedUpdates, buttonsOf, flag, integer, json, text } from "./params.ts";
import type { Answer, Payload } from "./wire.ts";
import { ok, refusal, tooManyRequests, words } from "./wire.ts";

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

const bad = (what: string): Answer => refusal(400, `Bad Request: ${what}`);
const yes = ok("true");

/** Answers one call and does what it says. */
export function perform(call: Call): Answer {
  switch (call.method) {
    case "getme":
      return ok(call.bot.meJson);
    case "sendmessage":
      return sendMessage(call);
    case "editmessagetext":
    case "editmessagecaption":
    case "editmessagereplymarkup":
      return editMessage(call);
    case "deletemessage":
      return deleteMessage(call);
    case "deletemessages":
    case "sendchataction":
      return inChat(call, () => yes);
    case "copymessage":
    case "forwardmessage":
      return sendMedia(call, "message");
    case "sendmediagroup":
      return inChat(call, (chat) => ok(`[${write(call, chat, "media_group", "")}]`));
    case "answercallbackquery":
    case "answerinlinequery":
    case "answershippingquery":
    case "answerprecheckoutquery":
    case "answerwebappquery":
      return answerQuery(call);
    case "getchat":
      return inChat(call, (chat) => ok(chat.json));
    case "getchatmember":
      return inChat(call, () => ok(`{"status":"member","user":{"id":${integer(call.payload, "user_id", 0)}}}`));
    case "setwebhook":
      return setWebhook(call, text(call.payload, "url"));
    case "deletewebhook":
      return setWebhook(call, "");
    case "getwebhookinfo":
      return webhookInfo(call.bot);
    case "getmycommands":
      return ok("[]");
    case "getfile":
      return ok(`{"file_id":${JSON.stringify(text(call.payload, "file_id"))},"file_unique_id":"f","file_path":"f"}`);
    default:
      if (/^send[a-z]+$/.test(call.method)) return sendMedia(call, call.method.slice(4));
      if (plain.has(call.method)) return yes;
      return refusal(404, "Not Found: method not found");
  }
}

/** True for calls that put something into a chat or change it there. */
export function isSend(method: string): boolean {
  return /^(send|edit|delete|copy|forward)(?!chataction|webhook|mycommands)/.test(method);
}

/** Methods that answer `true`. */
const plain = new Set(
  (
    "setmycommands deletemycommands setmyname setmydescription setmyshortdescription setchatmenubutton " +
    "setmydefaultadministratorrights setmessagereaction pinchatmessage unpinchatmessage unpinallchatmessages leavechat " +
    "banchatmember unbanchatmember restrictchatmember promotechatmember setchattitle setchatdescription setchatpermissions " +
    "approvechatjoinrequest declinechatjoinrequest stoppoll logout close"
  ).split(" "),
);

/** Runs `act` in the chat that the call names, if the bot may write there. */
function inChat(call: Call, act: (chat: Chat) => Answer): Answer {
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

function sendMessage(call: Call): Answer {
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

function sendMedia(call: Call, kind: string): Answer {
  return inChat(call, (chat) => ok(write(call, chat, kind, text(call.payload, "caption"))));
}

/** Shows a new message to the chat and returns it as JSON text. */
function write(call: Call, chat: Chat, kind: string, body: string): string {
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

function editMessage(call: Call): Answer {
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

function deleteMessage(call: Call): Answer {
  return inChat(call, (chat) => {
    const messageId = integer(call.payload, "message_id", 0);
    if (messageId < 1 || messageId > chat.lastMessageId) return bad("message to delete not found");
    chat.remove(messageId);
    return yes;
  });
}

function answerQuery(call: Call): Answer {
  const name = Object.keys(call.payload).find((key) => key.endsWith("query_id"));
  const query = call.bot.query(name === undefined ? "" : text(call.payload, name));
  if (query === undefined) return bad("query is too old and response timeout expired or query ID is invalid");
  query.answer = call.payload;
  return yes;
}

function setWebhook({ bot, payload }: Call, url: string): Answer {
  if (flag(payload, "drop_pending_updates")) bot.queue.clear();
  if (url !== "") {
    const allowed = allowedUpdates(payload);
    if (allowed !== undefined) bot.allowed = allowed;
    bot.poll.abort(words.setWebhook);
  }
  bot.webhook = url;
  return yes;
}

function webhookInfo({ webhook, queue, allowed }: SimulatedBot): Answer {
  const kinds = allowed.length === 0 ? undefined : allowed;
  const info = {
    url: webhook,
    has_custom_certificate: false,
    pending_update_count: queue.size,
    allowed_updates: kinds,
  };
  return ok(JSON.stringify(info));
}

/** The answer to a message that comes too fast, where the bot's limits are enforced. */
export function overLimit(bot: SimulatedBot, chat: number | undefined): Answer | undefined {
  const waitS = chat === undefined ? 0 : (bot.limiter?.take(chat) ?? 0);
  return waitS === 0 ? undefined : tooManyRequests(waitS);
}
