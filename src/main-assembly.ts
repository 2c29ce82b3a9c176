/** Builds botfleet from its settings, starts it, and stops it in reverse. */
import { type AttemptScope, createAttemptScope } from "./attempts.ts";
import type { BotModule } from "./bots/bot.ts";
import type { Clock, Random, Timer } from "./clock.ts";
import { createFleet, type Fleet } from "./fleet.ts";
import type { BotId } from "./ids.ts";
import type { Inbox } from "./inbox/inbox.ts";
import type { Log } from "./log.ts";
import { createFleetBots, type FleetBots } from "./main-bots.ts";
import { openLeases, type OpenedLeases } from "./main-fleet.ts";
import { type OpenedInbox, openInbox } from "./main-inbox.ts";
import { botStatusOf, fleetStatusOf } from "./main-status.ts";
import { tellingShare } from "./main-share.ts";
import { type OpenedUsers, openUsers } from "./main-users.ts";
import { createHealth, createOutage } from "./ops/health.ts";
import type { Heartbeat } from "./ops/heartbeat.ts";
import { createMetrics, type Metrics } from "./ops/metrics.ts";
import { startSidecar, type Sidecar } from "./ops/sidecar.ts";
import type { FleetState, Status } from "./ops/status.ts";
import { Pipeline } from "./pipeline.ts";
import { createPipelineEvents } from "./main-events.ts";
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
  /** Of this process, never used before: lower-case letters and digits. */
  readonly member: string;
  /** Ends the start where that waits for Redis: it rejects with `unavailable` then. */
  readonly signal: AbortSignal;
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

/** How often it is looked whether the start is over, ms. */
const startLookMs = 100;

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
  private leases: OpenedLeases | undefined;
  private users: OpenedUsers | undefined;
  private looking: Timer | undefined;
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
      leases: () => this.leases?.counts(),
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
      leasesLostSince: () => this.leases?.lostSince(),
      storage: { lostSince: () => this.storageOutage.since(), lostMaxMs: limits.process.storageLostMaxMs },
    });
    // First of all: a start that takes long (a big inbox to recover) is seen as a start, not as a dead process.
    this.sidecar = startSidecar({ ...settings.sidecar, health, metrics: this.metrics, source, clock, log });
    try {
      const { inbox, nameOf } = await this.openInbox();
      const leases = openLeases({
        ...this.options,
        partitions: inbox.partitions,
        info: () => ({ ready: health.ready().status === 200, port: this.port }),
        onTold: (text) => this.connections?.hear(text),
      });
      this.leases = leases;
      const scope = createAttemptScope();
      const pipeline = new Pipeline({
        inbox,
        bots: new Set(settings.bots.map(({ id }) => id)),
        scope,
        clock,
        random,
        limits: { ...limits.pipeline, drainMaxMs: limits.process.drainMaxMs },
        redact: this.options.redact,
        events: createPipelineEvents({
          log,
          names: this.names,
          metrics: this.metrics,
          isFleet: settings.redis.url !== undefined,
          // Durable with the commit after the one that may be in flight.
          onDeath: () => (this.countsDue = 2),
        }),
      });
      const { modules } = this.options;
      const usesStorage = [...modules.values()].some(({ uses = [] }) => uses.length > 0);
      if (usesStorage) this.users = await this.openUsers({ inbox, nameOf }, scope);
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
        tell: (text) => leases.tell(text),
        onMalformed,
      });
      const { bots, setShare } = this.connections;
      const fleet = createFleet({
        bots,
        inbox,
        pipeline,
        nameOf,
        leases: tellingShare(leases.leases, inbox.partitions, setShare),
        beforeGivenBack: async () => this.users?.told(),
        clock,
        random,
        limits: limits.poller,
        log,
      });
      this.pipeline = pipeline;
      this.fleet = fleet;
      fleet.start();
      this.lookForStart();
    } catch (error) {
      await this.sidecar.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.state = "draining";
    this.looking?.cancel();
    await this.fleet?.stop();
    await this.pipeline?.stop();
    // Before the inbox, which it asks what is settled.
    await this.users?.stop();
    await this.inbox?.stop();
    await this.connections?.stop();
    await this.sidecar?.stop();
    this.metrics.stop();
  }

  private openUsers(opened: OpenedInbox, scope: AttemptScope): Promise<OpenedUsers> {
    const { metrics } = this;
    const onLost = (isLost: boolean): void => this.storageOutage.set(isLost);
    return openUsers({ ...this.options, ...opened, metrics, scope, onLost });
  }

  private async openInbox(): Promise<OpenedInbox> {
    const opened = await openInbox({
      ...this.options,
      onFlushed: (writes, ms) => {
        this.metrics.flushed(writes, ms);
        if (this.countsDue > 0) {
          this.countsDue--;
          void this.countLetters();
        }
      },
    });
    const { inbox } = opened;
    this.inbox = inbox;
    inbox.onState((state) => this.inboxOutage.set(state === "failing"));
    void this.countLetters();
    return opened;
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

  /**
   * Once every bot has been tried and Telegram has answered one (a server that is out of reach must not hold the other bots back), what an earlier
   * process left has been read, and the storage was reached: else a rolling update would go on with instances that cannot reach theirs.
   */
  private hasStarted(): boolean {
    if (this.storageOutage.since() !== undefined) return false;
    if (this.fleet?.isOpening() === true || this.pipeline?.status().isBehind === true) return false;
    const pollers = (this.fleet?.bots() ?? []).map(({ poller }) => poller);
    return (
      pollers.every(({ phase, error }) => phase !== "starting" || error !== undefined) &&
      pollers.some(
        ({ phase }) => phase === "polling" || phase === "full" || phase === "disabled" || phase === "elsewhere",
      )
    );
  }

  private noteStart(): void {
    if (this.state === "starting" && this.hasStarted()) this.state = "running";
  }

  /** Whether anybody asks or not: an outage before the first question would look like a start that is not over. */
  private lookForStart(): void {
    this.noteStart();
    if (this.state !== "starting") return;
    this.looking = this.options.clock.setTimer(() => this.lookForStart(), startLookMs);
  }

  /** By partition, as the inbox last looked. */
  private backlogs(): readonly (number | undefined)[] {
    const { inbox } = this;
    return inbox?.lastBacklog()?.partitions ?? Array.from({ length: inbox?.partitions ?? 0 }, () => undefined);
  }

  private status(): Status {
    const { version } = this.options;
    this.noteStart();
    const pipeline = this.pipeline?.status();
    const claims = this.leases?.view()?.bots;
    const bots = (this.fleet?.bots() ?? []).map((bot) => botStatusOf(bot, this.pipeline, claims?.get(bot.id)));
    const view = this.leases?.view();
    return {
      version,
      startedAt: this.startedAt,
      state: this.state,
      bots,
      inbox: { state: this.inbox?.state() ?? "ok", deadLetters: this.deadLetters },
      pipeline: { inWork: pipeline?.working ?? 0, waiting: pipeline?.floodWaiting ?? 0 },
      ...(view === undefined ? {} : { fleet: fleetStatusOf(view, this.backlogs()) }),
    };
  }
}
