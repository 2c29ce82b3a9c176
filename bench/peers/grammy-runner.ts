/** The stock echo bot that botfleet is measured against: grammY and its runner with nothing else on. Env: TOKEN, API_ROOT. */
import { run } from "@grammyjs/runner";
import { Bot } from "grammy";

const bot = new Bot(process.env["TOKEN"] ?? "", {
  client: {
    apiRoot: process.env["API_ROOT"] ?? "",
    // Bun's own fetch: several times cheaper than the one grammY brings for Node.
    fetch: globalThis.fetch,
  },
});
bot.on("message:text", (ctx) => ctx.reply(ctx.msg.text));
const runner = run(bot);
process.once("SIGTERM", () => void runner.stop());
