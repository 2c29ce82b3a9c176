/** The methods of the simulated Bot API, getUpdates apart. What is not listed but known to the real one answers `true`. */
import type { SimulatedBot } from "./bot.ts";
import type { Call } from "./call.ts";
import { bad, inChat, yes } from "./call.ts";
import { deleteMessage, editMessage, sendMedia, sendMessage, write } from "./messages.ts";
import { allowedUpdates, flag, integer, text } from "./params.ts";
import type { Answer } from "./wire.ts";
import { ok, refusal, tooManyRequests, words } from "./wire.ts";

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
