/** The referral bot in the real host and client, before the simulated Bot API, with users in memory, on a fake clock. */
import { limits } from "../../config/limits.ts";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { createAttemptScope } from "../../src/attempts.ts";
import { loadModule } from "../../src/bots/catalog.ts";
import { createHostedBot, type HostedBot } from "../../src/bots/host.ts";
import type { ModuleLimits, RateLimit } from "../../src/bots/bot.ts";
import type { Update } from "../../src/ids.ts";
import type { BotApi } from "../../src/simulator/bot-api.ts";
import type { SimulatedBot } from "../../src/simulator/bot.ts";
import { createFetch } from "../../src/simulator/fetch.ts";
import type { SeenMessage } from "../../src/simulator/chats.ts";
import type { PersonSpec } from "../../src/simulator/people.ts";
import { createClient } from "../../src/telegram/client.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import { createFetchTransport } from "../../src/telegram/fetch-transport.ts";
import { core } from "../simulator/core.ts";
import type { FakeClock } from "../support/fake-clock.ts";
import { FakeUsers, type FakeUsersOptions } from "../support/fake-users.ts";
import { floodOff } from "../support/flood-off.ts";
import type { User } from "../../src/users/user.ts";
import type { Users } from "../../src/users/users.ts";

export interface RigOptions extends Partial<Pick<FakeUsersOptions, "exactPlaces">> {
  readonly rateLimit?: RateLimit;
  /** Others than those of production. */
  readonly moduleLimits?: Partial<ModuleLimits>;
  /** Instead of the users in memory. */
  readonly usersOf?: (world: Rig) => Users;
}

export interface Call {
  readonly method: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/** A further bot of the fleet, with the same users. */
export interface RigBot {
  readonly simulated: SimulatedBot;
  readonly hosted: HostedBot;
}

export class Rig {
  readonly clock: FakeClock;
  readonly api: BotApi;
  readonly users: FakeUsers;
  /** What the bots called, in order, as it went out; getUpdates apart. */
  readonly calls: Call[] = [];
  readonly counts = new Map<string, number>();
  readonly bots: RigBot[] = [];
  readonly scope = createAttemptScope();
  readonly #options: RigOptions;

  constructor(options: RigOptions = {}) {
    this.#options = options;
    const { clock, api } = core({ spec: { username: "points_bot" } });
    this.clock = clock;
    this.api = api;
    this.users = new FakeUsers({ now: () => clock.now(), ...options });
  }

  /** Hosts the module on a bot of the simulator: on that of the rig, 42, or on a further one. */
  async addBot(id = 42): Promise<RigBot> {
    const { clock, api, scope } = this;
    const simulated = id === 42 ? api.bot(42) : api.addBot({ id, username: `points_${id}_bot` });
    const deadlines = createDeadlines({ clock, tickMs: 200 });
    const listeners = createAbortListeners();
    const fetch = createFetch(api);
    const client = createClient({
      token: simulated.token,
      apiRoot: "http://telegram",
      transport: createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: 1_000_000 }),
      flood: floodOff(clock, listeners),
      fetch,
      deadlines,
      listeners,
      clock,
      random: () => 0.5,
      scope,
      limits: limits.client,
      events: { onCall() {}, onRetry() {} },
    });
    const transformer: typeof client.transformer = (send, method, payload, signal) => {
      this.calls.push({ method, payload: JSON.parse(JSON.stringify(payload)) as Call["payload"] });
      return client.transformer(send, method, payload, signal);
    };
    const hosted = await createHostedBot({
      name: "points",
      client: { token: client.token, apiOptions: client.apiOptions, transformer },
      module: await loadModule("referral", "/"),
      me: simulated.me as never,
      log: { info() {}, warn() {} },
      users: this.#options.usersOf?.(this) ?? this.users,
      sessions: undefined,
      rateLimit: this.#options.rateLimit,
      limits: { ...limits.modules, ...this.#options.moduleLimits },
      now: () => clock.now(),
      count: (event) => void this.counts.set(event, (this.counts.get(event) ?? 0) + 1),
    });
    const bot = { simulated, hosted };
    this.bots.push(bot);
    return bot;
  }

  /** Handles one update, as often as it is called. */
  async handle(bot: RigBot, update: Update): Promise<void> {
    this.users.begin(`${bot.simulated.id}:${update.update_id}`);
    await bot.hosted.handle(structuredClone(update));
  }

  /** Fetches what waits at Telegram and handles it, one after another. Returns the updates. */
  async handleAll(): Promise<readonly Update[]> {
    const handled: Update[] = [];
    for (const bot of this.bots) {
      // The same poll again would wait, and the clock stands still.
      for (let offset = 0; bot.simulated.queue.size > 0;) {
        const reply = await this.api.call(bot.simulated.token, "getUpdates", { offset, limit: 100 });
        if (reply.kind !== "answer") throw new Error(`getUpdates: ${reply.kind}`);
        const { result } = JSON.parse(reply.body) as { readonly result: readonly Update[] };
        if (result.length === 0) break;
        for (const update of result) {
          await this.handle(bot, update);
          handled.push(update);
          offset = update.update_id + 1;
        }
      }
    }
    return handled;
  }

  person(id: number, spec?: PersonSpec): Guest {
    return new Guest(this, id, spec);
  }
}

export async function rig(options?: RigOptions): Promise<Rig> {
  const made = new Rig(options);
  await made.addBot();
  return made;
}

/** Somebody who chats with the bots of the rig. */
export class Guest {
  readonly id: number;
  readonly #rig: Rig;

  constructor(at: Rig, id: number, spec?: PersonSpec) {
    this.#rig = at;
    this.id = id;
    at.api.people.person(id, spec);
  }

  /** Says something and resolves with the texts it is answered in the private chat. */
  async say(text: string, bot = 42): Promise<string> {
    return textOf(await this.said(text, bot));
  }

  async said(text: string, bot = 42): Promise<readonly SeenMessage[]> {
    return this.#answers(bot, () => this.#rig.api.people.person(this.id).say(bot, text));
  }

  /** Presses the newest button with this label or data. */
  async press(button: string, bot = 42): Promise<string> {
    return textOf(await this.#answers(bot, () => this.#rig.api.people.person(this.id).press(bot, button)));
  }

  async block(): Promise<void> {
    this.#rig.api.people.person(this.id).block(42);
    await this.#rig.handleAll();
  }

  async unblock(): Promise<void> {
    this.#rig.api.people.person(this.id).unblock(42);
    await this.#rig.handleAll();
  }

  async #answers(bot: number, act: () => void): Promise<readonly SeenMessage[]> {
    const { people } = this.#rig.api;
    const before = people.messages(bot, this.id).at(-1)?.moment ?? 0;
    act();
    await this.#rig.handleAll();
    return people.messages(bot, this.id).filter(({ from, moment }) => from === "bot" && moment > before);
  }
}

function textOf(messages: readonly SeenMessage[]): string {
  return messages.map(({ text }) => text).join("\n---\n");
}

export const evm = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";

export const firstInteger = (text: string): number => Number(/\d+/.exec(text)?.[0]);
export const balanceOf = async (guest: Guest): Promise<number> => firstInteger(await guest.say("/points"));

/** What the invitation link of somebody makes Telegram send. */
export async function startOf(guest: Guest): Promise<string> {
  const found = /https:\/\/t\.me\/points_bot\?start=(ref_[A-Za-z0-9]{8,})\s/.exec(await guest.say("/invite"));
  return `/start ${found?.[1] ?? ""}`;
}

export function keyboardOf(call: Call | undefined): readonly { text: string; url?: string; callback_data?: string }[] {
  const markup = call?.payload["reply_markup"] as { inline_keyboard: { text: string; url?: string }[][] } | undefined;
  return markup?.inline_keyboard.flat() ?? [];
}

/** Gives a user points without the bot. */
export function enrich(world: Rig, id: number, points: number): void {
  world.users.stored.set(id, { ...(world.users.stored.get(id) as User), points });
}

/** Answers to button presses so far. */
export const presses = ({ calls }: Rig): readonly Call[] =>
  calls.filter(({ method }) => method === "answerCallbackQuery");
