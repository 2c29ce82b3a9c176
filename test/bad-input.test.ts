/**
 * Whatever comes in place of an update or of an answer: the process goes on, every update ends `done` or `dead` with a reason, and the offset
 * never moves past what is not stored. Poller, client, inbox (in memory), pipeline and a grammY bot are the real ones, on virtual time. Longer than other files
 * because each kind of input is one entry.
 */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Composer } from "grammy";
import type { Context } from "grammy";
import type { BotModule } from "../src/bots/bot.ts";
import type { Group } from "../src/inbox/store.ts";
import type { HttpReply, Transport } from "../src/telegram/exchange.ts";
import { type SteadyOptions, SteadyWorld } from "./simulation/steady-world.ts";
import { corpusUpdates, hostileUpdates, ownUpdates } from "./support/updates.ts";

/** An echo bot that looks at everything grammY offers, as plugins do. */
function curious(): Composer<Context> {
  const composer = new Composer<Context>();
  composer.use(async (ctx, next) => {
    void [ctx.chat?.id, ctx.from?.id, ctx.msg?.date, ctx.msgId, ctx.chatId, ctx.inlineMessageId, ctx.reactions()];
    ctx.entities();
    await next();
  });
  composer.on("callback_query", (ctx) => ctx.answerCallbackQuery());
  composer.on("inline_query", (ctx) => ctx.answerInlineQuery([]));
  composer.on("pre_checkout_query", (ctx) => ctx.answerPreCheckoutQuery(true));
  composer.hears(/./, (ctx) => ctx.reply(ctx.msg.text ?? ctx.msg.caption ?? ""));
  composer.on(":media", (ctx) => ctx.reply("seen"));
  return composer;
}

const module: BotModule = { updates: ["message", "callback_query", "inline_query"], create: curious };
/** Longer than the waits between the attempts of one update, ms. */
const retryWaitsMs = 120_000;
/** Updates of one chat that all fail take 80 s each, ms of virtual time. */
const settleMaxMs = 12 * 3_600_000;

class Input {
  readonly world: SteadyWorld;
  readonly appended = { stored: 0, known: 0, malformed: 0 };
  /** JSON texts of everything that became durable, updates and what was none. */
  readonly texts = new Set<string>();

  constructor(options: SteadyOptions = {}) {
    this.world = new SteadyWorld({
      module: () => module,
      ...options,
      pollingEvents: {
        onAppended: ({ stored, known, malformed }) => {
          this.appended.stored += stored;
          this.appended.known += known;
          this.appended.malformed += malformed;
        },
      },
      onCommitted: ({ appends }: Group) => {
        for (const { bodies, malformed } of appends) {
          for (const body of bodies) this.texts.add(body);
          for (const { body } of malformed) this.texts.add(body);
        }
      },
    });
  }

  /** After all retries: nothing is left over, and what is dead says why. */
  async expectAllSettled(): Promise<void> {
    const { world, appended } = this;
    await world.pass(retryWaitsMs);
    expect(await world.until(() => world.durable.entries.size === 0, settleMaxMs)).toBe(true);
    expect(world.running.pipeline.status()).toMatchObject({ backlog: 0, working: 0, settling: 0 });
    const letters = [...world.durable.letters.values()];
    expect(letters.filter(({ error }) => error.length < 10)).toEqual([]);
    const { done, undeliverable, dead, expired } = world.ends;
    expect(done + undeliverable + dead + expired).toBe(appended.stored);
    expect(letters.length).toBe(world.ends.dead + appended.malformed);
  }

  /** The process goes on: an ordinary message is answered. */
  async expectAnswer(): Promise<void> {
    const { world } = this;
    const before = world.answers.length;
    world.say(0, 42, `still there? ${before}`);
    expect(await world.until(() => world.answers.length > before, 60_000)).toBe(true);
  }
}

/** Delivers JSON texts as updates of one bot, in order. */
async function deliver(texts: readonly string[]): Promise<Input> {
  const input = new Input();
  const { world } = input;
  await world.start();
  for (const text of texts) world.api.people.deliver(world.botId(0), text);
  // So that a usable id follows each hostile update: one that is last of all has nothing to be confirmed by.
  world.say(0, 41, "the last one");
  expect(await world.until(() => world.answers.some(({ chat }) => chat === 41), 600_000)).toBe(true);
  await input.expectAllSettled();
  await input.expectAnswer();
  await world.stop();
  return input;
}

describe("every update ends done or dead with a reason, and the process goes on, over", () => {
  test("all kinds of the Bot API, and kinds not known yet", async () => {
    const own = ownUpdates();
    const { appended, world } = await deliver(own.map(({ text }) => text));
    expect(appended).toMatchObject({ stored: own.length + 2, known: 0, malformed: 0 });
    // What Telegram may send, no handler fails on.
    expect(world.ends.dead).toBe(0);
  });

  const corpus = corpusUpdates();
  test.skipIf(corpus.updates === undefined)("recorded updates", async () => {
    const { updates = [] } = corpus;
    const { appended, world } = await deliver(updates.map(({ text }) => text));
    expect(appended).toMatchObject({ stored: updates.length + 2, malformed: 0 });
    expect(world.ends.dead).toBe(0);
  });

  test("whatever else JSON can say, one after another", async () => {
    const hostile = hostileUpdates();
    const { texts } = await deliver(hostile);
    const missing = hostile.map((text) => JSON.stringify(JSON.parse(text))).filter((text) => !texts.has(text));
    expect(missing).toEqual([]);
  });

  test("whatever else JSON can say, each alone between two ordinary updates", async () => {
    for (const text of hostileUpdates()) {
      const { texts } = await deliver([JSON.stringify({ update_id: 1 }), text]);
      expect(texts.has(JSON.stringify(JSON.parse(text)))).toBe(true);
    }
  });

  test("a batch of 4 MiB, and one update of 4 MiB", async () => {
    const message = (id: number, chars: number): string =>
      JSON.stringify({
        update_id: id,
        message: {
          message_id: id,
          date: 1,
          chat: { id: 7, type: "private", first_name: "A" },
          text: "я".repeat(chars),
        },
      });
    const { appended } = await deliver([
      ...Array.from({ length: 100 }, (_, at) => message(1 + at, 20_000)),
      message(101, 2_000_000),
    ]);
    expect(appended.stored).toBe(103);
  });

  test("updates nested too deeply to be handled", async () => {
    const deep = (id: number, depth: number): string =>
      `{"update_id":${id},"message":{"chat":{"id":7},"x":${"[".repeat(depth)}${"]".repeat(depth)}}}`;
    const { world } = await deliver([deep(1, 1_000), deep(2, 1_000_000)]);
    expect([...world.durable.letters.values()].map(({ error }) => error)).toEqual([
      expect.stringContaining("nested too deeply") as string,
    ]);
  });
});

/** Answers of getUpdates (and of other methods) that are none. */
const noAnswers: readonly (readonly [status: number, text: string])[] = [
  [200, ""],
  [200, " "],
  [502, ""],
  [204, ""],
  [200, "<html><body>Welcome to nginx</body></html>"],
  [502, "<html><body>502 Bad Gateway</body></html>"],
  [403, "<html>blocked by your provider</html>"],
  [302, ""],
  [200, '{"ok":true,"result":[{"update_id":1,"message":{"te'],
  [200, "null"],
  [200, "[]"],
  [200, '"ok"'],
  [200, "0"],
  [200, "{}"],
  [200, '{"ok":true}'],
  [200, '{"ok":"true","result":[]}'],
  [200, '{"ok":1,"result":[]}'],
  [200, '{"result":[{"update_id":1}]}'],
  [200, '{"ok":true,"result":null}'],
  [200, '{"ok":true,"result":true}'],
  [200, '{"ok":true,"result":7}'],
  [200, '{"ok":true,"result":"updates"}'],
  [200, '{"ok":true,"result":{}}'],
  [200, '{"ok":true,"result":{"0":{"update_id":1},"length":1}}'],
  [200, '{"ok":true,"result":[null]}'],
  [200, '{"ok":true,"result":[[],7,"x"]}'],
  [200, '{"ok":true,"result":[{"update_id":-5}]}'],
  [200, '{"ok":true,"result":[{"update_id":1e999}]}'],
  [200, `{"ok":true,"result":${"[".repeat(1_000_000)}${"]".repeat(1_000_000)}}`],
  [500, '{"ok":false}'],
  [500, '{"ok":false,"error_code":"500","description":"text"}'],
  [200, '{"ok":false,"error_code":0,"description":7}'],
  [200, '{"ok":false,"error_code":1e999,"description":null}'],
  [429, '{"ok":false,"error_code":429,"description":"Too Many Requests"}'],
  [429, '{"ok":false,"error_code":429,"parameters":null}'],
  [429, '{"ok":false,"error_code":429,"parameters":{"retry_after":"soon"}}'],
  [429, '{"ok":false,"error_code":429,"parameters":{"retry_after":-1}}'],
  [429, '{"ok":false,"error_code":429,"parameters":{"retry_after":1e999}}'],
  [418, '{"ok":false,"error_code":418,"description":"I am a teapot"}'],
];

interface Spoilt {
  /** While true, calls of `method` get `reply`. */
  isOn: boolean;
  calls: number;
  readonly offsets: unknown[];
}

function spoil(reply: HttpReply, method: string, spoilt: Spoilt): NonNullable<SteadyOptions["transport"]> {
  return (transport: Transport): Transport => ({
    exchange(request) {
      if (!request.url.endsWith(`/${method}`)) return transport.exchange(request);
      if (!spoilt.isOn) return transport.exchange(request);
      spoilt.calls++;
      spoilt.offsets.push((JSON.parse(request.body) as { offset?: unknown }).offset);
      return Promise.resolve(reply);
    },
  });
}

const shown = (status: number, text: string): string => `${status} ${text.slice(0, 80)}`;

describe("an answer that is none", () => {
  test.each(noAnswers.map(([status, text]) => [shown(status, text), status, text] as const))(
    "to getUpdates moves no offset and stores nothing, and polling goes on: %s",
    async (_, status, text) => {
      const spoilt: Spoilt = { isOn: false, calls: 0, offsets: [] };
      const input = new Input({ transport: spoil({ kind: "answered", status, text }, "getUpdates", spoilt) });
      const { world } = input;
      await world.start();
      await input.expectAnswer();
      const stored = input.texts.size;
      spoilt.isOn = true;
      await world.pass(180_000);
      // Neither given up nor asked without pause.
      expect(spoilt.calls).toBeGreaterThan(2);
      expect(spoilt.calls).toBeLessThan(300);
      expect(new Set(spoilt.offsets).size).toBe(1);
      expect(input.texts.size).toBe(stored);
      spoilt.isOn = false;
      await input.expectAnswer();
      await input.expectAllSettled();
      await world.stop();
    },
  );

  test.each(noAnswers.map(([status, text]) => [shown(status, text), status, text] as const))(
    "to getMe does not keep the bot from starting later: %s",
    async (_, status, text) => {
      const spoilt: Spoilt = { isOn: true, calls: 0, offsets: [] };
      const input = new Input({ transport: spoil({ kind: "answered", status, text }, "getMe", spoilt) });
      await input.world.start();
      await input.world.pass(180_000);
      expect(spoilt.calls).toBeGreaterThan(2);
      spoilt.isOn = false;
      await input.expectAnswer();
      await input.world.stop();
    },
  );

  test.each(noAnswers.map(([status, text]) => [shown(status, text), status, text] as const))(
    "to a handler's call leaves its update done, dead with a reason, or waiting until it is over: %s",
    async (_, status, text) => {
      const spoilt: Spoilt = { isOn: true, calls: 0, offsets: [] };
      const input = new Input({ transport: spoil({ kind: "answered", status, text }, "sendMessage", spoilt) });
      const { world } = input;
      await world.start();
      world.say(0, 1, "hello");
      await world.pass(180_000);
      expect(spoilt.calls).toBeGreaterThan(0);
      spoilt.isOn = false;
      await input.expectAllSettled();
      await input.expectAnswer();
      await world.stop();
    },
  );
});

/**
 * In place of Telegram's queue: batches of anything, each served until it is confirmed by another offset, or forgotten after many polls
 * because nothing in it can be confirmed.
 */
class Queue {
  /** JSON texts that were confirmed before they were durable. */
  readonly skipped: string[] = [];
  private readonly batches: readonly (readonly unknown[])[];
  private at = 0;
  private asked = 0;
  private servedAt: unknown;

  constructor(batches: readonly (readonly unknown[])[]) {
    this.batches = batches;
  }

  get isEmpty(): boolean {
    return this.at >= this.batches.length;
  }

  transport(stored: () => ReadonlySet<string>): NonNullable<SteadyOptions["transport"]> {
    return (transport) => ({
      exchange: (request) => {
        if (!request.url.endsWith("/getUpdates")) return transport.exchange(request);
        const { offset } = JSON.parse(request.body) as { readonly offset: unknown };
        const batch = this.next(offset, stored());
        if (batch !== undefined) return Promise.resolve({ kind: "answered", status: 200, text: resultOf(batch) });
        // The real queue numbers its updates from 1.
        return transport.exchange({ ...request, body: request.body.replace(/"offset":\d+/, '"offset":0') });
      },
    });
  }

  private next(offset: unknown, stored: ReadonlySet<string>): readonly unknown[] | undefined {
    if (this.asked > 0 && offset !== this.servedAt) {
      const texts = (this.batches[this.at] ?? []).map((element) => JSON.stringify(JSON.parse(JSON.stringify(element))));
      this.skipped.push(...texts.filter((text) => !stored.has(text)));
    }
    if (this.asked > 0 && (offset !== this.servedAt || this.asked === pollsMax)) {
      this.at++;
      this.asked = 0;
    }
    this.asked++;
    this.servedAt = offset;
    return this.batches[this.at];
  }
}

const pollsMax = 8;
const resultOf = (batch: readonly unknown[]): string => `{"ok":true,"result":${JSON.stringify(batch)}}`;

const anything = fc.jsonValue({ maxDepth: 4 });
const id = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 1_000 }) },
  fc.constantFrom<unknown>(0, -1, 1.5, 2 ** 31, 2 ** 53 - 1, 2 ** 53, 1e300, null, "1", [], {}),
);
const person = fc.oneof(fc.record({ id, is_bot: fc.boolean(), first_name: fc.string() }), anything);
const chat = fc.oneof(fc.record({ id, type: fc.constantFrom("private", "group", "x") }), anything);
const message = fc.record(
  {
    message_id: id,
    from: person,
    chat,
    date: id,
    text: fc.oneof(fc.string(), anything),
    entities: anything,
    photo: anything,
  },
  { requiredKeys: [] },
);
const kinds = [
  "message",
  "edited_message",
  "callback_query",
  "inline_query",
  "poll",
  "my_chat_member",
  "__proto__",
  "new_kind",
];
/** Looks like an update, more or less. */
const almost = fc
  .record({
    update_id: id,
    kind: fc.constantFrom(...kinds),
    payload: fc.oneof(message, fc.record({ id, message, from: person }), anything),
  })
  .map(({ update_id, kind, payload }) => {
    const update: Record<string, unknown> = { update_id };
    Object.defineProperty(update, kind, { value: payload, enumerable: true });
    return update;
  });
const batch = fc.array(fc.oneof({ weight: 3, arbitrary: almost }, anything), { minLength: 1, maxLength: 8 });
const batches = fc.array(batch, { minLength: 1, maxLength: 5 });

test("any JSON values as batches: nothing is left unsettled, and the offset never passes what is not stored", async () => {
  await fc.assert(
    fc.asyncProperty(
      batches,
      fc.boolean(),
      fc.integer({ min: 0, max: 10_000 }),
      async (served, deduplicate, failMs) => {
        const queue = new Queue(served);
        const input: Input = new Input({ deduplicate, transport: queue.transport(() => input.texts) });
        const { world } = input;
        world.isDiskFailing = true;
        world.scheduler.at(failMs, () => (world.isDiskFailing = false));
        await world.start();
        expect(await world.until(() => queue.isEmpty, 3_600_000)).toBe(true);
        expect(queue.skipped).toEqual([]);
        await input.expectAllSettled();
        // Ids of the batches may make an ordinary one look known.
        if (!deduplicate) await input.expectAnswer();
        expect(world.running.fleet.bots()[0]?.poller.phase).toBe("polling");
        await world.stop();
      },
    ),
    { numRuns: Number(process.env["RUNS"] ?? 300) },
  );
}, 120_000);
