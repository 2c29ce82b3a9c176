/**
 * Members of a fleet over a lease store in memory, on virtual time: calls are lost, late, or done after they were given up; members pause, die, stop
 * and come; the store goes away and may come back without what came last, or with another time. Longer than other files because a world is one thing.
 */
import type { Clock } from "../../src/clock.ts";
import { toBotId } from "../../src/ids.ts";
import type { Claim, Holder, Tenure } from "../../src/leases/leases.ts";
import { createMemoryLeaseServer, createMemoryLeaseStore, type MemoryLeaseServer } from "../../src/leases/memory.ts";
import { type LeaseLimits, SharedLeases } from "../../src/leases/shared.ts";
import { epochOf, type LeaseStore, type Renewal } from "../../src/leases/store.ts";
import { leaseLimits } from "../leases/rig.ts";
import { type Life, Scheduler } from "./scheduler.ts";

export interface LeasePlant {
  readonly limits?: Partial<LeaseLimits>;
  /** Whether a member takes the token that stands there for its own. */
  readonly isSame?: (present: string | undefined, own: string) => boolean;
  /** A renewal counts from its answer. */
  readonly countsFromAnswer?: boolean;
  /** A member that stops gives everything back before it is released. */
  readonly givesBeforeRelease?: boolean;
}

export interface LeaseReport {
  readonly violations: readonly string[];
  readonly taken: number;
  readonly moved: number;
  readonly lost: number;
  readonly lapses: number;
  readonly deaths: number;
  readonly restarts: number;
}

const troubledMs = 60_000;
const restMaxMs = 120_000;
const callMaxMs = 2_000;

export async function runLeases(seed: number, plant: LeasePlant = {}): Promise<LeaseReport> {
  return new LeaseWorld(seed, plant).run();
}

interface Held {
  readonly claim: Claim;
  /** Nothing is done under it any more, as its holder sees it. */
  isOver: boolean;
}

interface Instance {
  readonly life: Life;
  readonly leases: SharedLeases;
  readonly held: Map<string, Held>;
  pausedUntilMs: number;
  /** By how much its own clock is behind. */
  lagMs: number;
  isStopping: boolean;
}

class LeaseWorld {
  private readonly scheduler: Scheduler;
  private readonly plant: LeasePlant;
  private readonly limits: LeaseLimits;
  private readonly server: MemoryLeaseServer;
  private readonly bots: number;
  private readonly partitions: number;
  private instances: Instance[] = [];
  private snapshots: MemoryLeaseServer["records"][] = [];
  private readonly violations: string[] = [];
  private readonly sums = { taken: 0, given: 0, lost: 0, lapses: 0 };
  private isTroubled = true;
  private isServerDown = false;
  private serverSkewMs = 0;
  /** Until then two may have one claim: the store has lost something, or its time. */
  private excusedUntilMs = 0;
  private names = 0;
  private deaths = 0;
  private restarts = 0;

  constructor(seed: number, plant: LeasePlant) {
    this.scheduler = new Scheduler(seed);
    this.plant = plant;
    this.limits = { ...leaseLimits, ...plant.limits };
    this.server = createMemoryLeaseServer(() => this.scheduler.nowMs + this.serverSkewMs);
    this.bots = Math.floor(this.scheduler.between(0, 6));
    this.partitions = Math.floor(this.scheduler.between(1, 7));
  }

  async run(): Promise<LeaseReport> {
    const { scheduler } = this;
    for (let n = Math.floor(scheduler.between(2, 5)); n > 0; n--) this.boot();
    this.keepSnapshots();
    this.makeTrouble();
    await scheduler.run(() => this.check(() => false), troubledMs, 60_000);
    this.isTroubled = false;
    const untilMs = scheduler.nowMs + restMaxMs;
    if (!(await scheduler.run(() => this.check(() => this.isSettled()), untilMs, 400_000))) {
      this.violate(`not settled: ${this.state()}`);
    } else await this.rest();
    for (const instance of this.instances) this.count(instance);
    const { taken, given, lost, lapses } = this.sums;
    const { violations, deaths, restarts } = this;
    return { violations, taken, moved: given, lost, lapses, deaths, restarts };
  }

  /** What is even stays where it is. */
  private async rest(): Promise<void> {
    const { scheduler, limits } = this;
    const restMs = 3 * limits.ttlMs;
    // Who saw it before it was even may still ask one back.
    await scheduler.run(() => this.check(() => false), scheduler.nowMs + restMs, 500_000);
    const before = this.state();
    await scheduler.run(() => this.check(() => false), scheduler.nowMs + restMs, 500_000);
    if (!this.isSettled() || this.state() !== before) this.violate(`no rest: ${before} became ${this.state()}`);
  }

  private boot(): void {
    const { scheduler, limits } = this;
    const life: Life = { isDead: false };
    const held = new Map<string, Held>();
    const clock: Clock = {
      now: () => 1_700_000_000_000 + scheduler.nowMs,
      monotonic: () => scheduler.nowMs - instance.lagMs,
      setTimer: (run, ms) => this.later(instance, ms, run),
    };
    const store = createMemoryLeaseStore(this.server);
    const leases = new SharedLeases({
      store: this.wire(store, () => instance),
      bots: Array.from({ length: this.bots }, (_, at) => toBotId(at + 1)),
      partitions: this.partitions,
      clock,
      newName: () => `n${++this.names}`,
      host: "",
      version: "",
      limits,
    });
    const instance: Instance = { life, leases, held, pausedUntilMs: 0, lagMs: 0, isStopping: false };
    this.instances.push(instance);
    leases.start(this.holder(() => instance));
  }

  private holder(of: () => Instance): Holder {
    const tenure = (name: string, claim: Claim): Tenure => {
      const instance = of();
      const before = instance.held.get(name);
      if (before !== undefined && !before.claim.lost()) this.violate(`${name} is handed out twice`);
      const held: Held = { claim, isOver: false };
      instance.held.set(name, held);
      let isAsked = false;
      let isLost = false;
      return {
        changed: () => {
          if (isLost) this.violate(`${name}: something is called after its loss`);
          isLost = claim.lost();
        },
        release: async () => {
          if (isAsked) this.violate(`${name} is asked back twice`);
          if (isLost) this.violate(`${name} is asked back after its loss`);
          isAsked = true;
          const ms = this.scheduler.chance(0.8) ? this.scheduler.between(0, 50) : this.scheduler.between(0, 3_000);
          const released = new Promise<void>((resolve) => void this.later(instance, ms, resolve));
          if (this.plant.givesBeforeRelease !== true) await released;
          else void released.then(() => (held.isOver = true));
          if (this.plant.givesBeforeRelease !== true) held.isOver = true;
        },
      };
    };
    return {
      bot: (claim) => tenure(`b${claim.bot}`, claim),
      partition: (claim) => tenure(`p${claim.partition}`, claim),
    };
  }

  /** A timer of a member: not while it is paused. */
  private later(instance: Instance, ms: number, run: () => void): { cancel(): void } {
    let isCancelled = false;
    const fire = (): void => {
      if (isCancelled) return;
      const leftMs = instance.pausedUntilMs - this.scheduler.nowMs;
      if (leftMs > 0) this.scheduler.at(leftMs, fire, instance.life);
      else run();
    };
    this.scheduler.at(Math.max(0, ms), fire, instance.life);
    return { cancel: () => void (isCancelled = true) };
  }

  private wire(store: LeaseStore, of: () => Instance): LeaseStore {
    return {
      start: (events) => {
        const hear = (run: () => void): void => {
          if (!this.isTroubled || !this.scheduler.chance(0.2)) this.later(of(), this.delayMs(), run);
        };
        store.start({
          onChanged: (member) => hear(() => events.onChanged(member)),
          onTold: (member, text) => hear(() => events.onTold(member, text)),
          onUsable: () => hear(events.onUsable),
        });
      },
      renew: async (beat) => {
        const sentAtMs = this.scheduler.nowMs;
        const renewal = await this.call(of(), () => store.renew(beat));
        if (this.plant.countsFromAnswer === true) of().lagMs += this.scheduler.nowMs - sentAtMs;
        return this.misread(renewal, of());
      },
      take: (taking) => this.call(of(), () => store.take(taking)),
      give: (member, claims) => this.call(of(), () => store.give(member, claims)),
      leave: (member, claims) => this.call(of(), () => store.leave(member, claims)),
      tell: (member, text) => store.tell(member, text),
      stop: () => store.stop(),
    };
  }

  private misread(renewal: Renewal, { held }: Instance): Renewal {
    const { isSame } = this.plant;
    if (isSame === undefined || renewal.claims === undefined) return renewal;
    const claims = new Map(renewal.claims);
    for (const [name, { claim }] of held) {
      if (!claim.lost() && isSame(claims.get(name), claim.token)) claims.set(name, claim.token);
    }
    return { ...renewal, claims };
  }

  /** Each way may be lost; what is on its way arrives even where nobody waits for it any more. */
  private call<T>(instance: Instance, run: () => Promise<T>): Promise<T> {
    const isLost = (): boolean => this.isTroubled && this.scheduler.chance(0.03);
    return new Promise((resolve, reject) => {
      this.later(instance, callMaxMs, () => reject(new Error("no answer in time")));
      if (isLost()) return;
      this.scheduler.at(this.delayMs(), () => {
        if (this.isServerDown) {
          this.later(instance, this.delayMs(), () => reject(new Error("the server is away")));
          return;
        }
        void run().then((answer) => {
          if (!isLost()) this.later(instance, this.delayMs(), () => resolve(answer));
          return answer;
        });
      });
    });
  }

  private delayMs(): number {
    const { scheduler } = this;
    if (!this.isTroubled || !scheduler.chance(0.1)) return scheduler.between(0, 5);
    return scheduler.chance(0.3) ? scheduler.between(0, 7_000) : scheduler.between(0, 1_500);
  }

  private keepSnapshots(): void {
    const { records } = this.server;
    this.snapshots = [...this.snapshots.slice(-4), structuredClone(records)];
    if (this.isTroubled) this.scheduler.at(this.scheduler.between(50, 400), () => this.keepSnapshots());
  }

  private makeTrouble(): void {
    if (!this.isTroubled) return;
    const { scheduler } = this;
    const living = this.instances.filter(({ isStopping }) => !isStopping);
    const victim = living.length > 0 ? scheduler.pick(living) : undefined;
    switch (scheduler.pick(["pause", "pause", "die", "stop", "join", "away", "restart", "doubt", "jump"])) {
      case "pause":
        if (victim !== undefined) victim.pausedUntilMs = scheduler.nowMs + scheduler.between(100, 12_000);
        break;
      case "die":
        if (victim !== undefined) this.end(victim, "death");
        break;
      case "stop":
        if (victim !== undefined) this.stop(victim);
        break;
      case "join":
        break;
      case "away":
        this.isServerDown = true;
        scheduler.at(scheduler.between(100, 12_000), () => {
          this.isServerDown = false;
        });
        break;
      case "restart":
        this.restart();
        break;
      case "doubt":
        victim?.leases.doubt();
        break;
      case "jump":
        if (scheduler.chance(0.3)) {
          this.serverSkewMs += scheduler.between(-3_000, 6_000);
          this.excuse();
        }
        break;
    }
    if (this.instances.length < 4 && scheduler.chance(0.5)) this.boot();
    scheduler.at(scheduler.between(200, 8_000), () => this.makeTrouble());
  }

  private restart(): void {
    const { scheduler } = this;
    this.restarts++;
    this.isServerDown = true;
    this.server.records = structuredClone(scheduler.pick(this.snapshots));
    this.server.records.run = String(1 + this.restarts);
    this.snapshots = [this.server.records];
    this.excuse();
    scheduler.at(scheduler.between(100, 8_000), () => {
      this.isServerDown = false;
    });
  }

  private excuse(): void {
    this.excusedUntilMs = this.scheduler.nowMs + this.limits.giveUpMs;
  }

  private stop(instance: Instance): void {
    instance.isStopping = true;
    void instance.leases.stop().then(() => {
      for (const [name, { claim }] of instance.held) {
        if (claim.valid() || !claim.lost()) this.violate(`${name} is held after the stop`);
      }
      this.end(instance, "stop");
      return undefined;
    });
  }

  private end(instance: Instance, how: "death" | "stop"): void {
    if (how === "death") this.deaths++;
    instance.life.isDead = true;
    this.instances = this.instances.filter((each) => each !== instance);
    this.count(instance);
  }

  private count({ leases }: Instance): void {
    const counts = leases.counts();
    for (const name of ["taken", "given", "lost", "lapses"] as const) this.sums[name] += counts[name];
  }

  /** Before each event: nothing is held twice. */
  private check(isDone: () => boolean): boolean {
    if (this.scheduler.nowMs >= this.excusedUntilMs) {
      const holders = new Map<string, number>();
      for (const { held } of this.instances) {
        for (const [name, { claim, isOver }] of held) {
          // What is released is in use until its holder says so, whatever the leases think.
          const isUsed = claim.valid() || (this.plant.givesBeforeRelease === true && claim.lost() && !isOver);
          if (!isUsed) continue;
          const count = (holders.get(name) ?? 0) + 1;
          holders.set(name, count);
          if (count > 1) this.violate(`${name} is held twice at ${Math.round(this.scheduler.nowMs)} ms`);
        }
      }
    }
    return this.violations.length > 0 || isDone();
  }

  /** Everything is owned by the living, evenly, under the tokens that stand in the store, and nobody is on the way. */
  private isSettled(): boolean {
    if (this.instances.length === 0) this.boot();
    const { claims } = this.server.records;
    if (this.instances.some(({ isStopping }) => isStopping)) return false;
    return (["b", "p"] as const).every((kind) => {
      const counts = this.instances.map(
        ({ held }) =>
          [...held].filter(([name, { claim }]) => {
            return name.startsWith(kind) && claim.valid() && claims.get(name) === claim.token;
          }).length,
      );
      const all = counts.reduce((sum, count) => sum + count, 0);
      return all === (kind === "b" ? this.bots : this.partitions) && Math.max(...counts) - Math.min(...counts) <= 1;
    });
  }

  private state(): string {
    const held = this.instances.map(({ held: own, leases, isStopping }) => {
      const valid = [...own].flatMap(([name, { claim }]) => (claim.valid() ? [`${name}=${claim.token}`] : []));
      return `${leases.member}${isStopping ? " (stopping)" : ""}: ${valid.join(" ")}`;
    });
    const stored = [...this.server.records.claims].map(([name, token]) => `${name}=${token}`);
    return `${held.join(" | ")} || stored ${stored.join(" ")}`;
  }

  private violate(what: string): void {
    if (this.violations.length < 10) this.violations.push(what);
  }
}

/** Tokens compared by their number only. */
export function isSameEpoch(present: string | undefined, own: string): boolean {
  return present !== undefined && epochOf(present) === epochOf(own);
}
