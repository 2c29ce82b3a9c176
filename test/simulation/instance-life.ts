/** One life of an instance of the simulated fleet: botfleet as main builds it, watched at its borders by the oracle. (Longer than most files: all borders of one life.) */
import { type AttemptScope, createAttemptScope } from "../../src/attempts.ts";
import type { Token } from "../../src/ids.ts";
import { botIdOf } from "../../src/ids.ts";
import { createInbox, type FrontOptions } from "../../src/inbox/front.ts";
import type { Claim, Leases } from "../../src/leases/leases.ts";
import type { PipelineLimits } from "../../src/pipeline-options.ts";
import type { BotApi } from "../../src/simulator/bot-api.ts";
import type { Transport } from "../../src/telegram/exchange.ts";
import { plannedBot } from "./handlers.ts";
import { type Instance, startInstance } from "./instance.ts";
import type { Held, InstancesOracle } from "./instances-oracle.ts";
import { holderWith, withHolder } from "./fleet-leases.ts";
import { unclaimed } from "./plants.ts";
import type { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";
import type { SharedStore } from "./shared-store.ts";
import { createSimulatedTransport } from "./telegram.ts";

/** Planted bugs. */
export interface LifePlant {
  /** Claims are given back while handlers are at work. */
  readonly givesBackAtOnce?: boolean;
  /** A claim is as good as was told last, whatever the clock says. */
  readonly looksAtNoClock?: boolean;
  /** Effects begin whether the claim holds or not. */
  readonly actsUnclaimed?: boolean;
}

export interface LifeOptions {
  readonly process: Process;
  readonly scheduler: Scheduler;
  readonly oracle: InstancesOracle;
  readonly api: BotApi;
  readonly tokens: readonly Token[];
  readonly store: SharedStore;
  readonly partitions: number;
  readonly inboxLimits: FrontOptions["limits"];
  readonly pipelineLimits: Partial<PipelineLimits>;
  readonly leases: Leases;
  readonly plant: LifePlant;
  readonly onFenced: () => void;
  /** A handler has begun. */
  readonly onBegan: () => void;
}

export class LifeOfInstance {
  readonly process: Process;
  /** The claim on each thing that it was handed last. */
  readonly held = new Map<string, Claim>();
  private readonly options: LifeOptions;
  private readonly scope: AttemptScope;
  /** By the name that attempts call it by: one for each opening. */
  private readonly openings = new Map<number, Held>();
  private instance: Instance | undefined;

  constructor(options: LifeOptions) {
    this.options = options;
    this.process = options.process;
    const scope = createAttemptScope();
    this.scope = options.plant.actsUnclaimed === true ? unclaimed(scope) : scope;
  }

  async start(): Promise<void> {
    const { process, scheduler, store, partitions, inboxLimits: limits, pipelineLimits, tokens } = this.options;
    const { clock } = process;
    const { random } = scheduler;
    const inbox = createInbox({ store: store.connect(process), partitions, clock, limits });
    this.instance = await startInstance({
      clock,
      random,
      inbox,
      leases: this.watchedLeases(),
      nameOf: (partition) => this.opened(partition),
      beforeGivenBack: () => process.step(),
      transport: this.watchedTransport(),
      tokens,
      module: () => ({ updates: ["message"], create: () => plannedBot({ oracle: this.watchedRuns(), clock, random }) }),
      pipelineLimits,
      pipelineEvents: { onFenced: this.options.onFenced },
      pollingEvents: { onFenced: this.options.onFenced },
      scope: this.scope,
    });
  }

  /** False where it had not started yet, or died before the end. */
  async stop(): Promise<boolean> {
    if (this.instance === undefined) return false;
    await this.instance.stop();
    return !this.process.isDead;
  }

  private opened(partition: number): number {
    const claim = this.held.get(`p${partition}`);
    if (claim === undefined) throw new Error(`partition ${partition} was opened without a claim`);
    const name = this.openings.size * this.options.partitions + partition;
    this.openings.set(name, { name: `p${partition}`, claim });
    return name;
  }

  private watchedLeases(): Leases {
    const { leases, plant } = this.options;
    const told = new Map<Claim, boolean>();
    return withHolder(leases, (holder) =>
      holderWith(holder, {
        claim: (name, claim) => {
          this.held.set(name, claim);
          if (plant.looksAtNoClock !== true) return claim;
          told.set(claim, claim.valid());
          return { ...claim, lost: () => claim.lost(), valid: () => told.get(claim) === true };
        },
        tenure: (tenure, claim) => ({
          changed() {
            told.set(claim, claim.valid());
            tenure.changed();
          },
          release() {
            const released = tenure.release();
            return plant.givesBackAtOnce === true ? Promise.resolve() : released;
          },
        }),
      }),
    );
  }

  private watchedRuns(): Parameters<typeof plannedBot>[0]["oracle"] {
    const { oracle } = this.options;
    return {
      began: (key) => {
        this.options.onBegan();
        return oracle.beganUnder(key, this.heldByAttempt());
      },
      ended: (key) => oracle.ended(key),
      returned: (key) => oracle.returnedUnder(key, this.heldByAttempt()),
      threw: (key) => oracle.threw(key),
    };
  }

  private watchedTransport(): Transport {
    const { process, api, oracle, tokens } = this.options;
    const transport = createSimulatedTransport(process, api, oracle);
    const bots = new Map(tokens.map((token) => [token as string, `b${botIdOf(token)}`]));
    return {
      exchange: (request) => {
        const [, token = "", method = ""] = /\/bot([^/]+)\/(\w+)$/.exec(request.url) ?? [];
        if (method === "getUpdates") {
          const name = bots.get(token) ?? "";
          const claim = this.held.get(name);
          oracle.polled(claim === undefined ? undefined : { name, claim });
        }
        if (method !== "sendMessage") return transport.exchange(request);
        const held = this.heldByAttempt();
        const { text } = JSON.parse(request.body) as { readonly text: string };
        oracle.callBegan(text, held);
        return transport.exchange(request).finally(() => oracle.callEnded(held));
      },
    };
  }

  private heldByAttempt(): Held {
    const attempt = this.scope.current();
    const held = attempt === undefined ? undefined : this.openings.get(attempt.partition);
    if (held === undefined) throw new Error("what runs belongs to no attempt");
    return held;
  }
}
