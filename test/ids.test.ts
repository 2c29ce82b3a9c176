import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { botIdOf, type LaneKey, laneOf, payloadOf, toLaneKey, toToken, type Token, type Update } from "../src/ids.ts";

const lane = (update: unknown): LaneKey => laneOf({ update_id: 1, ...(update as object) });
const folder = join(import.meta.dir, "updates");

test("everything that happens in a chat shares its lane", () => {
  const chat = { id: -100_7 };
  const kinds = ["message", "edited_message", "channel_post", "business_message", "deleted_business_messages"];
  kinds.push("message_reaction", "my_chat_member", "chat_member", "chat_join_request", "chat_boost", "new_kind");
  for (const kind of kinds) expect(lane({ [kind]: { chat, from: { id: 5 } } })).toBe(toLaneKey(-100_7));
  expect(lane({ callback_query: { id: "9", from: { id: 5 }, message: { chat } } })).toBe(toLaneKey(-100_7));
});

test("what a user does outside a chat shares the lane of the private chat with that user", () => {
  const user = { id: 5 };
  const ofUser = toLaneKey(5);
  expect(lane({ message: { chat: { id: 5 }, from: user } })).toBe(ofUser);
  for (const kind of [
    "inline_query",
    "chosen_inline_result",
    "shipping_query",
    "pre_checkout_query",
    "callback_query",
  ]) {
    expect(lane({ [kind]: { id: "9", from: user } })).toBe(ofUser);
  }
  expect(lane({ poll_answer: { poll_id: "9", user } })).toBe(ofUser);
  expect(lane({ business_connection: { id: "b", user } })).toBe(ofUser);
});

test("a poll, a query and a business connection without chat and user have a lane of their own", () => {
  expect(lane({ poll: { id: "123" } })).toBe(toLaneKey("poll:123"));
  expect(lane({ inline_query: { id: "7" } })).toBe(toLaneKey("inline_query:7"));
  expect(lane({ business_connection: { id: "b" } })).toBe(toLaneKey("business_connection:b"));
  expect(lane({ poll_answer: { poll_id: "9", voter_chat: { id: -8 } } })).toBe(toLaneKey(-8));
});

test("what has nothing to be told apart by shares the lane of its kind", () => {
  expect(lane({ unheard_of: { a: 1 } })).toBe(toLaneKey("unheard_of"));
  expect(lane({ message: null })).toBe(toLaneKey("message"));
  expect(lane({ message: { chat: { id: "5" } } })).toBe(toLaneKey("message"));
  expect(lane({ message: { chat: null, from: [] } })).toBe(toLaneKey("message"));
  expect(lane({})).toBe(toLaneKey(""));
});

test("a field of no object beside the payload does not take its chat from an update", () => {
  expect(lane({ trace: "before", message: { chat: { id: 5 } } })).toBe(toLaneKey(5));
  expect(payloadOf({ update_id: 1, trace: 1, poll: { id: "1" } } as unknown as Update)?.kind).toBe("poll");
});

test("no update makes a lane's name longer than 150 characters", () => {
  const long = "k".repeat(1_000_000);
  expect(String(lane({ [long]: { id: long } })).length).toBeLessThan(150);
  expect(String(lane({ [long]: 1 })).length).toBeLessThan(150);
});

function expectLane(update: unknown): void {
  expect(["number", "string"]).toContain(typeof laneOf(update as Update));
}

test("every JSON value has a lane, and none throws", () => {
  for (const odd of [null, undefined, 0, 7, "", "text", true, [], [[]], [{ chat: { id: 1 } }], {}]) {
    expectLane(odd);
    for (const kind of ["message", "callback_query", "poll", "__proto__", "constructor", "toString", "0"]) {
      expectLane(JSON.parse(`{"update_id":1,${JSON.stringify(kind)}:${JSON.stringify(odd ?? null)}}`));
    }
  }
  const name = fc.constantFrom("message", "chat", "from", "user", "id", "voter_chat", "update_id", "__proto__", "poll");
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      fc.jsonValue(),
      fc.integer(),
      fc.array(tie("tree")),
      fc.dictionary(name, tie("tree")),
    ),
  }));
  fc.assert(fc.property(tree, expectLane), { numRuns: 300 });
});

test("every update of the test set has a lane", () => {
  let read = 0;
  for (const file of readdirSync(folder)) {
    for (const line of readFileSync(join(folder, file), "utf8").split("\n")) {
      if (line.trim() === "") continue;
      expectLane(JSON.parse(line));
      read++;
    }
  }
  expect(read).toBeGreaterThan(100);
});

test("a token is a number, a colon and a secret; its bot id is that number, exactly", () => {
  expect(toToken("123456:AAH-not_real")).toBe("123456:AAH-not_real" as Token);
  for (const wrong of ["", "123", "123:", ":abc", "12 3:abc", "123:a b", "123:abc\n", "x123:abc", "1:a/b"]) {
    expect(toToken(wrong)).toBeUndefined();
  }
  const longest = toToken("999999999999999:a") as Token;
  expect(String(botIdOf(longest))).toBe("999999999999999");
  expect(toToken("9007199254740993:a")).toBeUndefined();
});
