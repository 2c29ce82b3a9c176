/**
 * The bots of this instance, and the partitions that it has: each bot is polled while this instance has the claim to, each partition is worked on while
 * its claim lasts, and one bot's failure never reaches another.
 *
 *     asked getMe ─► module built ─► its lanes open             token refused: lanes held until Telegram takes it again
 *     bot claimed ─► polled          partition claimed ─► opened ─► its updates handled, whoever polled them
 */
import type { UserFromGetMe } from "grammy/types";
import type { Clock, Random, Timer } from "./clock.ts";
import type { BotId } from "./ids.ts";
import type { Inbox } from "./inbox/inbox.ts";
import type { BotClaim, Leases, Tenure } from "./leases/leases.ts";
import type { Log } from "./log.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Handler } from "./pipeline-options.ts";
import { createPartitionTenures } from "./fleet-partitions.ts";
import { createPoller, type Poller } from "./poller.ts";
import type { PollerState } from "./poller-state.ts";
import type { PollingEvents, PollingLimits } from "./polling.ts";
import type { Client } from "./telegram/client.ts";

/** One bot, ready to be started. */
export interface FleetBot {
  readonly id: BotId;
  readonly name: string;
  readonly client: Client;
  /** Sent as `allowed_updates`. */
  readonly updates: readonly string[];
  /** Builds the bot's middleware once Telegram has told who it is. A rejection stops this bot alone. */
  readonly createHandler: (me: UserFromGetMe) => Promise<Handler>;
  readonly events: PollingEvents;
}

export interface FleetOptions {
  readonly bots: readonly FleetBot[];
  readonly inbox: Pick<Inbox, "append" | "open">;
  readonly pipeline: Pick<Pipeline, "setHandler" | "room" | "open">;
  /** What attempts call a partition. */
  readonly nameOf: (partition: number) => number;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly random: Random;
  /** Awaited before a partition is given back: what its next owner has to know. Never rejects, and ends soon whatever is out of reach. */
  readonly beforeGivenBack: () => Promise<void>;
  readonly limits: PollingLimits & {
    /** Time between the starts of two bots, ms. */
    readonly startIntervalMs: number;
  };
  readonly log: Log;
}

export interface FleetBotState {
  readonly id: BotId;
  readonly name: string;
  readonly poller: PollerState;
}

export interface Fleet {
  /** Begins to claim, and starts the bots one after another, `startIntervalMs` apart. Returns at once; never throws for a fault of a bot. */
  start(): void;
  /** Ends every poll and gives everything back: resolves when no append is in flight and what handlers have done is durable. */
  stop(): Promise<void>;
  /** In the order of the configuration. */
  bots(): readonly FleetBotState[];
  /** A partition is this instance's, and is not worked on yet. */
  isOpening(): boolean;
}

export function createFleet(options: FleetOptions): Fleet {
  const members = options.bots.map((bot) => new Member(bot, options));
  const byId = new Map(members.map((member) => [member.id, member]));
  const partitions = createPartitionTenures(options);
  const timers: Timer[] = [];
  return {
    start() {
      options.leases.start({
        bot(claim) {
          const member = byId.get(claim.bot);
          if (member === undefined) throw new Error(`bot ${claim.bot} was claimed, which is not configured`);
          return member.poll(claim);
        },
        partition: (claim) => partitions.take(claim),
      });
      for (const [index, member] of members.entries()) {
        const inMs = index * options.limits.startIntervalMs;
        if (inMs === 0) void member.start();
        else timers.push(options.clock.setTimer(() => void member.start(), inMs));
      }
    },
    async stop() {
      for (const timer of timers) timer.cancel();
      for (const member of members) member.hold();
      await options.leases.stop();
      await Promise.all(members.map((member) => member.stop()));
    },
    bots: () => members.map((member) => member.state()),
    isOpening: () => partitions.isOpening(),
  };
}

class Member {
  private readonly bot: FleetBot;
  private readonly options: FleetOptions;
  private readonly log: Log;
  private readonly poller: Poller;
  private handler: Handler | undefined;
  private lastPhase: PollerState["phase"] | undefined;
  private lastError: string | undefined;
  private broken: PollerState | undefined;
  private isStopping = false;

  constructor(bot: FleetBot, options: FleetOptions) {
    this.bot = bot;
    this.options = options;
    this.log = options.log.child({ bot: bot.name });
    const { clock, inbox, leases, limits, pipeline, random } = options;
    const { id, name, client, updates, events } = bot;
    this.poller = createPoller({
      name,
      client,
      inbox,
      allowedUpdates: updates,
      room: pipeline.room(id),
      clock,
      random,
      limits,
      events: {
        ...events,
        onPoll(outcome, count) {
          // Another instance may have got the bot while this one stood still.
          if (outcome === "conflict") leases.doubt();
          events.onPoll(outcome, count);
        },
        onFenced() {
          leases.doubt();
          events.onFenced();
        },
        onState: (state) => this.onState(state),
        onRestart: (words) => this.log.error("polling ended by a fault of botfleet's own and starts again", { words }),
      },
    });
  }

  get id(): BotId {
    return this.bot.id;
  }

  /** Never rejects. */
  async start(): Promise<void> {
    if (this.isStopping) return;
    const me = await this.poller.start();
    if (me !== undefined) await this.open(me);
  }

  poll(claim: BotClaim): Tenure {
    this.poller.hold(claim);
    return {
      changed: () => {
        if (claim.lost()) this.log.warn("another instance polls this bot now");
        this.poller.claimChanged();
      },
      release: () => this.poller.letGo(),
    };
  }

  /** From now on its lanes are neither opened nor closed. */
  hold(): void {
    this.isStopping = true;
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await this.poller.stop();
  }

  state(): FleetBotState {
    const { id, name } = this.bot;
    return { id, name, poller: this.broken ?? this.poller.state() };
  }

  private async open(me: UserFromGetMe): Promise<void> {
    try {
      this.handler = await this.bot.createHandler(me);
    } catch (error) {
      // Updates that arrive are kept: with the module mended, the next start handles them.
      const words = `The module of bot ${this.bot.name} cannot be built; mend it and restart. Its updates are kept.`;
      this.log.error(words, { error });
      await this.poller.stop();
      this.broken = { phase: "stopped", since: this.options.clock.now(), error: words, polledAt: undefined };
      return;
    }
    this.log.info("bot started", { username: me.username });
    this.showHandler();
  }

  /** Says a setback once, and once that it is over: an outage of hours with hundreds of bots must not fill the log. */
  private onState(state: PollerState): void {
    const { phase, error } = state;
    if (error === undefined) {
      if (this.lastError !== undefined) this.log.info("polling again");
    } else if (this.lastError === undefined || phase !== this.lastPhase) {
      const isNew = this.lastError === undefined || phase === "disabled";
      this.log[isNew ? "warn" : "debug"](phase === "disabled" ? "token refused" : "polling failed", { phase, error });
    }
    if (phase === "full" && this.lastPhase !== "full") {
      this.log.warn("polling stopped until there is room: too many updates wait, or the disk is full");
    }
    this.lastError = error;
    this.lastPhase = phase;
    this.showHandler();
  }

  /** While the token is refused every call of a handler would fail: its lanes are held instead. */
  private showHandler(): void {
    if (this.isStopping || this.handler === undefined) return;
    const isDisabled = this.poller.state().phase === "disabled";
    this.options.pipeline.setHandler(this.bot.id, isDisabled ? undefined : this.handler);
  }
}
