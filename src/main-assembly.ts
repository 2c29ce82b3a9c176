/** Builds botfleet from its settings, starts it, and stops it in reverse. */
import { type AttemptScope, createAttemptScope } from "./attempts.ts";
import type { BotModule } from "./bots/bot.ts";
import type { Clock, Random } from "./clock.ts";
import { createFleet, type Fleet, type FleetBotState } from "./fleet.ts";
import type { BotId } from "./ids.ts";
import type { Inbox, Partition } from "./inbox/inbox.ts";
import { newPartitionName, partitionNameOf } from "./inbox/partition-name.ts";
import { createSqliteInbox } from "./inbox/sqlite.ts";
import { createLocalLeases } from "./leases/local.ts";
import type { Log } from "./log.ts";
import { createFleetBots, type FleetBots } from "./main-bots.ts";
import { type OpenedUsers, openUsers } from "./main-users.ts";
import { createHealth, createOutage } from "./ops/health.ts";
import type { Heartbeat } from "./ops/heartbeat.ts";
import { createMetrics, type Metrics } from "./ops/metrics.ts";
import { startSidecar, type Sidecar } from "./ops/sidecar.ts";
import type { BotStatus, FleetState, Status } from "./ops/status.ts";
import { Pipeline } from "./pipeline.ts";
import type { PipelineEvents } from "./pipeline-options.ts";
import type { Limits } from "../config/limits.ts";
import type { Settings } from "../config/settings.ts";

export interface AssemblyOptions {
  readonly settings: Settings;
  readonly limits: Limits;
  /** The module of each bot, by its name in the settings. */
  readonly modules: ReadonlyMap<string, BotModule>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Takes secrets out of text. */
  readonly redact: (text: string) => string;
  readonly heartbeat: Heartbeat;
  readonly version: string;
  /** The inbox or the users are lost for good; the process must end with exit 1. */
  readonly onBroken: (reason: unknown) => void;
}

export interface Botfleet {
  /** Where the sidecar listens. */
  readonly port: number;
  /** Promise 7: polls end, handlers finish or are kept, what is pending is written. Resolves when the process may exit with 0. */
  stop(): Promise<void>;
}

/**
 * Rejects with `settings_invalid`, `inbox_locked` or `format_newer` where botfleet cannot start as it is configured. Telegram that cannot
 * be reached is no fault: its bots are tried again and again.
 */
export async function startBotfleet(options: AssemblyOptions): Promise<Botfleet> {
  const assembly = new Assembly(options);
  await assembly.start();
  return assembly;
}

class Assembly implements Botfleet {
  private readonly options: AssemblyOptions;
  private readonly startedAt: number;
  private readonly names: ReadonlyMap<BotId, string>;
  private readonly metrics: Metrics;
  private readonly inboxOutage;
  private readonly storageOutage;
  private state: FleetState = "starting";
  private sidecar: Sidecar | undefined;
  private inbox: Inbox | undefined;
  private pipeline: Pipeline | undefined;
  private fleet: Fleet | undefined;
  private connections: FleetBots | undefined;
  private users: OpenedUsers | undefined;
  private reading: Promise<void> | undefined;
  private deadLetters = 0;
  /** Commits after which the dead letters have to be counted. */
  private countsDue = 0;

  constructor(options: AssemblyOptions) {
    const { settings, limits, clock, version } = options;
    this.options = options;
    this.startedAt = clock.now();
    this.names = new Map(settings.bots.map(({ id, name }) => [id, name]));
    this.inboxOutage = createOutage(clock);
    this.storageOutage = createOutage(clock);
    this.metrics = createMetrics({
      version,
      histograms: settings.monitoring.detailed,
      slowMs: limits.mongodbUsers.slowMs,
      source: { status: () => this.status() },
      calls: () => this.connections?.callStatus(),
      cache: () => this.users?.cacheStatus(),
      now: () => clock.now(),
    });
  }

  get port(): number {
    return this.sidecar?.port ?? 0;
  }

  async start(): Promise<void> {
    const { settings, limits, clock, random, log, heartbeat } = this.options;
    const source = { status: () => this.status() };
    const health = createHealth({
      clock,
      limits: limits.process,
      lastBeatAt: () => heartbeat.lastBeatAt(),
      source,
      inboxLostSince: () => this.inboxOutage.since(),
      storage: { lostSince: () => this.storageOutage.since(), lostMaxMs: limits.process.storageLostMaxMs },
    });
    // First of all: a start that takes long (a big inbox to recover) is seen as a start, not as a dead process.
    this.sidecar = startSidecar({ ...settings.sidecar, health, metrics: this.metrics, source, clock, log });
    try {
      const inbox = await this.openInbox();
      const leases = createLocalLeases();
      const scope = createAttemptScope();
      const partition = await inbox.open(await leases.claimPartition(0));
      // Several instances, each with a partition 0, may share the users in MongoDB.
      const isShared = settings.mongodb !== undefined;
      const partitionName = isShared ? partitionNameOf(settings.dataDir, newPartitionName) : partition.number;
      const pipeline = new Pipeline({
        partition,
        partitionName,
        inbox,
        bots: new Set(settings.bots.map(({ id }) => id)),
        scope,
        clock,
        random,
        limits: { ...limits.pipeline, drainMaxMs: limits.process.drainMaxMs },
        redact: this.options.redact,
        events: this.pipelineEvents(),
      });
      const { modules } = this.options;
      const usesStorage = [...modules.values()].some(({ uses = [] }) => uses.length > 0);
      if (usesStorage) this.users = await this.openUsers(partition, partitionName, scope);
      const onMalformed = (): void => void this.countLetters();
      const { metrics } = this;
      this.connections = createFleetBots({
        settings,
        limits,
        modules,
        users: this.users?.users,
        sessions: this.users?.sessions,
        clock,
        random,
        log,
        scope,
        metrics,
        onMalformed,
      });
      const { bots } = this.connections;
      const fleet = createFleet({ bots, inbox, pipeline, leases, clock, random, limits: limits.poller, log });
      this.pipeline = pipeline;
      this.fleet = fleet;
      this.reading = pipeline.run();
      fleet.start();
    } catch (error) {
      await this.sidecar.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.state = "draining";
    await this.fleet?.stop();
    await this.pipeline?.stop();
    // Before the inbox, which it asks what is settled.
    await this.users?.stop();
    await this.inbox?.stop();
    await this.reading;
    await this.connections?.stop();
    await this.sidecar?.stop();
    this.metrics.stop();
  }

  private openUsers(partition: Partition, partitionName: number, scope: AttemptScope): Promise<OpenedUsers> {
    const { metrics } = this;
    return openUsers({
      ...this.options,
      metrics,
      partition,
      partitionName,
      scope,
      onLost: (isLost) => this.storageOutage.set(isLost),
    });
  }

  private async openInbox(): Promise<Inbox> {
    const { settings, limits, clock, log, onBroken } = this.options;
    const inbox = await createSqliteInbox({
      dataDir: settings.dataDir,
      clock,
      limits: limits.inbox,
      log,
      deduplicate: settings.deduplicate,
      onBroken,
      onFlushed: (writes, ms) => {
        this.metrics.flushed(writes, ms);
        if (this.countsDue > 0) {
          this.countsDue--;
          void this.countLetters();
        }
      },
    });
    this.inbox = inbox;
    inbox.onState((state) => {
      this.inboxOutage.set(state === "failing");
      if (state === "ok") log.info("the inbox can be written again");
    });
    void this.countLetters();
    await this.reportUnconfigured(inbox);
    return inbox;
  }

  /** Entries of bots that were taken out of the configuration stay in the inbox; nobody would notice. */
  private async reportUnconfigured(inbox: Inbox): Promise<void> {
    for (const [bot, updates] of await inbox.backlog()) {
      if (this.names.has(bot)) continue;
      const words =
        "updates of a bot that is not configured any more stay in the inbox; configure it again to handle them";
      this.options.log.warn(words, { id: bot, updates });
    }
  }

  private pipelineEvents(): PipelineEvents {
    const { log } = this.options;
    const counts = new Map([...this.names].map(([id, name]) => [id, this.metrics.bot(name)]));
    return {
      onAttempt: (bot, result, handlerMs, sinceReceiptMs, update) =>
        counts.get(bot)?.attempt(result, handlerMs, sinceReceiptMs, update),
      onRemembered: () => this.metrics.remembered(),
      onTrouble: (bot, { kind, updateId, error }) => {
        const fields = { bot: this.names.get(bot), update: updateId, error };
        switch (kind) {
          case "retry":
            return log.warn("a handler failed; the update is tried again", fields);
          case "dead":
            // Durable with the commit after the one that may be in flight.
            this.countsDue = 2;
            return log.error("an update became a dead letter", fields);
          case "undeliverable":
            return log.debug("an update was settled unanswered: its chat cannot be written to", fields);
          case "outage":
            return log.debug("an update waits: something it needs is unavailable", fields);
          case "inbox":
            return log.error("the inbox could not be read or written", fields);
        }
      },
    };
  }

  /** Never rejects: a number on a page is not worth a failure. */
  private async countLetters(): Promise<void> {
    try {
      const counts = (await this.inbox?.deadLetters.count()) ?? new Map<BotId, number>();
      this.deadLetters = [...counts.values()].reduce((sum, count) => sum + count, 0);
    } catch (error) {
      this.options.log.debug("dead letters could not be counted", { error });
    }
  }

  /** Once every bot has been tried and Telegram has answered one: a server that is out of reach must not hold the other bots back. */
  private hasStarted(): boolean {
    const pollers = (this.fleet?.bots() ?? []).map(({ poller }) => poller);
    return (
      pollers.every(({ phase, error }) => phase !== "starting" || error !== undefined) &&
      pollers.some(({ phase }) => phase === "polling" || phase === "full" || phase === "disabled")
    );
  }

  private status(): Status {
    const { version } = this.options;
    if (this.state === "starting" && this.hasStarted()) this.state = "running";
    const pipeline = this.pipeline?.status();
    const bots = (this.fleet?.bots() ?? []).map((bot) => botStatus(bot, this.pipeline));
    return {
      version,
      startedAt: this.startedAt,
      state: this.state,
      bots,
      inbox: { state: this.inbox?.state() ?? "ok", deadLetters: this.deadLetters },
      pipeline: { inWork: pipeline?.working ?? 0, waiting: pipeline?.floodWaiting ?? 0 },
    };
  }
}

function botStatus({ id, name, poller }: FleetBotState, pipeline: Pipeline | undefined): BotStatus {
  const { phase, since, polledAt, error } = poller;
  const known = { name, id, state: phase, since, backlog: pipeline?.backlog(id) ?? 0 };
  const oldestReceivedAt = pipeline?.oldestReceivedAt(id);
  return Object.assign(
    known,
    polledAt === undefined ? {} : { lastPollAt: polledAt },
    oldestReceivedAt === undefined ? {} : { oldestReceivedAt },
    error === undefined ? {} : { error },
  );
}
