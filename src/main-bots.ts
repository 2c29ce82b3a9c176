/** Builds each configured bot: its client, its module, and who counts what it does. */
import { createAbortListeners } from "./abort-listeners.ts";
import type { AttemptScope } from "./attempts.ts";
import type { BotModule } from "./bots/bot.ts";
import { createHostedBot } from "./bots/host.ts";
import type { Clock, Random } from "./clock.ts";
import type { FleetBot } from "./fleet.ts";
import type { Log } from "./log.ts";
import type { CallStatus } from "./ops/call-gauges.ts";
import type { Metrics } from "./ops/metrics.ts";
import { createClient, type ClientOptions } from "./telegram/client.ts";
import { createDeadlines } from "./telegram/deadlines.ts";
import { createFloodControl } from "./telegram/flood-control.ts";
import { createFloodRoom, type FloodControl, type FloodRoom, type FloodStatus } from "./telegram/flood-port.ts";
import { refusalIn, refusalText } from "./telegram/flood-told.ts";
import { createFetchTransport } from "./telegram/fetch-transport.ts";
import { createOwnTransport } from "./telegram/transport.ts";
import type { Sessions } from "./sessions/sessions.ts";
import type { Users } from "./users/users.ts";
import type { BotSettings } from "../config/bots-file.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface FleetBotsOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  /** The module of each bot, by its name in the settings. */
  readonly modules: ReadonlyMap<string, BotModule>;
  /** Undefined where no module uses them. */
  readonly users: Users | undefined;
  readonly sessions: Sessions | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly scope: AttemptScope;
  readonly metrics: Metrics;
  /** Says something to the other instances of the fleet, which give it to their `hear`; may be lost. Absent: there are none. */
  readonly tell?: (text: string) => void;
  /** Elements of a batch became dead letters at once. */
  readonly onMalformed: () => void;
}

export interface FleetBots {
  readonly bots: readonly FleetBot[];
  /** What the bots' calls to Telegram do just now: gauges. */
  callStatus(): CallStatus;
  /** What part of the fleet's updates this instance handles, above 0 and at most 1: so much of each bot's rate it uses. */
  readonly setShare: (share: number) => void;
  /** Another instance said something: that a bot was refused as a whole, or what is of no interest here. */
  hear(text: string): void;
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
  const made = settings.bots.map((bot) => createFleetBot(bot, options, shared));
  return {
    bots: made.map(({ bot }) => bot),
    callStatus: () => ({ flood: sumOf(made.map(({ flood }) => flood.status())), connections: own?.stats() }),
    setShare: (share) => {
      for (const { flood } of made) flood.setShare(share);
    },
    hear(text) {
      const refusal = refusalIn(text, limits.flood.toldMaxMs);
      if (refusal !== undefined) made.find(({ bot }) => bot.id === refusal.bot)?.flood.obey(refusal.waitMs);
    },
    stop: () => own?.stop() ?? Promise.resolve(),
  };
}

interface Made {
  readonly bot: FleetBot;
  readonly flood: FloodControl;
}

function createFleetBot(bot: BotSettings, options: FleetBotsOptions, shared: Shared): Made {
  const { settings, limits, modules, users, sessions, clock, random, scope, metrics } = options;
  const { id, name, token, apiRoot } = bot;
  const module = modules.get(bot.module);
  if (module === undefined) throw new Error(`module ${bot.module} was not loaded`);
  const counts = metrics.bot(name);
  const flood = createFloodControl({
    ...shared,
    limits: bot.limits,
    waitMaxMs: limits.client.floodWaitMaxMs,
    chatsMax: limits.flood.chatsMax,
    clock,
    events: {
      onWaited: (kind, reason, waitedMs) => metrics.floodWaited(kind, reason, waitedMs),
      onRefused: (whom) => counts.tooMany(whom),
      onBotRefused: (waitMs) => options.tell?.(refusalText({ bot: id, waitMs })),
    },
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
      onCall: (method, outcome, ms) => metrics.called(method, outcome, ms),
      onRetry: (_method, why) => metrics.retried(why),
    },
  });
  const log = options.log.child({ bot: name });
  const made: FleetBot = {
    id,
    name,
    client,
    updates: module.updates,
    createHandler: (me) =>
      createHostedBot({
        name,
        client,
        module,
        me,
        log,
        users,
        sessions: sessions === undefined ? undefined : (sessionsName) => sessions.of(id, sessionsName),
        rateLimit: settings.rateLimit,
        limits: limits.modules,
        now: () => clock.now(),
        count: (event) => counts.happened(event),
      }),
    events: {
      onPoll: (outcome) => counts.polled(outcome),
      onAppended: (appended, ms) => {
        counts.appended(appended, ms);
        if (appended.malformed > 0) options.onMalformed();
      },
      onAppendFailed: () => counts.appendFailed(),
      onFenced: () => metrics.fenced("append"),
    },
  };
  return { bot: made, flood };
}

function sumOf(statuses: readonly FloodStatus[]): FloodStatus {
  const sum = { waitingReplies: 0, waitingBroadcasts: 0, waitingChats: 0, knownChats: 0 };
  for (const status of statuses)
    for (const name of Object.keys(sum) as (keyof FloodStatus)[]) sum[name] += status[name];
  return sum;
}
