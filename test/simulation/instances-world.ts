/**
 * One seeded run of a fleet: two to four instances over one inbox in a model of Redis, which also holds the leases; two bots, chats in different
 * partitions, people who write, a Telegram that fails. Instances die, stop in order, stand still for seconds, and lose Redis; what they have moves to
 * others and back. Longer than most files because a world is one thing.
 */
import { limits } from "../../config/limits.ts";
import { botIdOf, type Token, toBotId, toLaneKey, toToken } from "../../src/ids.ts";
import { partitionOfLane } from "../../src/inbox/partitions.ts";
import type { PipelineLimits } from "../../src/pipeline-options.ts";
import { createBotApi, type BotApi } from "../../src/simulator/bot-api.ts";
import { inboxLimits } from "../inbox/limits.ts";
import { LifeOfInstance, type LifePlant } from "./instance-life.ts";
import { InstancesOracle } from "./instances-oracle.ts";
import { Ledger } from "./ledger.ts";
import type { LeasesPlant, LeasesWorld, LeasesWorldOptions } from "./fleet-leases.ts";
import { type Perils, Process } from "./process.ts";
import { Wires } from "./redis-wires.ts";
import { Scheduler } from "./scheduler.ts";
import { SharedStore } from "./shared-store.ts";
import { breakRedis, breakTelegram, plans, scatter } from "./troubles.ts";

export interface InstancesPlant extends LeasesPlant, LifePlant {
  /** Whether the inbox takes `given` for `present`. */
  readonly isSame?: (given: string, present: string) => boolean;
}

export interface InstancesReport {
  readonly violations: readonly string[];
  readonly sums: Readonly<Record<Sum, number>>;
  readonly steps: number;
  readonly virtualMs: number;
}

export type Sum =
  "updates" | "deaths" | "stops" | "pauses" | "lapses" | "takenOver" | "handedOver" | "fenced" | "conflicts";

/** People write and things fail until then; afterwards everything must come to rest, ms of virtual time. */
const troubledMs = 40_000;
const restMaxMs = 10 * 60_000;
const watchMs = 200;

/** `leases`: the real ones, or a script's. */
export async function runInstances(
  seed: number,
  leases: (options: LeasesWorldOptions) => LeasesWorld,
  plant: InstancesPlant = {},
): Promise<InstancesReport> {
  return new InstancesWorld(seed, leases, plant).run();
}

type Blow = (process: Process) => void;

class InstancesWorld {
  private readonly scheduler: Scheduler;
  private readonly plant: InstancesPlant;
  private readonly api: BotApi;
  private readonly tokens: readonly Token[];
  private readonly partitions: number;
  private readonly oracle: InstancesOracle;
  private readonly wires: Wires;
  private readonly leases: LeasesWorld;
  private readonly store: SharedStore;
  private readonly perils: Perils;
  private readonly pipelineLimits: Partial<PipelineLimits>;
  private readonly handoverMaxEntries: number;
  /** Undefined while one is down. */
  private readonly lives: (LifeOfInstance | undefined)[];
  /** What befalls the next process in which a handler begins, or whose renewal has reached Redis. */
  private readonly ambushes = { run: new Array<Blow>(), renewal: new Array<Blow>() };
  private isTroubled = true;
  private crashesLeft: number;
  private readonly sums = { deaths: 0, stops: 0, pauses: 0, fenced: 0 };

  constructor(seed: number, leases: (options: LeasesWorldOptions) => LeasesWorld, plant: InstancesPlant) {
    this.plant = plant;
    this.scheduler = new Scheduler(seed);
    const { scheduler } = this;
    this.api = createBotApi({ clock: scheduler.clock(), random: scheduler.random });
    this.tokens = [100_001, 100_002].map((id) => {
      const token = toToken(this.api.addBot({ id, firstUpdateId: 1 + Math.floor(scheduler.between(0, 1_000)) }).token);
      if (token === undefined) throw new Error("the simulator made a token of another form");
      return token;
    });
    this.partitions = scheduler.pick([2, 3, 5]);
    this.oracle = new InstancesOracle((name) => this.leases.present(name));
    this.perils = {
      crash: scheduler.pick([0, 0, 0.002]),
      stepMaxMs: scheduler.between(1, 20),
      outlives: 0.5,
    };
    this.crashesLeft = Math.floor(scheduler.between(0, 3));
    this.wires = this.buildWires();
    const { partitions, oracle, wires } = this;
    const messageLoss = (): number => (this.isTroubled ? 0.2 : 0);
    this.leases = leases({
      scheduler,
      wires,
      bots: this.tokens.map(botIdOf),
      partitions,
      plant,
      messageLoss,
      onGiven: (name, token) => oracle.gaveBack(name, token),
      onRenewed: (process) => this.spring("renewal", process),
      onTakenOver: (name, token) => oracle.tookOver(name, token),
    });
    const ledger = new Ledger(oracle, partitions);
    this.store = new SharedStore({
      scheduler,
      wires,
      partitions,
      limits: inboxLimits,
      deduplicate: true,
      present: (name) => this.leases.present(name),
      isSame: plant.isSame ?? ((given, present) => given === present),
      isDeaf: false,
      messageLoss,
      onWriting: (group) => oracle.writing(group),
      onWritten: (group, committed) => ledger.learn(group, committed),
      onBuried: (seq, error) => oracle.died(ledger.keyOf(seq), error),
    });
    this.handoverMaxEntries = scheduler.pick([1, 3, 1_000]);
    this.pipelineLimits = {
      drainMaxMs: limits.process.drainMaxMs,
      attemptWaitsMs: [1_000, 2_000, 3_000, 5_000],
      outageCapMs: 5_000,
      laneBodiesMax: scheduler.pick([1, 2, 16]),
      slotsPerBot: scheduler.pick([2, 500]),
      slotsTotal: scheduler.pick([3, 4_000]),
      slotsReservedPerBot: 1,
    };
    this.lives = Array.from({ length: 2 + Math.floor(scheduler.between(0, 3)) }, () => undefined);
    this.api.journal.listen({
      send: (entry) => {
        if (entry.effect && entry.method === "sendmessage") oracle.effect(entry.text);
      },
    });
  }

  async run(): Promise<InstancesReport> {
    const { scheduler, oracle, leases, store, sums } = this;
    this.plan();
    for (const at of this.lives.keys()) scheduler.at(scheduler.between(0, 3_000), () => this.boot(at));
    this.watch();
    const isAtRest = (): boolean => !this.isTroubled && oracle.isQuiet;
    if (!(await scheduler.run(isAtRest, troubledMs + restMaxMs, 400_000))) oracle.cameToNoRest(scheduler.steps);
    const violations = oracle.finalViolations();
    for (const life of this.lives) life?.process.end();
    const { takenOver, handedOver } = oracle;
    const { steps, nowMs: virtualMs } = scheduler;
    const fenced = sums.fenced + store.fenced;
    const conflicts = [...this.api.bots.values()].reduce((sum, { poll }) => sum + poll.conflicts, 0);
    const counts = {
      ...sums,
      updates: oracle.updates.size,
      takenOver,
      handedOver,
      lapses: leases.lapses(),
      fenced,
      conflicts,
    };
    return { violations, sums: counts, steps, virtualMs };
  }

  private buildWires(): Wires {
    const { scheduler } = this;
    const wires = new Wires({ scheduler, callMaxMs: limits.redisInbox.callMaxMs, lateMaxMs: 5_000, outlives: 0.5 });
    const often = scheduler.pick([0, 0.01, 0.05]);
    wires.losses = {
      write: { lost: often, unanswered: often, late: often },
      read: { lost: often, unanswered: often, late: 0 },
    };
    return wires;
  }

  /** Lays out beforehand who writes when, and what fails when. */
  private plan(): void {
    const { scheduler } = this;
    const often = (min: number, max: number, share: number, run: () => void): void =>
      scatter(scheduler, { min, max, withinMs: troubledMs * share }, run);
    const chats = 1 + Math.floor(scheduler.between(0, 6));
    often(10, 40, 1, () => this.write(1 + Math.floor(scheduler.between(0, chats))));
    often(0, 6, 0.8, () => breakTelegram(scheduler, this.api));
    often(0, 4, 1, () => this.pause());
    often(0, 3, 1, () => this.kill());
    often(0, 2, 1, () => void this.restart(this.anyone()));
    often(0, 2, 0.8, () => breakRedis(scheduler, this.wires, this.lives[this.anyone()]?.process));
    if (scheduler.chance(0.2)) often(1, 2, 0.5, () => void this.restartAll());
    scheduler.at(troubledMs, () => {
      this.isTroubled = false;
      this.perils.crash = 0;
      this.api.faults.clear();
      this.wires.mend();
      this.leases.calm();
    });
  }

  private write(chat: number): void {
    const { scheduler, oracle, api, partitions } = this;
    const bot = Math.floor(scheduler.between(0, this.tokens.length));
    const token = this.tokens[bot] as Token;
    const partition = partitionOfLane(toBotId(botIdOf(token)), toLaneKey(chat), partitions);
    const known = oracle.writtenIn(`p${partition}`, `${bot}/${chat}`, scheduler.pick(plans));
    api.people.person(chat).say(token, `${known.key} ${known.plan}`);
  }

  private anyone(): number {
    return Math.floor(this.scheduler.between(0, this.lives.length));
  }

  private pause(): void {
    const ms = this.scheduler.between(1_000, 20_000);
    this.befall((process) => {
      this.sums.pauses++;
      process.pause(ms);
    });
  }

  private kill(): void {
    this.befall((process) => process.crash());
  }

  /** Somebody now, or whoever is next in a moment where it matters. */
  private befall(blow: Blow): void {
    const when = this.scheduler.pick(["now", "now", "run", "run", "renewal"] as const);
    const life = this.lives[this.anyone()];
    if (when !== "now") this.ambushes[when].push(blow);
    else if (life !== undefined) blow(life.process);
  }

  private spring(at: "run" | "renewal", process: Process): void {
    const { scheduler } = this;
    const blow = this.isTroubled ? this.ambushes[at].shift() : undefined;
    if (blow !== undefined) scheduler.at(at === "run" ? scheduler.between(0, 40) : 0, () => blow(process), process);
  }

  private boot(at: number): void {
    const { scheduler, perils } = this;
    if (this.crashesLeft <= 0) perils.crash = 0;
    const process = new Process(scheduler, perils, () => {
      this.sums.deaths++;
      this.crashesLeft--;
      this.lives[at] = undefined;
      scheduler.at(scheduler.between(100, 8_000), () => this.boot(at));
    });
    const { api, oracle, partitions, pipelineLimits, plant, store, tokens, handoverMaxEntries } = this;
    const life = new LifeOfInstance({
      process,
      scheduler,
      oracle,
      api,
      tokens,
      store,
      partitions,
      inboxLimits: { ...inboxLimits, handoverMaxEntries },
      pipelineLimits,
      leases: this.leases.join(process),
      plant,
      onFenced: () => this.sums.fenced++,
      onBegan: () => this.spring("run", process),
    });
    this.lives[at] = life;
    void life.start();
  }

  private async restart(at: number): Promise<void> {
    const { scheduler } = this;
    const life = this.lives[at];
    if (life === undefined || !(await life.stop()) || this.lives[at] !== life) return;
    this.sums.stops++;
    life.process.end();
    this.lives[at] = undefined;
    scheduler.at(scheduler.between(100, 3_000), () => this.boot(at));
  }

  private async restartAll(): Promise<void> {
    for (const at of this.lives.keys()) {
      await this.restart(at);
      await new Promise<void>((resolve) => this.scheduler.at(4_000, resolve));
    }
  }

  /** Looks now and then whether two processes take something for theirs. */
  private watch(): void {
    const valid = new Map<string, string[]>();
    for (const life of this.lives) {
      for (const [name, claim] of life?.held ?? []) {
        if (claim.valid()) valid.set(name, [...(valid.get(name) ?? []), claim.token]);
      }
    }
    for (const [name, tokens] of valid) this.oracle.seenValid(name, tokens);
    this.scheduler.at(watchMs, () => this.watch());
  }
}
