/**
 * The simulator's own routes, for other processes (load test, demo, benchmarks). JSON in and out; `bot` is an id or a token; GET takes its
 * parameters from the query.
 *
 *     GET    /simulator/bots                                         [{id, token}]
 *     POST   /simulator/bots       {id?, count?, firstUpdateId?}     [{id, token}] of the new ones
 *     POST   /simulator/say        {bot, person, text, chat?}        the update
 *     POST   /simulator/press      {bot, person, button, chat?}      the update
 *     POST   /simulator/block      {bot, person} (also unblock)      the update
 *     POST   /simulator/deliver    {bot, update}                     the update
 *     POST   /simulator/wait       {bot, chat, text?, contains?, after?, maxMs?}     the message
 *     POST   /simulator/ask        {bot, person, text, contains?, maxMs?}            {message, ms}: say and wait in one
 *     GET    /simulator/messages   ?bot&chat                         messages, oldest first
 *     POST   /simulator/faults     a FaultSpec                       {id}
 *     GET    /simulator/faults                                       [{id, spec, matched, struck}]
 *     DELETE /simulator/faults     ?id, or all
 *     GET    /simulator/journal    ?bot&chat                         counts; with bot alone also {calls}
 *     GET    /simulator/entries    ?from&max                         {entries, next}, where the journal is full
 *     POST   /simulator/load       a LoadSpec                        {id}
 *     GET    /simulator/load       ?id                               report of the oracle, {running}
 *     POST   /simulator/load/settled {id, maxMs}                     the same, once every message is answered
 *     DELETE /simulator/load       ?id                               the same, and makes no more messages
 *     POST   /simulator/settings   {delayMs?, journal?: "full" | "counts"}
 *     GET    /simulator/process                                      {pid, cpuUserUs, cpuSystemUs, rssBytes, connections}
 *
 * Faults of the caller are 400 `{"error": "..."}`, a wait that ended without an answer 504. Longer than other files because this table is.
 */
import type { BotApi } from "./bot-api.ts";
import type { FaultSpec } from "./faults.ts";
import { faultKinds } from "./faults.ts";
import type { Load } from "./generator.ts";
import { startLoad } from "./generator.ts";
import { integer, text } from "./params.ts";
import type { Payload, Reply } from "./wire.ts";

export interface ControlOptions {
  readonly api: BotApi;
  readonly random: () => number;
  /** Connections open now. */
  readonly connections: () => number;
}

/** Answers a call of `/simulator/<path>`; never rejects. `method` is that of HTTP. */
export type Control = (method: string, path: string, input: Payload) => Promise<Reply>;

type Route = (input: Payload) => unknown;

export function createControl(options: ControlOptions): Control {
  const routes: Readonly<Record<string, Route>> = {
    ...botRoutes(options.api),
    ...peopleRoutes(options.api),
    ...faultRoutes(options.api),
    ...journalRoutes(options.api),
    ...loadRoutes(options),
    "GET process": () => processFigures(options.connections()),
    "POST settings": (input) => {
      if (input["delayMs"] !== undefined) options.api.delayMs = integer(input, "delayMs", 0);
      if (input["journal"] !== undefined) options.api.journal.full = input["journal"] === "full";
      return {};
    },
  };
  return async (method, path, input) => {
    const route = routes[`${method} ${path}`];
    if (route === undefined) return answer(404, { error: `no route ${method} /simulator/${path}` });
    try {
      return answer(200, await route(input));
    } catch (error) {
      const what = error instanceof Error ? error.message : String(error);
      return answer(error instanceof RangeError || error instanceof TypeError ? 400 : 504, { error: what });
    }
  };
}

function answer(status: number, value: unknown): Reply {
  const body = JSON.stringify(value ?? {});
  return { kind: "answer", status, headers: { "Content-Type": "application/json" }, body };
}

function botIn(api: BotApi, input: Payload): number {
  const ref = input["bot"];
  if (typeof ref === "number") return api.bot(ref).id;
  if (typeof ref !== "string") throw new TypeError("bot is missing: an id or a token");
  return api.bot(/^\d+$/.test(ref) ? Number(ref) : ref).id;
}

function need(input: Payload, name: string): number {
  if (input[name] === undefined) throw new TypeError(`${name} is missing`);
  return integer(input, name, 0);
}

function inChat(input: Payload): { readonly chat?: number } {
  return input["chat"] === undefined ? {} : { chat: integer(input, "chat", 0) };
}

function botRoutes(api: BotApi): Record<string, Route> {
  return {
    "GET bots": () => [...api.bots.values()].map(({ id, token }) => ({ id, token })),
    "POST bots": (input) => {
      const highest = [...api.bots.keys()].reduce((high, id) => Math.max(high, id), 100_000);
      const first = integer(input, "id", highest + 1);
      const firstUpdateId = integer(input, "firstUpdateId", 1);
      return Array.from({ length: integer(input, "count", 1) }, (_, at) => {
        const { id, token } = api.addBot({ id: first + at, firstUpdateId });
        return { id, token };
      });
    },
  };
}

function peopleRoutes(api: BotApi): Record<string, Route> {
  const person = (input: Payload) => api.people.person(need(input, "person"));
  const fits = (input: Payload) => {
    const whole = input["text"];
    const part = text(input, "contains");
    return (message: { readonly text: string }): boolean =>
      (typeof whole !== "string" || message.text === whole) && message.text.includes(part);
  };
  const after = (input: Payload) => (input["after"] === undefined ? {} : { after: integer(input, "after", 0) });
  const maxMs = (input: Payload): number => integer(input, "maxMs", 10_000);
  return {
    "POST say": (input) => person(input).say(botIn(api, input), text(input, "text"), inChat(input)),
    "POST press": (input) => person(input).press(botIn(api, input), text(input, "button"), inChat(input)),
    "POST block": (input) => person(input).block(botIn(api, input)),
    "POST unblock": (input) => person(input).unblock(botIn(api, input)),
    "POST deliver": (input) => api.people.deliver(botIn(api, input), input["update"]),
    "POST wait": (input) =>
      api.people.waitForAnswer(botIn(api, input), need(input, "chat"), fits(input), {
        maxMs: maxMs(input),
        ...after(input),
      }),
    "POST ask": async (input) => {
      const started = api.clock.monotonic();
      const bot = botIn(api, input);
      const { chat } = person(input).say(bot, text(input, "text"), inChat(input));
      const wanted = fits({ contains: text(input, "contains") });
      const message = await api.people.waitForAnswer(bot, chat, wanted, { maxMs: maxMs(input) });
      return { message, ms: api.clock.monotonic() - started };
    },
    "GET messages": (input) => api.people.messages(botIn(api, input), need(input, "chat")),
  };
}

function faultRoutes(api: BotApi): Record<string, Route> {
  return {
    "POST faults": (input) => {
      if (!faultKinds.some((kind) => kind === input["kind"]))
        throw new TypeError(`kind is one of ${faultKinds.join(" ")}`);
      const spec = input as unknown as FaultSpec;
      return { id: api.faults.add(input["bot"] === undefined ? spec : { ...spec, bot: botIn(api, input) }).id };
    },
    "GET faults": () => api.faults.list().map(({ id, spec, matched, struck }) => ({ id, spec, matched, struck })),
    "DELETE faults": (input) => {
      if (input["id"] === undefined) api.faults.clear();
      else
        api.faults
          .list()
          .find(({ id }) => id === integer(input, "id", 0))
          ?.remove();
    },
  };
}

function journalRoutes(api: BotApi): Record<string, Route> {
  return {
    "GET journal": (input) => {
      if (input["bot"] === undefined) return api.journal.counts();
      const bot = botIn(api, input);
      const { chat } = inChat(input);
      if (chat !== undefined) return api.journal.counts(bot, chat);
      return { ...api.journal.counts(bot), calls: Object.fromEntries(api.journal.calls(bot)) };
    },
    "GET entries": (input) => {
      const from = integer(input, "from", 0);
      const entries = api.journal.entries.slice(from, from + integer(input, "max", 10_000));
      return { entries, next: from + entries.length, left: api.journal.left };
    },
  };
}

function loadRoutes({ api, random }: ControlOptions): Record<string, Route> {
  const loads: Load[] = [];
  const at = (input: Payload): Load => {
    const load = loads[need(input, "id")];
    if (load === undefined) throw new RangeError("no such load");
    return load;
  };
  const report = (load: Load): object => ({ ...load.oracle.report(), running: load.running() });
  return {
    "POST load": (input) => {
      if (input["perSecond"] === undefined && input["inFlight"] === undefined) {
        throw new TypeError("perSecond or inFlight is missing");
      }
      return { id: loads.push(startLoad(api, input, random)) - 1 };
    },
    "GET load": (input) => report(at(input)),
    "POST load/settled": async (input) => {
      const load = at(input);
      await load.settled(integer(input, "maxMs", 10_000));
      return report(load);
    },
    "DELETE load": (input) => {
      at(input).stop();
      return report(at(input));
    },
  };
}

function processFigures(connections: number): object {
  const { user, system } = process.cpuUsage();
  return {
    pid: process.pid,
    cpuUserUs: user,
    cpuSystemUs: system,
    rssBytes: process.memoryUsage.rss(),
    connections,
  };
}
