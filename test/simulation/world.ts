/**
 * One seeded run: two bots, a few chats, people who write, a Telegram and a disk that fail, and a botfleet process that crashes and is
 * started again over the same durable store. Everything but the store and Telegram is new after a crash.
 */
import { limits } from "../../config/limits.ts";
import { createAttemptScope, type AttemptScope } from "../../src/attempts.ts";
import { toToken, type Token } from "../../src/ids.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import type { Handler, PipelineLimits } from "../../src/pipeline-options.ts";
import { createBotApi, type BotApi } from "../../src/simulator/bot-api.ts";
import { plannedBot } from "./handlers.ts";
import { type Instance, startInstance } from "./instance.ts";
import { Oracle } from "./oracle.ts";
import { type Perils, Process } from "./process.ts";
import { Scheduler } from "./scheduler.ts";
import { createSimulatedDisk, type SimulatedDisk } from "./disk.ts";
import { createSimulatedTransport } from "./telegram.ts";
import { breakTelegram, plans } from "./troubles.ts";

/** Where a planted bug takes hold; each wraps what the parts are given, none changes the parts. */
export interface Plant {
  readonly inbox?: (inbox: Inbox, process: Process) => Inbox;
  readonly scope?: (scope: AttemptScope) => AttemptScope;
  readonly limits?: { readonly runKeepIds?: number };
  /** The handler is reported as ended before it has. */
  readonly settlesBeforeItIsDone?: boolean;
}

export interface RunReport {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly crashes: number;
  readonly stops: number;
  readonly updates: number;
  readonly steps: number;
  readonly virtualMs: number;
}

/** People write and things fail until then; afterwards everything must come to rest, ms of virtual time. */
const troubledMs = 60_000;
const restMaxMs = 40 * 60_000;

export async function runWorld(seed: number, plant: Plant = {}): Promise<RunReport> {
  return new World(seed, plant).run();
}

class World {
  private readonly seed: number;
  private readonly plant: Plant;
  private readonly scheduler: Scheduler;
  private readonly oracle = new Oracle();
  private readonly api: BotApi;
  private readonly tokens: readonly Token[];
  private readonly disk: SimulatedDisk;
  private readonly perils: Perils;
  private readonly pipelineLimits: PipelineLimits;
  private crashesLeft: number;
  private crashes = 0;
  private stops = 0;
  private life: LifeOfBotfleet | undefined;

  constructor(seed: number, plant: Plant) {
    this.seed = seed;
    this.plant = plant;
    this.scheduler = new Scheduler(seed);
    const { scheduler } = this;
    this.api = createBotApi({ clock: scheduler.clock(), random: scheduler.random });
    this.tokens = [100_001, 100_002].map((id) => {
      const token = toToken(this.api.addBot({ id, firstUpdateId: 1 + Math.floor(scheduler.between(0, 1_000)) }).token);
      if (token === undefined) throw new Error("the simulator made a token of another form");
      return token;
    });
    // Small limits in half of the runs: spilling and fetching bodies are ordinary ways, not rare ones.
    const handoverMaxEntries = scheduler.pick([1, 3, limits.inbox.handoverMaxEntries]);
    this.disk = createSimulatedDisk(scheduler, this.oracle, { ...limits.inbox, handoverMaxEntries, ...plant.limits });
    this.pipelineLimits = {
      ...limits.pipeline,
      drainMaxMs: limits.process.drainMaxMs,
      laneBodiesMax: scheduler.pick([1, 2, limits.pipeline.laneBodiesMax]),
      bodiesMaxBytes: scheduler.pick([500, limits.pipeline.bodiesMaxBytes]),
      slotsPerBot: scheduler.pick([2, 4, 500]),
      slotsTotal: scheduler.pick([3, 4_000]),
      slotsReservedPerBot: 1,
    };
    this.crashesLeft = Math.floor(scheduler.between(0, 5));
    this.perils = {
      crash: scheduler.chance(0.2) ? 0 : scheduler.between(0, 0.03),
      stepMaxMs: scheduler.between(1, 20),
    };
    this.api.journal.listen({
      send: (entry) => {
        if (entry.effect && entry.method === "sendmessage") this.oracle.effect(entry.text);
      },
    });
  }

  async run(): Promise<RunReport> {
    const { scheduler } = this;
    this.plan();
    this.boot();
    await scheduler.run(() => scheduler.nowMs >= troubledMs && this.oracle.isQuiet, troubledMs + restMaxMs);
    const violations = this.oracle.finalViolations();
    this.life?.process.end();
    return {
      seed: this.seed,
      violations,
      crashes: this.crashes,
      stops: this.stops,
      updates: this.oracle.updates.size,
      steps: scheduler.steps,
      virtualMs: scheduler.nowMs,
    };
  }

  /** Lays out beforehand who writes when, what fails when, and when the process is asked to stop. */
  private plan(): void {
    const { scheduler, api } = this;
    const count = 10 + Math.floor(scheduler.between(0, 40));
    const chats = 1 + Math.floor(scheduler.between(0, 5));
    for (let n = 0; n < count; n++) {
      // Bursts: many at nearly the same moment, as after an outage.
      const atMs = scheduler.chance(0.5)
        ? scheduler.between(0, troubledMs)
        : Math.floor(scheduler.between(0, 6)) * 10_000;
      scheduler.at(atMs, () => this.write(1 + Math.floor(scheduler.between(0, chats))));
    }
    for (let n = Math.floor(scheduler.between(0, 12)); n > 0; n--) {
      scheduler.at(scheduler.between(0, troubledMs * 0.8), () => this.breakSomething());
    }
    if (scheduler.chance(0.3)) scheduler.at(scheduler.between(5_000, troubledMs), () => void this.restartInOrder());
    scheduler.at(troubledMs, () => {
      api.faults.clear();
      this.disk.isFailing = false;
      this.perils.crash = 0;
    });
  }

  private write(chat: number): void {
    const { scheduler, oracle, api } = this;
    const bot = Math.floor(scheduler.between(0, this.tokens.length));
    const known = oracle.written(`${bot}/${chat}`, scheduler.pick(plans));
    api.people.person(chat).say(this.tokens[bot] as string, `${known.key} ${known.plan}`);
  }

  private breakSomething(): void {
    const { scheduler, api } = this;
    if (scheduler.chance(0.2)) {
      this.disk.isFailing = true;
      scheduler.at(scheduler.between(100, 8_000), () => (this.disk.isFailing = false));
      return;
    }
    breakTelegram(scheduler, api);
  }

  private boot(): void {
    const process = new Process(this.scheduler, this.perils, () => {
      this.crashes++;
      if (--this.crashesLeft <= 0) this.perils.crash = 0;
      this.oracle.crashed();
      this.life = undefined;
      this.scheduler.at(this.scheduler.between(100, 5_000), () => this.boot());
    });
    if (this.crashesLeft <= 0) this.perils.crash = 0;
    const life = new LifeOfBotfleet(process, this);
    this.life = life;
    void life.start();
  }

  private async restartInOrder(): Promise<void> {
    const life = this.life;
    if (life === undefined || !(await life.stop())) return;
    this.stops++;
    this.oracle.stopped();
    life.process.end();
    this.life = undefined;
    this.scheduler.at(this.scheduler.between(100, 3_000), () => this.boot());
  }

  get parts() {
    const { api, disk, oracle, pipelineLimits, plant, scheduler, tokens } = this;
    return { api, disk, oracle, pipelineLimits, plant, scheduler, tokens };
  }
}

/** One life of the process, from its opening of the store on. */
class LifeOfBotfleet {
  readonly process: Process;
  private readonly world: World;
  private instance: Instance | undefined;

  constructor(process: Process, world: World) {
    this.process = process;
    this.world = world;
  }

  async start(): Promise<void> {
    const { api, disk, oracle, pipelineLimits, plant, scheduler, tokens } = this.world.parts;
    const { process } = this;
    const { clock } = process;
    const { random } = scheduler;
    const opened = await disk.open(process);
    const scope = createAttemptScope();
    this.instance = await startInstance({
      clock,
      random,
      inbox: plant.inbox?.(opened, process) ?? opened,
      transport: createSimulatedTransport(process, api, oracle),
      tokens,
      module: () => ({ updates: ["message"], create: () => plannedBot({ oracle, clock, random }) }),
      pipelineLimits,
      scope: plant.scope?.(scope) ?? scope,
      ...(plant.settlesBeforeItIsDone === true ? { wrap: endingEarly } : {}),
    });
  }

  /** False where it had not started yet, or died before the end. */
  async stop(): Promise<boolean> {
    if (this.instance === undefined) return false;
    await this.instance.stop();
    return !this.process.isDead;
  }
}

/** Reports each update as handled before it is. */
function endingEarly(handler: Handler): Handler {
  return {
    handle: async (update) => {
      handler.handle(update).catch(() => {});
    },
  };
}
