/**
 * The simulated Bot API: everything but the wire. It never touches real time, sockets or chance of its own: on a fake clock with a seeded
 * `random` the same calls give the same answers in the same order. Longer than other files: half of it is the interface that all of them meet.
 */
import type { Clock, Random } from "../clock.ts";
import type { BotLimits, BotSpec } from "./bot.ts";
import { SimulatedBot } from "./bot.ts";
import type { FaultSpec } from "./faults.ts";
import { faultReply, preventsEffect } from "./fault-replies.ts";
import { Faults } from "./faults.ts";
import type { JournalOptions } from "./journal.ts";
import { Journal } from "./journal.ts";
import { isSend, overLimit, perform } from "./methods.ts";
import { People } from "./people.ts";
import { allowedUpdates, chatOf, integer, text } from "./params.ts";
import type { Answer, Payload, Reply } from "./wire.ts";
import { refusal, words } from "./wire.ts";

export interface BotApiOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly journal?: JournalOptions;
  /** Every answer is this late, ms; default 0. */
  readonly delayMs?: number;
  /** Bots may write to any chat, as if somebody had opened it; default false. */
  readonly anyChat?: boolean;
  /** Messages of a chat that can be looked at; default 50. About 0.5 KB each, on top of 1 KB a chat: 0 for loads over many chats. */
  readonly historyPerChat?: number;
  /** Default 100,000, as at Telegram. */
  readonly queueMaxUpdates?: number;
  /** Bytes; default 128 MiB, as at Telegram. */
  readonly queueMaxBytes?: number;
}

/** A bot by its id or its token. */
export type BotRef = number | string;

export interface BotApi {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly journal: Journal;
  /** The users' side. */
  readonly people: People;
  /** Lateness of every answer, ms; may be changed at any time. */
  delayMs: number;
  readonly bots: ReadonlyMap<number, SimulatedBot>;
  addBot(spec: BotSpec): SimulatedBot;
  /** Throws where there is no such bot. */
  bot(ref: BotRef): SimulatedBot;
  /** One call. Resolves with what goes over the wire; never rejects. Aborting `signal` makes a waiting poll leave. */
  call(token: string, method: string, payload?: Payload, options?: { readonly signal?: AbortSignal }): Promise<Reply>;
  /**
   * As `call`, without a promise: `respond` is called once, often before this returns. Returns how the caller gives up. `from`: see `PollEntry`;
   * default "".
   */
  serve(token: string, method: string, payload: Payload, respond: (reply: Reply) => void, from?: string): () => void;
}

const noPayload: Payload = {};
const idle = (): void => undefined;

export function createBotApi(options: BotApiOptions): BotApi {
  return new SimulatedBotApi(options);
}

class SimulatedBotApi implements BotApi {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly journal: Journal;
  readonly people: People;
  delayMs: number;
  readonly bots = new Map<number, SimulatedBot>();
  readonly #byToken = new Map<string, SimulatedBot>();
  readonly #anyChat: boolean;
  readonly #limits: BotLimits;

  constructor(options: BotApiOptions) {
    this.clock = options.clock;
    this.faults = new Faults(options.random);
    this.journal = new Journal(options.journal);
    this.people = new People(this);
    this.delayMs = options.delayMs ?? 0;
    this.#anyChat = options.anyChat ?? false;
    this.#limits = {
      historyPerChat: options.historyPerChat ?? 50,
      queueMaxUpdates: options.queueMaxUpdates ?? 100_000,
      queueMaxBytes: options.queueMaxBytes ?? 128 * 1024 * 1024,
    };
  }

  addBot(spec: BotSpec): SimulatedBot {
    if (this.bots.has(spec.id)) throw new RangeError(`bot ${spec.id} exists already`);
    const bot = new SimulatedBot(spec, { clock: this.clock, journal: this.journal, limits: this.#limits });
    this.bots.set(bot.id, bot);
    this.#byToken.set(bot.token, bot);
    return bot;
  }

  bot(ref: BotRef): SimulatedBot {
    const found = typeof ref === "number" ? this.bots.get(ref) : this.#byToken.get(ref);
    if (found === undefined)
      throw new RangeError(`no simulated bot ${typeof ref === "number" ? ref : "with this token"}`);
    return found;
  }

  call(
    token: string,
    method: string,
    payload = noPayload,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Reply> {
    return new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve({ kind: "reset" });
        return;
      }
      let cancel = idle;
      const onAbort = (): void => {
        cancel();
        resolve({ kind: "reset" });
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      cancel = this.serve(token, method, payload, (reply) => {
        signal?.removeEventListener("abort", onAbort);
        resolve(reply);
      });
    });
  }

  serve(token: string, method: string, payload: Payload, respond: (reply: Reply) => void, from = ""): () => void {
    const bot = this.#byToken.get(token);
    if (bot === undefined || bot.revoked) {
      respond(refusal(401, /^\d+:[\w-]+$/.test(token) ? words.unauthorized : "Unauthorized: invalid token specified"));
      return idle;
    }
    const name = method.toLowerCase();
    this.journal.called(bot.id, method);
    const chat = chatOf(payload);
    const strike = this.faults.strike(bot.id, chat, name);
    const lateMs = this.delayMs + (strike?.delayAfterMs ?? 0);
    const late = this.#late(lateMs, respond);
    const call: Exchange = { bot, name, payload, chat, from, fault: strike?.fault, respond: late };
    if (strike === undefined || strike.delayBeforeMs === 0) return this.#run(call);
    let cancel = idle;
    const timer = this.clock.setTimer(() => (cancel = this.#run(call)), strike.delayBeforeMs);
    // What has arrived takes effect, whether or not its caller still waits; only a poll nobody waits for would harm the next one.
    if (name === "getupdates") cancel = () => timer.cancel();
    return () => cancel();
  }

  #run(call: Exchange): () => void {
    const { bot, name, payload, fault, respond } = call;
    if (fault !== undefined && preventsEffect(fault)) {
      const reply = faultReply(fault, undefined);
      this.#note(call, reply, false);
      respond(reply);
      return idle;
    }
    if (name === "getupdates") return this.#poll(call);
    const held = isSend(name) ? overLimit(bot, call.chat) : undefined;
    const answer = held ?? perform({ bot, method: name, payload, now: this.clock.now(), anyChat: this.#anyChat });
    const reply = fault === undefined ? answer : faultReply(fault, answer);
    this.#note(call, reply, answer.status === 200);
    respond(reply);
    return idle;
  }

  #poll({ bot, payload, from, fault, respond }: Exchange): () => void {
    const answered = (answer: Answer): void => respond(fault === undefined ? answer : faultReply(fault, answer));
    if (bot.webhook !== "") {
      bot.poll.conflict(words.webhookActive, answered);
      return idle;
    }
    const allowed = allowedUpdates(payload);
    if (allowed !== undefined) bot.allowed = allowed;
    const offset = integer(payload, "offset", 0);
    const limit = integer(payload, "limit", 100);
    return bot.poll.get({ offset, limit, timeoutS: integer(payload, "timeout", 0), from }, answered);
  }

  #late(ms: number, respond: (reply: Reply) => void): (reply: Reply) => void {
    return ms === 0 ? respond : (reply) => void this.clock.setTimer(() => respond(reply), ms);
  }

  #note({ bot, name, payload, chat }: Exchange, reply: Reply, effect: boolean): void {
    if (!isSend(name)) return;
    const outcome = reply.kind === "answer" ? reply.status : reply.kind;
    const body = text(payload, "text") || text(payload, "caption");
    const at = this.clock.now();
    this.journal.sent({ type: "send", bot: bot.id, chat: chat ?? 0, method: name, text: body, at, effect, outcome });
  }
}

interface Exchange {
  readonly bot: SimulatedBot;
  readonly name: string;
  readonly payload: Payload;
  readonly chat: number | undefined;
  readonly from: string;
  readonly fault: FaultSpec | undefined;
  readonly respond: (reply: Reply) => void;
}
