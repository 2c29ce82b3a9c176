/**
 * One fault of the simulated Bot API met by the whole program but for its disk and its sidecar: transport, client, hosted bot, pipeline and
 * poller on a memory inbox and a fake clock. What it shows is told in the words that table rows are written in.
 */
import { Composer, GrammyError, InputFile } from "grammy";
import type { Context } from "grammy";
import { limits } from "../../config/limits.ts";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { faultOf } from "../../src/faults.ts";
import { toToken, type Token } from "../../src/ids.ts";
import { createMemoryInbox, emptyDurable } from "../../src/inbox/memory.ts";
import type { Log } from "../../src/log.ts";
import type { PollOutcome } from "../../src/polling.ts";
import type { BotApi } from "../../src/simulator/bot-api.ts";
import { decode } from "../../src/simulator/body.ts";
import type { FaultSpec } from "../../src/simulator/faults.ts";
import { createFetch } from "../../src/simulator/fetch.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { Transport } from "../../src/telegram/exchange.ts";
import { createFetchTransport, type Fetch } from "../../src/telegram/fetch-transport.ts";
import { createOwnTransport } from "../../src/telegram/transport.ts";
import { startInstance, type Instance } from "../simulation/instance.ts";
import { core, type Core } from "../simulator/core.ts";
import type { FakeClock } from "./fake-clock.ts";
import { createSimulatedConnect } from "./simulated-wire.ts";

export const transports = ["own", "fetch"] as const;

/** What a handler calls. */
export const handlerMethods = [
  "sendMessage",
  "editMessageText",
  "answerCallbackQuery",
  "getChat",
  "sendDocument",
] as const;
export type HandlerMethod = (typeof handlerMethods)[number];

/** The chat of the update, as seen from the bot. */
export const chat = 7;

export interface Observed {
  /** `onRetry` (`again: flood`) and `onCall` (`ok`) of the method, in order. */
  readonly client: string[];
  /** How each attempt of the handler saw the call end: `ok`, `GrammyError 403`, or the code of a Fault. */
  readonly saw: string[];
  /** Ends of attempts. */
  readonly ends: string[];
  /** What the operator is told: troubles of the pipeline and warnings of the poller. */
  readonly told: string[];
  /** Outcomes of polls and getMe, empty ones left out. */
  readonly polls: string[];
  readonly letters: number;
}

export class FaultRig {
  readonly world: Core = core();
  readonly clock: FakeClock;
  readonly api: BotApi;
  readonly token: Token;
  readonly observed: Observed & { letters: number } = {
    client: [],
    saw: [],
    ends: [],
    told: [],
    polls: [],
    letters: 0,
  };
  /** What was sent, changed or answered at Telegram. */
  effects = 0;
  /** Attempts of the own transport to connect, and the numbers of those that are refused. */
  dials = 0;
  readonly dialsRefused = new Set<number>();
  act: (ctx: Context) => Promise<unknown> = () => Promise.resolve();
  private beforeCall: (() => void) | undefined;
  private readonly durable = emptyDurable();
  private instance: Instance | undefined;

  constructor() {
    this.clock = this.world.clock;
    this.api = this.world.api;
    this.token = toToken(this.api.bot(this.world.bot).token) as Token;
  }

  /** `method`: whose calls are told of. */
  async start(transport: (typeof transports)[number], method: string): Promise<void> {
    const { clock, observed, durable, api } = this;
    const note = (word: string) => (called: string, what: string) =>
      void (called === method && observed.client.push(word + what));
    api.journal.listen({ send: (entry) => void (entry.effect && this.effects++) });
    this.instance = await startInstance({
      clock,
      random: () => 0.5,
      inbox: createMemoryInbox({ clock, limits: limits.inbox, durable }),
      transport: transport === "own" ? this.ownTransport() : this.fetchTransport(),
      fetch: this.fetch(),
      tokens: [this.token],
      module: () => ({ updates: ["message"], create: () => this.module() }),
      log: this.log(),
      callEvents: { onCall: note(""), onRetry: note("again: ") },
      pollingEvents: { onPoll: (outcome: PollOutcome) => void (outcome !== "empty" && observed.polls.push(outcome)) },
      pipelineEvents: {
        onAttempt: (_, result) => void observed.ends.push(result),
        onTrouble: (_, { kind, error }) => void observed.told.push(`${kind}: ${error}`),
      },
    });
  }

  /** Moves on until the update is settled, by at most ten minutes, and then on by a minute, in which nothing more may happen. */
  async finish(): Promise<Observed> {
    const { clock, observed, durable } = this;
    const isOver = (): boolean => observed.ends.some((end) => !["retry", "outage", "kept"].includes(end));
    for (let second = 0; second < 600 && !isOver(); second++) await clock.advance(1_000);
    await clock.advance(60_000);
    observed.letters = durable.letters.size;
    const stopping = this.instance?.stop();
    await clock.advance(60_000);
    await stopping;
    return observed;
  }

  /** One call of the method meets the fault. That a connection cannot be opened is played where the own transport opens them. */
  strike(spec: FaultSpec, transport: (typeof transports)[number]): void {
    const isDialed = spec.kind === "refused" && transport === "own" && spec.method !== "sendDocument";
    if (!isDialed) this.api.faults.add({ ...spec, times: 1 });
    else this.beforeCall = () => this.dialsRefused.add(this.dials + 1);
  }

  private module(): Composer<Context> {
    const composer = new Composer<Context>();
    composer.on("message:text", async (ctx) => {
      try {
        this.beforeCall?.();
        this.beforeCall = undefined;
        await this.act(ctx);
        this.observed.saw.push("ok");
      } catch (error) {
        this.observed.saw.push(ending(error));
        throw error;
      }
    });
    return composer;
  }

  private log(): Log {
    const told = (message: string, fields?: Readonly<Record<string, unknown>>): void => {
      const error = fields?.["error"];
      this.observed.told.push(`${message}: ${typeof error === "string" ? error : Bun.inspect(error)}`);
    };
    const log: Log = { debug() {}, info() {}, warn: told, error: told, child: () => log };
    return log;
  }

  private shared() {
    const { clock } = this;
    return { clock, deadlines: createDeadlines({ clock, tickMs: 200 }), listeners: createAbortListeners() };
  }

  private ownTransport(): Transport {
    const { answerMaxBytes } = limits.client;
    // Each call opens a connection of its own, so that refusals to connect are met by the call that the row is about.
    const connect = createSimulatedConnect(this.api, () => this.dialsRefused.has(++this.dials));
    return createOwnTransport({
      ...this.shared(),
      connect,
      limits: { ...limits.transport, answerMaxBytes, idleMaxMs: 1 },
    });
  }

  private fetchTransport(): Transport {
    const { answerMaxBytes } = limits.client;
    return createFetchTransport({ ...this.shared(), fetch: createFetch(this.api), answerMaxBytes });
  }

  /** The simulator's fetch knows no multipart streams. */
  private fetch(): Fetch {
    const fetch = createFetch(this.api);
    return async (url, init) => {
      const { body: stream, headers } = init as unknown as {
        readonly body: AsyncIterable<Uint8Array>;
        readonly headers: Readonly<Record<string, string>>;
      };
      const type = new Headers(headers).get("content-type") ?? "";
      const body = Buffer.from(await new Response(stream as unknown as ReadableStream).arrayBuffer());
      const request = { method: "POST", target: "/", header: () => undefined, body, keepAlive: true };
      return fetch(url, { ...init, body: JSON.stringify(decode(request, type)) });
    };
  }
}

function ending(error: unknown): string {
  return error instanceof GrammyError ? `GrammyError ${error.error_code}` : (faultOf(error)?.code ?? String(error));
}

/** The call of a row, made so that it succeeds where nothing strikes it. */
export async function prepare(rig: FaultRig, method: HandlerMethod): Promise<(ctx: Context) => Promise<unknown>> {
  switch (method) {
    case "sendMessage":
      return (ctx) => ctx.api.sendMessage(chat, "hello");
    case "editMessageText": {
      rig.api.bot(rig.world.bot).chat(chat);
      const { body } = await rig.world.call("sendMessage", { chat_id: chat, text: "old" });
      const { message_id: id } = body.result as { readonly message_id: number };
      return (ctx) => ctx.api.editMessageText(chat, id, "new");
    }
    case "answerCallbackQuery": {
      const bot = rig.api.bot(rig.world.bot);
      bot.ask("q1", "callback_query");
      Object.defineProperty(bot.query("q1"), "answer", {
        set() {
          rig.effects++;
        },
      });
      return (ctx) => ctx.api.answerCallbackQuery("q1");
    }
    case "getChat":
      return (ctx) => ctx.api.getChat(chat);
    case "sendDocument":
      return (ctx) => ctx.api.sendDocument(chat, new InputFile(new Uint8Array([1, 2, 3]), "three.bin"));
  }
}
