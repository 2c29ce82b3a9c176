/** Names, payloads, addresses and whole updates that mean harm. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { loadModule } from "../../src/bots/catalog.ts";
import { en } from "../../src/bots/referral/messages/en.ts";
import { shownName } from "../../src/bots/referral/names.ts";
import type { Update } from "../../src/ids.ts";
import { FakeUsers } from "../support/fake-users.ts";
import { host } from "./fixtures/scripted.ts";
import { type Rig, rig } from "./referral-rig.ts";

const megabyte = "A".repeat(1_000_000);

const hostile: readonly (readonly [string, string])[] = [
  ["an operator of MongoDB", '{"$gt":""}'],
  ["a bare operator", "$where"],
  ["a prototype", "__proto__"],
  ["a constructor", "constructor"],
  ["SQL", "'; DROP TABLE users; --"],
  ["HTML", '<b>x</b><script>alert("1")</script>&amp;'],
  ["Markdown", "*bold* [x](tg://user?id=1) `code` ||spoiler||"],
  ["right to left text", "مرحبا بالعالم"],
  ["an override of direction", "\u202egnp.exe\u202c \u2066x\u2069"],
  ["a lone surrogate", "a\ud800b"],
  ["a lone low surrogate", "\udc00"],
  ["an emoji of many parts", "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿"],
  ["a null byte", "a\0b"],
  ["line breaks", "a\n1. Winner: 999 points\r\n\u2028\u2029b"],
  ["control characters", "\u0007\u001b[31mred\u0085"],
  ["nothing to see", "\u200b\u2060\ufeff"],
  ["piled accents", `a${"\u0301".repeat(200)}`],
  ["a command", "/start ref_x"],
  ["a template", "${process.exit(1)}%s%n{{7*7}}"],
];

/** What stands in a message that others see of somebody's name. */
const forbidden = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** All that was sent is fit for Telegram: strings it takes, in messages it takes. */
function checkSent({ calls }: Rig): void {
  for (const { method, payload } of calls) {
    if (method !== "sendMessage") continue;
    const text = payload["text"] as string;
    expect(text.isWellFormed()).toBe(true);
    expect(Array.from(text).length).toBeLessThanOrEqual(4_096);
    expect(text.trim()).not.toBe("");
    expect(Object.keys(payload)).not.toContain("parse_mode");
  }
}

test.each(["\u3164", "\u2800 \u2800", "\u00ad", "\uffa0\u115f", "\u{e0041}\u{e007f}", "\ufe0f", "\u200d"])(
  "a name of which nothing is seen (%j) is shown as none",
  (name) => {
    expect(shownName(name, "nobody")).toBe("nobody");
    expect(shownName(`${name}Ann`, "nobody")).toEndWith("Ann");
  },
);

for (const [what, text] of hostile) {
  test(`${what} as a name is stored as it is and shown safely`, async () => {
    const world = await rig();
    const guest = world.person(5, { firstName: text, username: text, languageCode: text });
    await guest.say("/start");
    const { firstName, username, languageCode } = world.users.stored.get(5) ?? {};
    expect([firstName, username, languageCode]).toEqual([text, text, text]);
    const lines = (await guest.say("/leaderboard")).split("\n");
    const shown = shownName(text, en.nobody);
    expect(lines).toEqual([en.leaderboardTitle, `1. ${shown}: 0 points`, "", en.place(1)]);
    expect(shown).not.toMatch(forbidden);
    checkSent(world);
  });

  test(`${what} behind /start registers without a referrer, and behind a code's prefix too`, async () => {
    const world = await rig();
    await world.person(4).say("/start");
    const before = world.users.stored.get(4);
    expect(await world.person(5, { firstName: "A" }).say(`/start ${text}`)).not.toBe("");
    expect(await world.person(6, { firstName: "A" }).say(`/start ref_${text}`)).toBe(en.welcomeUnknownCode("A"));
    for (const id of [5, 6]) expect(world.users.stored.get(id)?.referredBy).toBeUndefined();
    expect(world.users.stored.get(4)).toBe(before);
    expect(world.users.stored.size).toBe(3);
    checkSent(world);
  });

  test(`${what} as a wallet is refused and changes nothing`, async () => {
    const world = await rig();
    const guest = world.person(5);
    await guest.say("/start");
    const before = world.users.stored.get(5);
    expect(await guest.say(`/wallet ${text}`)).toBe(text.trim() === "" ? en.walletNone : en.walletWrong);
    expect(world.users.stored.get(5)).toBe(before);
    checkSent(world);
  });

  test(`${what} as text, command or button changes nothing`, async () => {
    const world = await rig();
    await world.person(5).say("/start");
    const before = world.users.stored.get(5);
    for (const said of [text, `/${text}`, `/${text}@points_bot`, `/daily${text}`])
      world.api.people.person(5).say(42, said);
    const from = { id: 5, is_bot: false, first_name: "A" };
    const message = { message_id: 1, date: 1, chat: { id: 5, type: "private" } };
    world.api.people.deliver(42, { callback_query: { id: "q", from, data: text, message } });
    await world.handleAll();
    expect(world.users.asked.filter((kind) => kind !== "register")).toEqual([]);
    expect(world.users.stored.get(5)).toMatchObject({ points: before?.points ?? -1, bots: before?.bots ?? {} });
    checkSent(world);
  });
}

test("a megabyte is refused as a name, ignored as a payload, refused as a wallet, and never sent", async () => {
  const world = await rig();
  for (const spec of [{ firstName: megabyte }, { username: megabyte }, { languageCode: megabyte }])
    expect(await world.person(5, spec).say("/start")).toBe(en.profileTooLong);
  expect(world.users.stored.size).toBe(0);
  const guest = world.person(5, { firstName: "A" });
  expect(await guest.say(`/start ref_${megabyte}`)).toBe(en.welcomeUnknownCode("A"));
  expect(await guest.say(`/wallet ${megabyte}`)).toBe(en.walletWrong);
  expect(await guest.say(`/${megabyte}`)).toBe(en.hint);
  expect(await guest.say(`/wallet${" ".repeat(1_000_000)}x`)).toBe(en.walletWrong);
  expect(JSON.stringify(world.calls).length).toBeLessThan(10_000);
});

test("the longest names there are fit into one message of the leaderboard", async () => {
  const world = await rig();
  for (let id = 1; id <= 11; id++) {
    await world.person(id, { firstName: "🏴󠁧󠁢󠁥󠁮󠁧󠁿".repeat(15) }).say("/start");
    const user = world.users.stored.get(id);
    if (user !== undefined) world.users.stored.set(id, { ...user, points: Number.MAX_SAFE_INTEGER });
  }
  const board = await world.person(11).say("/leaderboard");
  expect(board.split("\n")).toHaveLength(13);
  expect(Array.from(board).length).toBeLessThan(1_000);
  checkSent(world);
});

test("whatever a name is, it is shown on one line of 32 characters at most", () => {
  const unit = fc.oneof(
    fc.constantFrom("\u202e", "\n", "\0", "\ud800", "\udfff", "\u0301", " ", "👩‍👩‍👧", "\u200b", "é", "a"),
    fc.string({ unit: "binary", maxLength: 3 }),
  );
  fc.assert(
    fc.property(fc.array(unit, { maxLength: 100 }), (units) => {
      const shown = shownName(units.join(""), "?");
      expect(shown).not.toMatch(forbidden);
      expect(shown.isWellFormed()).toBe(true);
      expect(Array.from(shown).length).toBeLessThanOrEqual(32);
      expect(shown.trim()).toBe(shown);
      expect(shown).not.toBe("");
    }),
    { numRuns: 3_000, seed: 1 },
  );
});

test("a long name is cut to 31 characters and an ellipsis, and of accents piled up three stay", () => {
  expect(shownName("ö".repeat(32), "?")).toBe("ö".repeat(32));
  expect(shownName("👍".repeat(33), "?")).toBe(`${"👍".repeat(31)}…`);
  expect(shownName(`a${"\u0301".repeat(20)}b`, "?")).toBe(`a${"\u0301".repeat(3)}b`);
});

test("an ordinary name is shown as it is", () => {
  for (const name of ["Ann", "José Ñandú", "Анна", "李小龙", "مريم", "O'Brien-Smith", "👩‍👩‍👧‍👦 family", "a_b*c"])
    expect(shownName(name, "?")).toBe(name);
});

const updates = new FakeUsers({ now: () => 1_800_000_000_000 });

for (const file of readdirSync(join(import.meta.dir, "../updates"))) {
  test(`no update of ${file} makes the bot throw`, async () => {
    const { handle } = await host(await loadModule("referral", "/"), undefined, { users: updates });
    const lines = readFileSync(join(import.meta.dir, "../updates", file), "utf8")
      .trim()
      .split("\n");
    for (const line of lines) {
      const update = JSON.parse(line) as Update | null;
      if (typeof update !== "object" || update === null || Array.isArray(update)) continue;
      await handle(update);
    }
  });
}

/** Any JSON where the bot looks for text, numbers and parts. */
const odd = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.constantFrom(null, true, -1, 1e300, "", "/start", "private", "kicked", {}, [], 5, "daily"),
  },
  fc.jsonValue(),
);
const person = fc.record(
  { id: odd, is_bot: odd, first_name: odd, username: odd, language_code: odd },
  { requiredKeys: [] },
);
const sender = fc.oneof(odd, person, fc.constant({ id: 5, is_bot: false, first_name: "A" }));
const chat = fc.oneof(odd, fc.record({ id: odd, type: odd }), fc.constant({ id: 5, type: "private" }));
const message = fc.record({ message_id: odd, from: sender, chat, text: odd, entities: odd }, { requiredKeys: [] });
const anyUpdate = fc.oneof(
  fc.record({ message: fc.oneof(odd, message) }),
  fc.record({
    callback_query: fc.record(
      { id: odd, from: sender, data: odd, message: fc.oneof(odd, message) },
      { requiredKeys: [] },
    ),
  }),
  fc.record({
    my_chat_member: fc.record(
      { from: sender, chat, new_chat_member: fc.oneof(odd, fc.record({ status: odd })) },
      { requiredKeys: [] },
    ),
  }),
);

test("no update of any shape makes the bot throw, and all that it sends is text to a chat", async () => {
  const { handle, calls } = await host(await loadModule("referral", "/"), undefined, { users: updates });
  await fc.assert(
    fc.asyncProperty(fc.nat(), anyUpdate, async (id, update) => {
      await handle({ update_id: id, ...update } as never);
      for (const { method, payload } of calls.splice(0)) {
        if (method === "answerCallbackQuery") expect(typeof payload["callback_query_id"]).toBe("string");
        else
          expect([method, typeof payload["text"], Number.isSafeInteger(payload["chat_id"])]).toEqual([
            "sendMessage",
            "string",
            true,
          ]);
      }
    }),
    { numRuns: 3_000, seed: 1 },
  );
});

test("other bots, and what is nobody's number, are not answered", async () => {
  const { handle, calls } = await host(await loadModule("referral", "/"), undefined, { users: updates });
  for (const [id, isBot, type, text] of [
    [77, true, "private", "/start"],
    [77, true, "group", "/start@shop_bot"],
    [-77, false, "private", "/start"],
    [0, false, "private", "/start"],
    [2 ** 53, false, "private", "/start"],
  ] as const) {
    const from = { id, is_bot: isBot, first_name: "Bot" };
    await handle({ update_id: 1, message: { message_id: 1, date: 1, from, chat: { id: 77, type }, text } } as never);
  }
  expect(calls).toEqual([]);
});
