/** Builds each configured bot: its client, its module, and who counts what it does. */
import { createAbortListeners } from "./abort-listeners.ts";
import type { AttemptScope } from "./attempts.ts";
import type { BotModule } from "./bots/bot.ts";
import { createHostedBot } from "./bots/host.ts";
import type { Clock, Random } from "./clock.ts";
import type { FleetBot } from "./fleet.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./ops/metrics.ts";
import { createClient, type ClientOptions } from "./telegram/client.ts";
import { createDeadlines } from "./telegram/deadlines.ts";
import { createFloodControl } from "./telegram/flood-control.ts";
import { createFloodRoom, type FloodRoom } from "./telegram/flood-port.ts";
import { createFetchTransport } from "./telegram/fetch-transport.ts";
import { createOwnTransport } from "./telegram/transport.ts";
import type { BotSettings } from "../config/bots-file.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface FleetBotsOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  /** The module of each bot, by its name in the settings. */
  readonly modules: ReadonlyMap<string, BotModule>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly scope: AttemptScope;
  readonly metrics: Metrics;
  /** Elements of a batch became dead letters at once. */
  readonly onMalformed: () => void;
}

export interface FleetBots {
  readonly bots: readonly FleetBot[];
  /** Closes the connections to Telegram. */
  stop(): Promise<void>;
}

/** What all clients share: one pool of connections, one timer for all deadlines. */
type Shared = Pick<ClientOptions, "deadlines" | "fetch" | "listeners" | "transport"> & { readonly room: FloodRoom };

/** How exact deadlines of calls are, ms. */
const deadlineTickMs = 200;

export function createFleetBots(options: FleetBotsOptions): FleetBots {
  const { settings, limits, clock } = options;
  const deadlines = createDeadlines({ clock, tickMs: deadlineTickMs });
  const listeners = createAbortListeners();
  const { answerMaxBytes } = limits.client;
  const fetch = globalThis.fetch;
  const own =
    settings.transport === "own"
      ? createOwnTransport({ deadlines, listeners, clock, limits: { ...limits.transport, answerMaxBytes } })
      : undefined;
  const transport = own ?? createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes });
  const { waitingMax, waitingReservedPerBot } = limits.flood;
  const room = createFloodRoom({ waitingMax, reservedPerBot: waitingReservedPerBot });
  const shared = { deadlines, fetch, listeners, transport, room };
  const bots = settings.bots.map((bot) => createFleetBot(bot, options, shared));
  return { bots, stop: () => own?.stop() ?? Promise.resolve() };
}

function createFleetBot(bot: BotSettings, options: FleetBotsOptions, shared: Shared): FleetBot {
  const { limits, modules, clock, random, scope, metrics } = options;
  const { id, name, token, apiRoot } = bot;
  const module = modules.get(bot.module);
  if (module === undefined) throw new Error(`module ${bot.module} was not loaded`);
  const flood = createFloodControl({
    ...shared,
    // What floods a bot on purpose (demo, chaos, load) configures none of its limits: with them it would measure waits and nothing else.
    limits: { ...bot.limits, engine: "off" },
    waitMaxMs: limits.client.floodWaitMaxMs,
    chatsMax: limits.flood.chatsMax,
    clock,
    events: { onWaited: () => {}, onRefused: () => {} },
  });
  const client = createClient({
    ...shared,
    flood,
    token,
    apiRoot,
    clock,
    random,
    scope,
    limits: limits.client,
    events: {
      onCall: (method, outcome) => metrics.called(method, outcome),
      onRetry: (_method, why) => metrics.retried(why),
    },
  });
  const counts = metrics.bot(name);
  const log = options.log.child({ bot: name });
  return {
    id,
    name,
    client,
    updates: module.updates,
    createHandler: (me) => createHostedBot({ name, client, module, me, log, now: () => clock.now() }),
    events: {
      onPoll: (outcome) => counts.polled(outcome),
      onAppended: ({ stored, known, malformed }) => {
        counts.appended(stored, known);
        if (malformed > 0) options.onMalformed();
      },
      onAppendFailed: () => counts.appendFailed(),
    },
  };
}
