/** Answers each text message with the same text; nothing else. Also the smallest example of a module. */
import { Composer } from "grammy";
import type { Context } from "grammy";

export const updates = ["message"];

export default function createEcho(): Composer<Context> {
  const bot = new Composer<Context>();
  bot.on("message:text", (ctx) => ctx.reply(ctx.message.text));
  return bot;
}
