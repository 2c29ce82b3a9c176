/** A simulated Bot API on a fake clock with one bot, for the tests of this folder. */
import type { BotApi, BotApiOptions } from "../../src/simulator/bot-api.ts";
import { createBotApi } from "../../src/simulator/bot-api.ts";
import type { BotSpec } from "../../src/simulator/bot.ts";
import type { Payload, Reply } from "../../src/simulator/wire.ts";
import { FakeClock } from "../support/fake-clock.ts";

/** A small seeded generator: the same numbers in every run. */
export function seeded(seed = 1): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

export interface Core {
  readonly clock: FakeClock;
  readonly api: BotApi;
  readonly bot: number;
  /** One call of the bot, parsed: `{status, body}`, or `{status: 0, kind}` where no answer came. */
  readonly call: (method: string, payload?: Payload) => Promise<Called>;
  /** The `update_id`s that getUpdates answers. */
  readonly ids: (payload?: Payload) => Promise<readonly number[]>;
  /** People say these texts in the private chat 7. */
  readonly say: (...texts: readonly string[]) => void;
}

export interface Called {
  readonly status: number;
  readonly kind: Reply["kind"];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: {
    readonly ok?: boolean;
    readonly result?: unknown;
    readonly description?: string;
    readonly parameters?: unknown;
  };
}

export function core(options: Partial<BotApiOptions> & { readonly spec?: Partial<BotSpec> } = {}): Core {
  const clock = new FakeClock();
  const api = createBotApi({ clock, random: seeded(), ...options });
  const { id: bot, token } = api.addBot({ id: 42, firstUpdateId: 100, ...options.spec });
  const call = async (method: string, payload?: Payload): Promise<Called> =>
    parsed(await api.call(token, method, payload));
  return {
    clock,
    api,
    bot,
    call,
    async ids(payload) {
      const { body } = await call("getUpdates", payload);
      return (body.result as readonly { readonly update_id: number }[]).map(({ update_id: id }) => id);
    },
    say(...texts) {
      for (const text of texts) api.people.person(7).say(bot, text);
    },
  };
}

function parsed(reply: Reply): Called {
  if (reply.kind !== "answer") return { status: 0, kind: reply.kind, headers: {}, body: {} };
  return {
    status: reply.status,
    kind: "answer",
    headers: reply.headers,
    body: JSON.parse(reply.body) as Called["body"],
  };
}

/** Follows a promise without waiting for it. */
export function watched<T>(promise: Promise<T>): { readonly value: T | undefined; readonly done: boolean } {
  const state: { value: T | undefined; done: boolean } = { value: undefined, done: false };
  const follow = async (): Promise<void> => {
    state.value = await promise;
    state.done = true;
  };
  void follow();
  return state;
}
