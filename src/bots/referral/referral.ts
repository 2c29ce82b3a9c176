/** Module `referral`: people register, invite others, collect points and name a wallet. */
import { Composer, type Context } from "grammy";
import type { Given } from "../bot.ts";
import { Dispatcher } from "./dispatcher.ts";

export const updates = ["message", "callback_query", "my_chat_member"];
export const uses = ["users"];

export default function createReferral(given: Given): Composer<Context> {
  const dispatcher = new Dispatcher(given);
  const bot = new Composer<Context>();
  bot.use(({ update, api }) => dispatcher.handle(update, api));
  return bot;
}
