/** The echo bot with what a referral update does besides: one read and one change of the user, both before the answer. */
import { Composer, type Context } from "grammy";
import type { Given } from "../../src/bots/bot.ts";
import { toBotId, toUserId } from "../../src/ids.ts";

export const updates = ["message"];
export const uses = ["users"];

export default function createUsersEcho({ users, me }: Given): Composer<Context> {
  const bot = new Composer<Context>();
  bot.on("message:text", async (ctx) => {
    const id = toUserId(ctx.from.id);
    const user = await users.get(id);
    if (user === undefined) {
      await users.change(id, { kind: "register", bot: toBotId(me.id), profile: { firstName: ctx.from.first_name } });
    } else {
      // Another one each time: every update is a write.
      await users.change(id, { kind: "set_wallet", wallet: `wallet-${ctx.from.id}-${ctx.msg.message_id}` });
    }
    await ctx.reply(ctx.msg.text);
  });
  return bot;
}
