/**
 * Leads each update to its command and sends the answer. One dispatcher instead of a chain of middleware: of the cost of an update little is
 * the bot's own. Calls are made in the same order in each run, what can differ between two runs (a balance) in the last one.
 */
import { type Api, GrammyError } from "grammy";
import type { InlineKeyboardMarkup } from "grammy/types";
import { type BotId, toBotId, type Update } from "../../ids.ts";
import type { Given } from "../bot.ts";
import { type Command, createCommands, type Reply } from "./commands.ts";
import { type Incoming, incomingOf } from "./incoming.ts";
import { createLanguages, type Language, type Languages } from "./languages.ts";
import { chatLink, codeIn, inviteLink } from "./links.ts";
import { PerUser, type Verdict } from "./per-user.ts";

type IncomingOf<Kind extends Incoming["kind"]> = Extract<Incoming, { readonly kind: Kind }>;

export class Dispatcher {
  readonly #given: Given;
  readonly #bot: BotId;
  readonly #username: string;
  readonly #commands: ReadonlyMap<string, Command>;
  readonly #languageOf: Languages;
  readonly #limit: PerUser | undefined;
  readonly #hints: PerUser;

  constructor(given: Given) {
    const { me, users, now, count, rateLimit, limits } = given;
    this.#given = given;
    this.#bot = toBotId(me.id);
    this.#username = me.username.toLowerCase();
    this.#commands = createCommands({ users, bot: this.#bot, username: me.username, count });
    this.#languageOf = createLanguages();
    this.#limit =
      rateLimit === undefined
        ? undefined
        : new PerUser({
            windowMs: rateLimit.windowMs,
            max: rateLimit.maxRequests,
            usersMax: limits.limitedUsersMax,
            now,
          });
    this.#hints = new PerUser({ windowMs: limits.hintEveryMs, max: 1, usersMax: limits.hintedUsersMax, now });
  }

  /** Rejects as `Users` and the client do; whatever the update holds is no reason. */
  async handle(update: Update, api: Api): Promise<void> {
    const incoming = incomingOf(update, this.#username);
    if (incoming === undefined) return;
    if (incoming.kind === "membership") return this.#keepState(incoming);
    const verdict = this.#limit?.take(incoming.from.id, update.update_id) ?? "pass";
    if (verdict !== "pass") this.#given.count("rate_limited");
    const language = this.#languageOf(incoming.from.profile.languageCode);
    switch (incoming.kind) {
      case "press":
        return this.#answerPress(api, incoming, language, verdict);
      case "group_command":
        return this.#answerGroup(api, incoming, language, verdict);
      case "command":
      case "text":
        return this.#answerPrivate(api, incoming, update.update_id, language, verdict);
    }
  }

  async #keepState({ from, state }: IncomingOf<"membership">): Promise<void> {
    const operation = { kind: "set_bot_state", bot: this.#bot, state } as const;
    const { kind } = await this.#given.users.change<"set_bot_state">(from.id, operation);
    this.#given.count(kind);
  }

  async #answerPrivate(
    api: Api,
    incoming: IncomingOf<"command" | "text">,
    update: number,
    language: Language,
    verdict: Verdict,
  ): Promise<void> {
    const { words, keyboards } = language;
    if (verdict === "over") return;
    if (verdict === "first_over") return send(api, incoming.chat, { text: words.tooMany });
    const command = incoming.kind === "command" ? this.#commands.get(incoming.name) : undefined;
    if (incoming.kind === "command" && command !== undefined) {
      const { from, argument } = incoming;
      return send(api, incoming.chat, await command({ from, argument, language }));
    }
    if (this.#hints.take(incoming.from.id, update) !== "pass") return;
    this.#given.count("hint");
    await send(api, incoming.chat, { text: words.hint, keyboard: keyboards.menu });
  }

  /** Every press is answered, for until then its button shows that it works. */
  async #answerPress(
    api: Api,
    { from, query, data, chat }: IncomingOf<"press">,
    language: Language,
    verdict: Verdict,
  ): Promise<void> {
    const { words } = language;
    const command = this.#commands.get(data);
    if (verdict !== "pass" || chat === undefined || command === undefined) {
      const text = verdict === "first_over" ? words.tooMany : chat === undefined ? words.writePrivately : undefined;
      await api.answerCallbackQuery(query, text === undefined ? {} : { text });
      return;
    }
    const reply = await command({ from, argument: "", language });
    await api.answerCallbackQuery(query);
    await send(api, chat, reply);
  }

  /** With the way to the private chat: what the bot tells is for one person only. */
  async #answerGroup(
    api: Api,
    { chat, message, name, argument }: IncomingOf<"group_command">,
    { words, keyboards }: Language,
    verdict: Verdict,
  ): Promise<void> {
    if (verdict === "over") return;
    const { username } = this.#given.me;
    const code = name === "start" ? codeIn(argument) : undefined;
    const link = code === undefined || code === "" ? chatLink(username) : inviteLink(username, code);
    const pointer = { text: words.writePrivately, keyboard: keyboards.open(link) };
    try {
      await send(api, chat, verdict === "first_over" ? { text: words.tooMany } : pointer, message);
    } catch (error) {
      // A group may forbid its bots to write; nobody is to do anything about it.
      if (!(error instanceof GrammyError)) throw error;
      this.#given.count("group_refused");
    }
  }
}

/** No previews: a link that somebody has for a name is not advertised. */
const plain = { link_preview_options: { is_disabled: true } };

/** `answered`: the message it answers, by its number in the chat. */
async function send(api: Api, chat: number, { text, keyboard }: Reply, answered?: number): Promise<void> {
  const markup: { reply_markup?: InlineKeyboardMarkup } = keyboard === undefined ? {} : { reply_markup: keyboard };
  const to =
    answered === undefined
      ? {}
      : { reply_parameters: { message_id: answered, allow_sending_without_reply: true as const } };
  await api.sendMessage(chat, text, { ...plain, ...markup, ...to });
}
