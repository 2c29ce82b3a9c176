// Long for its tables: the kinds, what the set must hold, and the lane of each kind.
import { describe, expect, test } from "bun:test";
import { Bot, Composer } from "grammy";
import type { UpdateKind } from "../src/bots/bot.ts";
import { type LaneKey, laneOf, toLaneKey, type Update } from "../src/ids.ts";
import { corpusUpdates, hostileUpdates, ownUpdates, type WrittenUpdate } from "./support/updates.ts";

// A kind that grammY's types learn does not compile here until it is added, and the set with it.
const kinds: Record<UpdateKind, true> = {
  message: true,
  edited_message: true,
  channel_post: true,
  edited_channel_post: true,
  business_connection: true,
  business_message: true,
  edited_business_message: true,
  deleted_business_messages: true,
  guest_message: true,
  stopped_message_generation: true,
  message_reaction: true,
  message_reaction_count: true,
  inline_query: true,
  chosen_inline_result: true,
  callback_query: true,
  shipping_query: true,
  pre_checkout_query: true,
  purchased_paid_media: true,
  poll: true,
  poll_answer: true,
  my_chat_member: true,
  chat_member: true,
  chat_join_request: true,
  chat_boost: true,
  removed_chat_boost: true,
  managed_bot: true,
  subscription: true,
};

const bot = new Bot("7100200300:none", {
  botInfo: {
    id: 7100200300,
    is_bot: true,
    first_name: "Rook",
    username: "rook_relay_bot",
    can_join_groups: true,
    can_read_all_group_messages: false,
    can_connect_to_business: false,
    can_manage_bots: false,
    supports_inline_queries: false,
    supports_guest_queries: false,
    supports_join_request_queries: false,
    has_main_web_app: false,
    has_topics_enabled: false,
    allows_users_to_create_topics: false,
  },
});
bot.use(new Composer());

const own = ownUpdates();
const hostile = hostileUpdates();
const corpus = corpusUpdates();
const place = ({ file, line }: WrittenUpdate): string => `${file}:${line}`;

describe("the valid updates", () => {
  test("every kind of the Bot API is there at least twice, and so is a kind not known yet", () => {
    const counts = Map.groupBy(own, ({ kind }) => kind);
    const rare = Object.keys(kinds).filter((kind) => (counts.get(kind)?.length ?? 0) < 2);
    expect(rare).toEqual([]);
    expect([...counts].some(([kind, found]) => !Object.hasOwn(kinds, kind) && found.length >= 2)).toBe(true);
  });

  test("each line holds an update_id, unique and rising, and one payload", () => {
    let last = 0;
    for (const written of own) {
      const { update_id: id, ...payloads } = written.update;
      expect([place(written), Object.keys(payloads)]).toEqual([place(written), [written.kind]]);
      expect(Number.isInteger(id) && id > last && id < 2_000_000_000 ? id : place(written)).toBe(id);
      last = id;
    }
  });

  test.each<readonly [string, (update: Update, text: string) => boolean]>([
    ["a user id above 2^32", ({ message }) => (message?.from.id ?? 0) > 2 ** 32],
    ["a chat id below -10^12", ({ message }) => (message?.chat.id ?? 0) < -(10 ** 12)],
    ["a text of 4,096 characters", ({ message }) => message?.text?.length === 4096],
    ["half a surrogate pair", (_, text) => /\\ud[89ab]..(?!\\ud[c-f])/.test(text)],
    ["text written from right to left", ({ message }) => /[\u0590-\u06ff]/.test(message?.text ?? "")],
    ["an anonymous admin", ({ message }) => message?.from.username === "GroupAnonymousBot"],
    ["a bot's message", ({ message }) => message?.from.is_bot === true && message.sender_chat === undefined],
    ["a topic", ({ message }) => message?.is_topic_message === true],
    ["a group that became a supergroup", ({ message }) => message?.migrate_to_chat_id !== undefined],
    ["a payment", ({ message }) => message?.successful_payment !== undefined],
    ["an inaccessible message", ({ callback_query: query }) => query?.message?.date === 0],
    ["a press on an inline message", ({ callback_query: query }) => query?.inline_message_id !== undefined],
    ["a poll without a chat", ({ poll }) => poll !== undefined],
    ["1 MB of replies", (_, text) => text.length > 1_000_000],
  ])("hold %s", (_, holds) => {
    expect(own.some(({ update, text }) => holds(update, text))).toBe(true);
  });

  test("a bot without handlers handles each", async () => {
    for (const written of own)
      expect([place(written), await fault(written.update)]).toEqual([place(written), undefined]);
  });
});

describe("the lane of an update", () => {
  test.each<readonly [string, number, number | string]>([
    ["message in a private chat: the chat", 700012001, 5120044871],
    ["message of the highest id: the chat", 700012007, 4503599627370495],
    ["message in a topic: the chat, not the topic", 700012051, -1002940017755],
    ["message of an anonymous admin: the chat", 700012055, -1002203344556],
    ["message of the lowest id: the chat", 700012061, -3999999999999],
    ["migration: the chat it was sent to", 700011010, -498765432],
    ["edited message: the chat", 700006001, 48213377],
    ["channel post: the channel", 700004001, -1001555000222],
    ["business connection: its user", 700002003, 4503599627370495],
    ["business message: the chat, not the account", 700002005, 6890123405],
    ["deleted business messages: the chat", 700002009, 6890123405],
    ["guest message: the chat", 700007001, -1002203344556],
    ["stopped generation: the chat", 700016001, 7000000013],
    ["reaction: the chat, not the user", 700015001, -1002203344556],
    ["counted reactions: the chat", 700015004, -1001555000222],
    ["inline query: the user", 700008001, 5120044871],
    ["chosen result: the user", 700008005, 4503599627370495],
    ["press in a group: the chat, not the user", 700003002, -1002203344556],
    ["press on an inline message: the user", 700003004, 7411950022],
    ["press on an inaccessible message: its chat", 700003005, -1002203344556],
    ["shipping query: the user", 700013001, 5120044871],
    ["pre-checkout query: the user", 700013003, 5120044871],
    ["paid media: the user", 700013005, 7000000013],
    ["subscription: the user", 700013009, 4503599627370495],
    ["poll: the poll", 700014001, "poll:5913000111222333002"],
    ["answer of a user: the user", 700014004, 48213377],
    ["answer of a chat: the chat", 700014006, -1003999888777],
    ["answer of a chat beside a stand-in user: the chat", 700014007, -1002203344556],
    ["the bot was blocked: the chat", 700010001, 48213377],
    ["change of a member: the chat", 700010006, -1002203344556],
    ["request to join: the chat", 700010009, -1001700000001],
    ["boost: the chat", 700001001, -1001555000222],
    ["removed boost: the chat", 700001004, -1003999888777],
    ["managed bot: its owner", 700009001, 912004],
    ["kind not known yet with a chat: the chat", 700017001, -1002203344556],
    ["kind not known yet with an id: the id", 700017002, "lighthouse_signal:ls-2"],
    ["kind not known yet with nothing: the kind", 700017003, "tide_report"],
    ["kind not known yet that is no object: the kind", 700017005, "fog_horn"],
  ])("%s", (_, id, lane) => {
    const found = own.find(({ update }) => update.update_id === id);
    expect(found && laneOf(found.update)).toBe(toLaneKey(lane));
  });

  test("is a whole number or a text of up to 129 characters, whatever JSON stands for the update", () => {
    const texts = [...own.map(({ text }) => text), ...hostile];
    const bad = texts.filter((text) => !isLane(laneOf(JSON.parse(text) as Update)));
    expect(bad).toEqual([]);
  });
});

describe("the hostile updates", () => {
  test("are JSON, and share no update_id that Telegram could send with another", () => {
    const ids = hostile.map((text) => (JSON.parse(text) as Partial<Update> | null)?.update_id);
    const possible = [...ids, ...own.map(({ update }) => update.update_id)].filter((id) => isPossible(id));
    expect(new Set(possible).size).toBe(possible.length);
    expect(hostile.length).toBeGreaterThan(200);
  });

  test.each<readonly [string, (parsed: unknown, text: string) => boolean]>([
    ["no object", (parsed) => typeof parsed !== "object"],
    ["an empty update", (_, text) => text === "{}"],
    ["an array", (parsed) => Array.isArray(parsed)],
    ["no update_id", (_, text) => text.startsWith('{"message"')],
    ["an update_id above 2^53", (_, text) => text.includes('"update_id":9007199254740993')],
    ["a payload of null", (_, text) => text.endsWith('"message":null}')],
    ["an empty payload", (_, text) => text.endsWith('"message":{}}')],
    ["an id as a string", (_, text) => text.includes('"chat":{"id":"5000000001"}')],
    ["names of Object.prototype", (_, text) => text.includes('"__proto__"') && text.includes('"polluted"')],
    ["200 levels", (_, text) => text.includes("[".repeat(200))],
  ])("hold %s", (_, holds) => {
    expect(hostile.some((text) => holds(JSON.parse(text), text))).toBe(true);
  });

  test("change no prototype when they are parsed and put into a lane", () => {
    for (const text of hostile) laneOf(JSON.parse(text) as Update);
    expect(Object.hasOwn(Object.prototype, "polluted")).toBe(false);
  });
});

test.skipIf(corpus.updates === undefined)(
  `a bot without handlers handles each recorded update, and each has a lane${corpus.updates === undefined ? ` (skipped: ${corpus.reason})` : ""}`,
  async () => {
    for (const written of corpus.updates ?? []) {
      expect([place(written), isLane(laneOf(written.update))]).toEqual([place(written), true]);
      expect([place(written), await fault(written.update)]).toEqual([place(written), undefined]);
    }
  },
);

function isLane(lane: LaneKey): boolean {
  return typeof lane === "number" ? Number.isSafeInteger(lane) : typeof lane === "string" && lane.length <= 129;
}

function isPossible(id: unknown): boolean {
  return Number.isInteger(id) && Number(id) > 0 && Number(id) < 2_000_000_000;
}

/** What a bot with an empty composer throws at an update. */
async function fault(update: Update): Promise<unknown> {
  try {
    await bot.handleUpdate(update);
    return undefined;
  } catch (error) {
    return error;
  }
}
