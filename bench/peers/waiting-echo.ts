/** The echo bot with a handler that waits for something slow before it answers. */
import { Composer, type Context } from "grammy";

export const updates = ["message"];

const waitMs = 200;

export default function createWaitingEcho(): Composer<Context> {
  const bot = new Composer<Context>();
  bot.on("message:text", async (ctx) => {
    await Bun.sleep(waitMs);
    await ctx.reply(ctx.msg.text);
  });
  return bot;
}
