/** Refusals that Telegram means, played by the simulated Bot API's own chats and queries: what becomes of the update. */
import { describe, expect, test } from "bun:test";
import { GrammyError } from "grammy";
import type { Context } from "grammy";
import type { Refusal } from "../src/simulator/chats.ts";
import { chat, FaultRig, type Observed, transports } from "./support/fault-rig.ts";

const group = -7;
const supergroup = -1_000_000_000_007;

/** One update, whose handler does `act`; `close` is done to the chats before. */
async function play(
  act: (ctx: Context, rig: FaultRig) => Promise<unknown>,
  close: (rig: FaultRig) => void,
  where = chat,
  transport: (typeof transports)[number] = "own",
): Promise<Observed & { readonly rig: FaultRig }> {
  const rig = new FaultRig();
  rig.act = (ctx) => act(ctx, rig);
  await rig.start(transport, "sendMessage");
  await rig.clock.advance(1_000);
  rig.api.people.group(rig.world.bot, group);
  rig.api.people.group(rig.world.bot, supergroup);
  rig.api.people.person(chat).say(rig.world.bot, "go", { chat: where });
  close(rig);
  return { rig, ...(await rig.finish()) };
}

const refuse =
  (refused: Refusal, where = chat) =>
  ({ api, world }: FaultRig) =>
    api.people.refuse(world.bot, where, refused);
const forget = ({ api, world }: FaultRig): void => void api.bot(world.bot).chats.delete(chat);
const upgrade = refuse({ upgradedTo: supergroup }, group);
const reply = (ctx: Context): Promise<unknown> => ctx.reply("hello");
const textsIn = ({ api, world }: FaultRig, where: number): readonly string[] =>
  api.people.messages(world.bot, where).flatMap(({ from, text }) => (from === "bot" ? [text] : []));

describe("a chat that the bot cannot write to any more", () => {
  test.each<[string, (rig: FaultRig) => void, string]>([
    ["blocked the bot", refuse("blocked"), "403: Forbidden: bot was blocked by the user"],
    ["is of a deactivated user", refuse("deactivated"), "403: Forbidden: user is deactivated"],
    ["was never started", refuse("not_started"), "403: Forbidden: bot can't initiate conversation with a user"],
    ["is not found", forget, "400: Bad Request: chat not found"],
  ])("because it %s settles the update at once, told and counted as undeliverable", async (_, close, words) => {
    for (const transport of transports) {
      const { client, saw, ends, told, letters, rig } = await play(reply, close, chat, transport);
      expect([client, ends, letters, rig.effects]).toEqual([["refused"], ["undeliverable"], 0, 0]);
      expect(saw).toEqual([`GrammyError ${words.slice(0, 3)}`]);
      expect(told).toEqual([`undeliverable: GrammyError: Call to 'sendMessage' failed! (${words})`]);
    }
  });

  test("is the handler's business where it catches the refusal", async () => {
    const caught: unknown[] = [];
    const { ends } = await play((ctx) => reply(ctx).catch((error: unknown) => caught.push(error)), refuse("blocked"));
    expect(caught[0]).toBeInstanceOf(GrammyError);
    expect(ends).toEqual(["done"]);
  });

  test("but is another one than the update's is a fault of the handler, retried and in the end a dead letter", async () => {
    const { ends, letters } = await play(
      (ctx) => ctx.api.sendMessage(8, "news for a friend"),
      ({ api, world }) => api.people.refuse(world.bot, 8, "blocked"),
    );
    expect([ends, letters]).toEqual([["retry", "retry", "retry", "retry", "dead"], 1]);
  });
});

describe("a group that became a supergroup", () => {
  test("gets its answer under its new number, once", async () => {
    for (const transport of transports) {
      const { client, ends, rig } = await play(reply, upgrade, group, transport);
      expect([client, ends]).toEqual([["refused", "ok"], ["done"]]);
      expect([textsIn(rig, group), textsIn(rig, supergroup)]).toEqual([[], ["hello"]]);
    }
  });

  test("gets it once, also where the handler fails afterwards and is run again", async () => {
    let runs = 0;
    const { client, ends, rig } = await play(
      async (ctx) => {
        await reply(ctx);
        if (runs++ < 2) throw new Error("planned");
      },
      upgrade,
      group,
    );
    expect([client, ends]).toEqual([
      ["refused", "ok"],
      ["retry", "retry", "done"],
    ]);
    expect(textsIn(rig, supergroup)).toEqual(["hello"]);
  });

  test("that became one again is the handler's business", async () => {
    const { saw, ends, letters } = await play(
      reply,
      (rig) => {
        upgrade(rig);
        refuse({ upgradedTo: -1_000_000_000_008 }, supergroup)(rig);
      },
      group,
    );
    expect(saw).toEqual(Array<string>(5).fill("GrammyError 400"));
    expect([ends.at(-1), letters]).toEqual(["dead", 1]);
  });

  test("that lost the answer under its new number gets it again, and nothing under the old one", async () => {
    const { ends, rig } = await play(
      reply,
      (made) => {
        upgrade(made);
        made.api.faults.add({ kind: "reset", when: "after", method: "sendMessage", chat: supergroup, times: 1 });
      },
      group,
    );
    expect([ends, textsIn(rig, supergroup)]).toEqual([
      ["outage", "done"],
      ["hello", "hello"],
    ]);
  });
});

test("an answer to a query that is too old is a success", async () => {
  const { saw, ends, told } = await play(
    (ctx) => ctx.api.answerCallbackQuery("long gone"),
    () => {},
  );
  expect([saw, ends, told]).toEqual([["ok"], ["done"], []]);
});

test("a payload that is always answered with 500 keeps its chat waiting, uncounted, as long as nothing else shows that Telegram works", async () => {
  const { ends, letters } = await play(reply, ({ api }) => void api.faults.add({ kind: "500", method: "sendMessage" }));
  expect([new Set(ends), letters]).toEqual([new Set(["outage"]), 0]);
  expect(ends.length).toBeGreaterThan(20);
});
