/**
 * The users' side of the simulator: people who speak, press buttons, block bots and read what they are answered. Longer than other files: a third
 * of it is what people are offered.
 */
import type { Clock } from "../clock.ts";
import type { SimulatedBot } from "./bot.ts";
import type { Chat, ChatType, Refusal, SeenMessage } from "./chats.ts";
import type { UpdateEntry } from "./journal-entries.ts";

/** Where people find bots: by id or token. */
export interface Bots {
  readonly clock: Clock;
  bot(ref: number | string): SimulatedBot;
}

/** As Telegram shows a person to bots. */
export interface PersonSpec {
  /** Default: `Person <id>`. */
  readonly firstName?: string;
  /** Without the @; default: none. */
  readonly username?: string;
  /** Default `en`; null: none. */
  readonly languageCode?: string | null;
}

export interface InChat {
  /** Default: the private chat. */
  readonly chat?: number;
}

export interface GroupSpec {
  readonly title?: string;
  /** Without the @. */
  readonly username?: string;
  /** Default: by the number, `supergroup` at and below -1,000,000,000,000, else `group`. */
  readonly type?: ChatType;
}

export interface WaitOptions {
  /** Longest wait, ms by the simulator's clock; default 10,000. */
  readonly maxMs?: number;
  /** Only what came after this `moment`; default: after what a person last said or pressed in that chat. */
  readonly after?: number;
}

/** One person, who has the same id as their private chat. */
export interface Person {
  readonly id: number;
  /** Says something to a bot. Returns the update, also where the bot does not get it (`state`). */
  say(bot: number | string, text: string, options?: InChat): UpdateEntry;
  /** Presses the newest button with this label or `callback_data`: a callback query, or for a reply keyboard its text. Throws where there is none. */
  press(bot: number | string, button: string, options?: InChat): UpdateEntry;
  /** Writes `@bot query`. */
  inline(bot: number | string, query: string): UpdateEntry;
  block(bot: number | string): UpdateEntry;
  unblock(bot: number | string): UpdateEntry;
  /** What the private chat with the bot shows, oldest first. */
  messages(bot: number | string): readonly SeenMessage[];
}

const json = JSON.stringify;
const noop = (): void => undefined;

export class People {
  readonly #bots: Bots;
  readonly #specs = new Map<number, PersonSpec>();
  #nextQuery = 1;

  constructor(bots: Bots) {
    this.#bots = bots;
  }

  /** `spec`: from now on; absent: as before. */
  person(id: number, spec?: PersonSpec): Person {
    if (spec !== undefined) this.#specs.set(id, spec);
    return {
      id,
      say: (bot, text, options) => this.#say(id, this.#bots.bot(bot), text, options),
      press: (bot, button, options) => this.#press(id, this.#bots.bot(bot), button, options),
      inline: (bot, query) => this.#inline(id, this.#bots.bot(bot), query),
      block: (bot) => this.#member(id, this.#bots.bot(bot), "blocked"),
      unblock: (bot) => this.#member(id, this.#bots.bot(bot), undefined),
      messages: (bot) => this.messages(bot, id),
    };
  }

  #user(id: number): string {
    return user(id, this.#specs.get(id));
  }

  /** A group or channel with the bot in it; known to that bot only. */
  group(bot: number | string, id: number, spec: GroupSpec = {}): void {
    const chat = this.#bots.bot(bot).chat(id);
    if (spec.title !== undefined) chat.title = spec.title;
    if (spec.username !== undefined) chat.username = spec.username;
    if (spec.type !== undefined) chat.type = spec.type;
  }

  /** Closes a chat to a bot, or opens it again (undefined), without telling the bot. */
  refuse(bot: number | string, chat: number, refused: Refusal | undefined): void {
    this.#bots.bot(bot).chat(chat).refused = refused;
  }

  /**
   * Injects an update, whatever `allowed_updates` says. An object goes out as JSON and gets an `update_id` where it has none; a text goes out
   * as it is, so it can be anything. One whose `update_id` Telegram could not give (absent, below the numbering, too high, no number)
   * holds a place all the same: it is confirmed by an offset above that place, or by its own number + 1.
   */
  deliver(bot: number | string, update: unknown): UpdateEntry {
    return this.#bots.bot(bot).inject(update);
  }

  /** What a chat shows, oldest first. */
  messages(bot: number | string, chat: number): readonly SeenMessage[] {
    return this.#bots.bot(bot).chats.get(chat)?.history ?? [];
  }

  /**
   * Resolves with the first message or edit of the bot that fits, also one that is there already. Rejects after `maxMs`, saying what
   * came instead.
   */
  waitForAnswer(
    bot: number | string,
    chat: number,
    fits: (message: SeenMessage) => boolean = () => true,
    { maxMs = 10_000, after }: WaitOptions = {},
  ): Promise<SeenMessage> {
    const watched = this.#bots.bot(bot).chat(chat);
    const since = after ?? watched.touched;
    const matches = (message: SeenMessage): boolean =>
      message.from === "bot" && message.moment > since && fits(message);
    const there = watched.history.find(matches);
    if (there !== undefined) return Promise.resolve(there);
    return new Promise((resolve, reject) => {
      let stop = noop;
      const timer = this.#bots.clock.setTimer(() => {
        stop();
        const came = watched.history.filter((message) => message.moment > since).map(({ text }) => text.slice(0, 80));
        reject(new Error(`no such answer in chat ${chat} within ${maxMs} ms; it showed ${json(came)}`));
      }, maxMs);
      stop = watched.watch((message) => {
        if (!matches(message)) return;
        timer.cancel();
        stop();
        resolve(message);
      });
    });
  }

  #say(id: number, bot: SimulatedBot, text: string, options: InChat | undefined): UpdateEntry {
    const chat = open(bot.chat(options?.chat ?? id));
    const messageId = ++chat.lastMessageId;
    const at = this.#bots.clock.now();
    chat.show({ messageId, from: id, kind: "text", text, buttons: [], at, edited: false });
    const command = /^\/\w+(@\w+)?/.exec(text);
    const entities =
      command === null ? "" : `,"entities":[{"type":"bot_command","offset":0,"length":${command[0].length}}]`;
    const head = `{"message_id":${messageId},"from":${this.#user(id)},"chat":${chat.json},"date":${seconds(at)}`;
    return bot.push("message", `${head},"text":${json(text)}${entities}}`, { chat: chat.id, text });
  }

  #press(id: number, bot: SimulatedBot, button: string, options: InChat | undefined): UpdateEntry {
    const chat = bot.chat(options?.chat ?? id);
    for (const message of chat.history.toReversed()) {
      const found = message.buttons.flat().find(({ text, data }) => text === button || data === button);
      if (found === undefined) continue;
      if (found.data === undefined) return this.#say(id, bot, found.text, options);
      chat.touch();
      const queryId = String(this.#nextQuery++);
      bot.ask(queryId, "callback_query");
      const shown = `{"message_id":${message.messageId},"from":${botUser(bot)},"chat":${chat.json},"date":${seconds(message.at)},"text":${json(message.text)}}`;
      const head = `{"id":"${queryId}","from":${this.#user(id)},"message":${shown},"chat_instance":"${chat.id}"`;
      return bot.push("callback_query", `${head},"data":${json(found.data)}}`, { chat: chat.id, text: found.data });
    }
    throw new RangeError(`chat ${chat.id} shows no button ${json(button)}`);
  }

  #inline(id: number, bot: SimulatedBot, query: string): UpdateEntry {
    const queryId = String(this.#nextQuery++);
    bot.ask(queryId, "inline_query");
    const body = `{"id":"${queryId}","from":${this.#user(id)},"query":${json(query)},"offset":"","chat_type":"sender"}`;
    return bot.push("inline_query", body, { chat: id, text: query });
  }

  #member(id: number, bot: SimulatedBot, refused: "blocked" | undefined): UpdateEntry {
    const chat = bot.chat(id);
    chat.refused = refused;
    const [before, after] = refused === undefined ? ["kicked", "member"] : ["member", "kicked"];
    const member = (status: string | undefined): string =>
      `{"user":${botUser(bot)},"status":"${status}"${status === "kicked" ? ',"until_date":0' : ""}}`;
    const head = `{"chat":${chat.json},"from":${this.#user(id)},"date":${seconds(this.#bots.clock.now())}`;
    const body = `${head},"old_chat_member":${member(before)},"new_chat_member":${member(after)}}`;
    return bot.push("my_chat_member", body, { chat: id });
  }
}

/** Who speaks to a bot has not blocked it. */
function open(chat: Chat): Chat {
  if (chat.refused === "blocked" || chat.refused === "not_started") chat.refused = undefined;
  return chat;
}

function user(id: number, { firstName = `Person ${id}`, username, languageCode = "en" }: PersonSpec = {}): string {
  const name = username === undefined ? "" : `,"username":${json(username)}`;
  const language = languageCode === null ? "" : `,"language_code":${json(languageCode)}`;
  return `{"id":${id},"is_bot":false,"first_name":${json(firstName)}${name}${language}}`;
}

function botUser({ id, me }: SimulatedBot): string {
  return `{"id":${id},"is_bot":true,"first_name":${json(me["first_name"])},"username":${json(me["username"])}}`;
}

function seconds(ms: number): number {
  return Math.floor(ms / 1_000);
}
