/**
 * The bots of this instance: claims each, starts its poller, gives its updates to its module, and keeps one bot's failure from reaching
 * another. (With Redis, later, also which bots and partitions are this instance's.)
 *
 *     claimed ─► poller asks getMe ─► module built ─► its lanes open        token refused: lanes held until Telegram takes it again
 */
import type { UserFromGetMe } from "grammy/types";
import type { Clock, Random, Timer } from "./clock.ts";
import type { BotId } from "./ids.ts";
import type { Inbox } from "./inbox/inbox.ts";
import type { Leases } from "./leases/leases.ts";
import type { Log } from "./log.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Handler } from "./pipeline-options.ts";
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
  readonly inbox: Inbox;
  readonly pipeline: Pick<Pipeline, "setHandler" | "room">;
  readonly leases: Leases;
  readonly clock: Clock;
  readonly random: Random;
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
  /** Starts the bots one after another, `startIntervalMs` apart. Returns at once; never throws for a fault of a bot. */
  start(): void;
  /** Ends every poll; resolves when no append is in flight. Handlers go on. */
  stop(): Promise<void>;
  /** In the order of the configuration. */
  bots(): readonly FleetBotState[];
}

export function createFleet(options: FleetOptions): Fleet {
  const members = options.bots.map((bot) => new Member(bot, options));
  const timers: Timer[] = [];
  return {
    start() {
      for (const [index, member] of members.entries()) {
        const inMs = index * options.limits.startIntervalMs;
        if (inMs === 0) void member.start();
        else timers.push(options.clock.setTimer(() => void member.start(), inMs));
      }
    },
    async stop() {
      for (const timer of timers) timer.cancel();
      await Promise.all(members.map((member) => member.stop()));
      await options.leases.stop();
    },
    bots: () => members.map((member) => member.state()),
  };
}

class Member {
  private readonly bot: FleetBot;
  private readonly options: FleetOptions;
  private readonly log: Log;
  private poller: Poller | undefined;
  private handler: Handler | undefined;
  private lastPhase: PollerState["phase"] | undefined;
  private lastError: string | undefined;
  private broken: PollerState | undefined;
  private isStopping = false;

  constructor(bot: FleetBot, options: FleetOptions) {
    this.bot = bot;
    this.options = options;
    this.log = options.log.child({ bot: bot.name });
  }

  /** Never rejects. */
  async start(): Promise<void> {
    const { clock, inbox, leases, limits, pipeline, random } = this.options;
    const { id, name, client, updates, events } = this.bot;
    const claim = await leases.claimBot(id);
    if (this.isStopping) return;
    this.poller = createPoller({
      name,
      client,
      inbox,
      claim,
      allowedUpdates: updates,
      room: pipeline.room(id),
      clock,
      random,
      limits,
      events: {
        ...events,
        onState: (state) => this.onState(state),
        onClaimLost: () => this.log.warn("another instance polls this bot now"),
        onRestart: (words) => this.log.error("polling ended by a fault of botfleet's own and starts again", { words }),
      },
    });
    const me = await this.poller.start();
    if (me !== undefined) await this.open(me);
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await this.poller?.stop();
  }

  state(): FleetBotState {
    const unborn: PollerState = { phase: "starting", since: 0, error: undefined, polledAt: undefined };
    const { id, name } = this.bot;
    return { id, name, poller: this.broken ?? this.poller?.state() ?? unborn };
  }

  private async open(me: UserFromGetMe): Promise<void> {
    try {
      this.handler = await this.bot.createHandler(me);
    } catch (error) {
      // Updates that arrive are kept: with the module mended, the next start handles them.
      const words = `The module of bot ${this.bot.name} cannot be built; mend it and restart. Its updates are kept.`;
      this.log.error(words, { error });
      await this.poller?.stop();
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
    const isDisabled = this.poller?.state().phase === "disabled";
    this.options.pipeline.setHandler(this.bot.id, isDisabled ? undefined : this.handler);
  }
}
