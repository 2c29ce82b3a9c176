import { expect, test } from "bun:test";
import { join } from "node:path";
import { Composer, type Context, GrammyError } from "grammy";
import type { BotModule, Given } from "../../src/bots/bot.ts";
import { loadModule } from "../../src/bots/catalog.ts";
import { Fault, faultOf } from "../../src/faults.ts";
import type { Users } from "../../src/users/users.ts";
import { host, me, pressUpdate, secret, textUpdate } from "./fixtures/scripted.ts";

/** A module with one handler for texts. */
function moduleOf(handler: (ctx: Context) => unknown): BotModule {
  const bot = new Composer();
  bot.on("message:text", async (ctx) => {
    await handler(ctx);
  });
  return { updates: ["message"], create: () => bot };
}

async function thrownBy(handler: (ctx: Context) => unknown): Promise<unknown> {
  const { handle } = await host(moduleOf(handler));
  return handle(textUpdate("x")).then(
    () => expect.unreachable(),
    (error: unknown) => error,
  );
}

/** Everything of an error that anyone could print. */
function printed(error: unknown): string {
  return `${Bun.inspect(error, { depth: 10 })} ${JSON.stringify(error)} ${String(error)} ${error instanceof Error ? error.stack : ""}`;
}

test("echo answers each text message with the same text, and nothing else", async () => {
  const { handle, calls } = await host(await loadModule("echo", "/"));
  await handle(textUpdate("hello *you*"));
  await handle(textUpdate("/start"));
  await handle({ update_id: 3, message: { ...textUpdate("x").message, text: undefined, sticker: {} } } as never);
  await handle({ update_id: 4, edited_message: textUpdate("edited").message } as never);
  await handle({ update_id: 5, unheard_of: {} } as never);
  expect(calls.map(({ method, payload }) => [method, payload["chat_id"], payload["text"]])).toEqual([
    ["sendMessage", 5, "hello *you*"],
    ["sendMessage", 5, "/start"],
  ]);
});

test("a grammY bot with menu, router, parse-mode and hydrate runs unchanged", async () => {
  const module = await loadModule("plugins.ts", join(import.meta.dir, "fixtures"));
  expect(module.updates).toEqual(["message", "callback_query"]);
  const { handle, calls } = await host(module);
  const next = () => calls.splice(0);

  await handle(textUpdate("/start"));
  const [menu] = next();
  const keyboard = menu?.payload["reply_markup"] as { inline_keyboard: { text: string; callback_data: string }[][] };
  expect(keyboard.inline_keyboard.map((row) => row.map((button) => button.text))).toEqual([["Buy"], ["More"]]);

  await handle(pressUpdate(keyboard.inline_keyboard[0]?.[0]?.callback_data ?? "", keyboard));
  expect(next()).toMatchObject([
    { method: "answerCallbackQuery", payload: { callback_query_id: "9" } },
    { method: "editMessageText", payload: { chat_id: 5, message_id: 100, text: "Thank you" } },
  ]);

  await handle(pressUpdate(keyboard.inline_keyboard[1]?.[0]?.callback_data ?? "", keyboard));
  const opened = next();
  expect(opened.map((call) => call.method).sort()).toEqual(["answerCallbackQuery", "editMessageReplyMarkup"]);
  const shown = JSON.stringify(opened.find((call) => call.method === "editMessageReplyMarkup")?.payload);
  expect(shown).toContain("For Ann");

  await handle(textUpdate("/work"));
  expect(next()).toMatchObject([
    { method: "sendMessage", payload: { text: "working" } },
    { method: "editMessageText", payload: { chat_id: 5, message_id: 100, text: "done" } },
  ]);

  await handle(textUpdate("!hey"));
  await handle(textUpdate("hey"));
  expect(next()).toMatchObject([
    { payload: { text: "You said !hey", entities: [{ type: "bold", offset: 9, length: 4 }] } },
    { payload: { text: "I did not hear you" } },
  ]);
});

test("a module is given its name, its identity and a clock, and each bot gets middleware of its own", async () => {
  const given: unknown[] = [];
  const module: BotModule = {
    updates: ["message"],
    create: (all) => {
      given.push([all.name, all.me, all.now()]);
      return new Composer();
    },
  };
  await host(module);
  await host(module);
  const each = ["shop", me, 1_800_000_000_000];
  expect(given).toEqual([each, each]);
});

test("a module that names `users` is given them, and one that does not is told to when it touches them", async () => {
  const users = {} as Users;
  const given: Given[] = [];
  const module: BotModule = {
    updates: ["message"],
    create: (all) => {
      given.push({ ...all });
      return all.users === undefined ? new Composer() : new Composer();
    },
  };
  await host({ ...module, uses: ["users"] }, undefined, { users });
  expect(given[0]?.users).toBe(users);
  const untold = await host(module, undefined, { users }).catch((error: unknown) => error);
  expect(faultOf(untold)).toMatchObject({
    code: "module_invalid",
    message: 'Bot shop: its module touches `given.users` without `export const uses = ["users"]`.',
  });
  const without = await host({ ...module, uses: ["users"] }).catch((error: unknown) => error);
  expect(faultOf(without)?.message).toBe("Bot shop: its module uses `users`, and there is no store of users.");
});

test("what a plugin installs on the API wraps the client, so that every call ends there", async () => {
  const seen: string[] = [];
  const module = moduleOf((ctx) => {
    ctx.api.config.use((send, method, payload, signal) => {
      seen.push(method);
      return send(method, { ...payload, disable_notification: true }, signal);
    });
    return ctx.reply("hi");
  });
  const { handle, calls } = await host(module);
  await handle(textUpdate("x"));
  expect(seen).toEqual(["sendMessage"]);
  expect(calls[0]?.payload["disable_notification"]).toBe(true);
});

test("a handler's error comes out as it was thrown, without grammY's wrapper", async () => {
  const mine = new RangeError("mine");
  expect(await thrownBy(() => Promise.reject(mine))).toBe(mine);
  expect(await thrownBy(() => Promise.reject("text"))).toBe("text");
});

test("a fault of the client comes out as it is", async () => {
  const fault = new Fault("unavailable", "Telegram asks to wait", { retryAfterMs: 3_000 });
  const { handle } = await host(
    moduleOf((ctx) => ctx.reply("hi")),
    () => Promise.reject(fault),
  );
  expect(await handle(textUpdate("x")).catch((error: unknown) => error)).toBe(fault);
});

test("a refusal of Telegram's is grammY's own error, as the handler saw it", async () => {
  const refusal = { ok: false, error_code: 403, description: "Forbidden: bot was blocked by the user" } as const;
  const error = new GrammyError("Call to 'sendMessage' failed!", refusal, "sendMessage", { chat_id: 5 });
  expect(await thrownBy(() => Promise.reject(error))).toBe(error);
});

const leaks: readonly (readonly [string, (token: string) => unknown])[] = [
  ["its message", (token) => new TypeError(`no ${token}`)],
  [
    "a field, as Bun's fetch does",
    (token) => Object.assign(new Error("failed"), { path: `https://x/file/bot${token}/a` }),
  ],
  ["its cause", (token) => new Error("failed", { cause: new Error(token) })],
  ["a hidden field", (token) => Object.defineProperty(new Error("failed"), "url", { value: token, enumerable: false })],
  ["a text", (token) => `failed for ${token}`],
  ["a payload", (token) => Object.assign(new Error("failed"), { payload: { a: [{ url: token }] } })],
];

for (const [where, make] of leaks) {
  test(`an error that holds the token in ${where} comes out without it`, async () => {
    const error = await thrownBy((ctx) => Promise.reject(make(ctx.api.token)));
    expect(error).toBeInstanceOf(Error);
    expect(printed(error)).not.toContain(secret);
  });
}

test("a Fault that holds the token comes out as the same Fault without it", async () => {
  const error = await thrownBy((ctx) =>
    Promise.reject(new Error(ctx.api.token, { cause: new Fault("unavailable", ctx.api.token, { retryAfterMs: 5 }) })),
  );
  expect([faultOf(error)?.code, faultOf(error)?.retryAfterMs]).toEqual(["unavailable", 5]);
  expect(printed(error)).not.toContain(secret);
});

test("an error that goes round in circles or cannot be looked through comes out without what it holds", async () => {
  const circle = new Error("circle");
  circle.cause = circle;
  expect(await thrownBy(() => Promise.reject(circle))).toBe(circle);
  const trap = Object.defineProperty(new Error("trap"), "x", {
    enumerable: true,
    get: () => {
      throw new Error("no");
    },
  });
  expect(await thrownBy(() => Promise.reject(trap))).toMatchObject({ message: "trap" });
});
