/** botfleet as main builds it, on simulated outsides. */
import { limits as allLimits } from "../../config/limits.ts";
import { type AbortListeners, createAbortListeners } from "../../src/abort-listeners.ts";
import { type AttemptScope, createAttemptScope } from "../../src/attempts.ts";
import type { BotModule } from "../../src/bots/bot.ts";
import { createHostedBot } from "../../src/bots/host.ts";
import type { Clock, Random } from "../../src/clock.ts";
import { createFleet, type Fleet, type FleetBot, type FleetOptions } from "../../src/fleet.ts";
import { botIdOf, type Token } from "../../src/ids.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import type { Leases } from "../../src/leases/leases.ts";
import { createLocalLeases } from "../../src/leases/local.ts";
import type { Log } from "../../src/log.ts";
import { Pipeline } from "../../src/pipeline.ts";
import type { Handler, PipelineEvents, PipelineLimits } from "../../src/pipeline-options.ts";
import type { PollingEvents } from "../../src/polling.ts";
import type { CallEvents } from "../../src/telegram/call-error.ts";
import { createClient } from "../../src/telegram/client.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import type { Transport } from "../../src/telegram/exchange.ts";
import type { Fetch } from "../../src/telegram/fetch-transport.ts";
import type { FloodControl } from "../../src/telegram/flood-port.ts";
import { floodOff } from "../support/flood-off.ts";

export interface InstanceOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly inbox: Inbox;
  /** Default: everything is this instance's. */
  readonly leases?: Leases;
  /** What attempts call a partition; default: its number. */
  readonly nameOf?: (partition: number) => number;
  readonly beforeGivenBack?: () => Promise<void>;
  readonly transport: Transport;
  readonly tokens: readonly Token[];
  readonly module: (token: Token) => BotModule;
  /** What differs from config/limits.ts. */
  readonly pipelineLimits?: Partial<PipelineLimits>;
  readonly pollerLimits?: Partial<FleetOptions["limits"]>;
  readonly pipelineEvents?: Partial<PipelineEvents>;
  readonly pollingEvents?: Partial<PollingEvents>;
  readonly scope?: AttemptScope;
  readonly callEvents?: Partial<CallEvents>;
  /** For uploads; default: there are none. */
  readonly fetch?: Fetch;
  /** Default: nothing is held back beforehand. */
  readonly flood?: (clock: Clock, listeners: AbortListeners) => FloodControl;
  readonly log?: Log;
  /** Around what the pipeline is given to handle updates with. */
  readonly wrap?: (handler: Handler) => Handler;
}

export interface Instance {
  readonly fleet: Fleet;
  readonly pipeline: Pipeline;
  readonly inbox: Inbox;
  /** In the order of main. */
  stop(): Promise<void>;
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

export async function startInstance(options: InstanceOptions): Promise<Instance> {
  const { clock, random, inbox, tokens, scope = createAttemptScope() } = options;
  const local = { bots: tokens.map(botIdOf), partitions: inbox.partitions };
  const { leases = createLocalLeases(local), nameOf = (partition: number) => partition } = options;
  const pipeline = new Pipeline({
    inbox,
    bots: new Set(tokens.map(botIdOf)),
    scope,
    clock,
    random,
    limits: { ...allLimits.pipeline, drainMaxMs: allLimits.process.drainMaxMs, ...options.pipelineLimits },
    redact: (text) => text,
    events: {
      onAttempt() {},
      onTrouble() {},
      onRemembered() {},
      onUnconfigured() {},
      onFenced() {},
      ...options.pipelineEvents,
    },
  });
  const shared = { scope, deadlines: createDeadlines({ clock, tickMs: 200 }), listeners: createAbortListeners() };
  const fleet = createFleet({
    bots: tokens.map((token) => createBot(token, { ...options, ...shared })),
    inbox,
    pipeline,
    nameOf,
    beforeGivenBack: options.beforeGivenBack ?? (async () => {}),
    leases,
    clock,
    random,
    limits: { ...allLimits.poller, ...options.pollerLimits },
    log: options.log ?? silent,
  });
  fleet.start();
  return {
    fleet,
    pipeline,
    inbox,
    async stop() {
      await fleet.stop();
      await pipeline.stop();
      await inbox.stop();
    },
  };
}

interface BotOptions extends InstanceOptions {
  readonly scope: AttemptScope;
  readonly deadlines: ReturnType<typeof createDeadlines>;
  readonly listeners: ReturnType<typeof createAbortListeners>;
}

function createBot(token: Token, options: BotOptions): FleetBot {
  const { clock, module: moduleOf, wrap = (handler: Handler) => handler } = options;
  const id = botIdOf(token);
  const name = `bot-${id}`;
  const module = moduleOf(token);
  const client = createClient({
    ...options,
    flood: (options.flood ?? floodOff)(clock, options.listeners),
    token,
    apiRoot: "http://telegram",
    fetch: options.fetch ?? (() => Promise.reject(new Error("the simulation uploads nothing"))),
    limits: allLimits.client,
    events: { onCall() {}, onRetry() {}, ...options.callEvents },
  });
  return {
    id,
    name,
    client,
    updates: module.updates,
    createHandler: async (me) =>
      wrap(
        await createHostedBot({
          name,
          client,
          module,
          me,
          log: silent,
          users: undefined,
          sessions: undefined,
          rateLimit: undefined,
          limits: allLimits.modules,
          now: () => clock.now(),
          count() {},
        }),
      ),
    events: { onPoll() {}, onAppended() {}, onAppendFailed() {}, onFenced() {}, ...options.pollingEvents },
  };
}
