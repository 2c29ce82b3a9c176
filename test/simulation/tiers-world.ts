/**
 * Several instances whose first tiers stand over one second tier over one storage, on virtual time. They read and write the same few users
 * while calls get lost or late, messages are missed, instances crash between any two steps, and the server of the second tier evicts,
 * hangs, and restarts: empty, or with what it held once. When all is quiet, every tier must hold what storage holds. Longer than other files because a world is one thing.
 */
import type { MemoryTier } from "../../src/cache/memory.ts";
import type { CacheServer } from "../../src/cache/server.ts";
import type { Tier } from "../../src/cache/tier.ts";
import { createTiers, type Tiers } from "../../src/cache/tiers.ts";
import { toUserId, type UserId } from "../../src/ids.ts";
import type { Session } from "../../src/storage/session-store.ts";
import { createUserCheck } from "../../src/users/check-user.ts";
import type { User } from "../../src/users/user.ts";
import { ModelCache, type ModelPlant } from "../support/model-cache.ts";
import { userOf } from "../support/users.ts";
import { Process, type Perils } from "./process.ts";
import { Scheduler } from "./scheduler.ts";
import { calm, Wire, type WirePerils } from "./tiers-wire.ts";

export interface TiersPlant extends ModelPlant {
  /** Around what an instance is given. */
  readonly server?: (server: CacheServer) => CacheServer;
  readonly ignoresDoubts?: boolean;
  /** A user that was stored is only deleted in the second tier. */
  readonly onlyForgets?: boolean;
}

export interface TiersReport {
  readonly violations: readonly string[];
  readonly crashes: number;
  readonly hits: number;
  readonly restarts: number;
}

const troubledMs = 40_000;
/** What is lost is noticed within a minute, and by then twice. */
const quietMs = 75_000;
const lostMs = 10_000;

const modelLimits = { ttlMs: 86_400_000, absentMs: 5_000, leaseMs: 10_000, lostMs };
const linkLimits = { beatMs: 1_000, silentMs: 3_000, failuresMax: 3, groupMax: 10, sendersMax: 8 };

export function runTiersWorld(seed: number, plant: TiersPlant = {}): Promise<TiersReport> {
  return new TiersWorld(seed, plant).run();
}

class TiersWorld {
  readonly scheduler: Scheduler;
  readonly plant: TiersPlant;
  readonly storage = new Map<UserId, User>();
  readonly model: ModelCache;
  readonly people: readonly UserId[];
  readonly debtsMax: number;
  readonly isOrdered: boolean;
  readonly remembersLives: boolean;
  readonly check = createUserCheck();
  perils: Perils;
  wirePerils: WirePerils;
  isDown = false;
  crashes = 0;
  restarts = 0;
  readonly #instances: readonly Instance[];
  #names = 0;

  constructor(seed: number, plant: TiersPlant) {
    const scheduler = new Scheduler(seed);
    this.scheduler = scheduler;
    this.plant = plant;
    this.model = new ModelCache(modelLimits, () => scheduler.nowMs, plant);
    this.people = Array.from({ length: 1 + Math.floor(scheduler.between(0, 4)) }, (_, at) => toUserId(at + 1));
    this.debtsMax = scheduler.pick([1, 100]);
    this.isOrdered = scheduler.chance(0.5);
    this.remembersLives = scheduler.chance(0.5);
    // Each kind of trouble is absent from half of the worlds: together they would hide what one of them breaks.
    const peril = (max: number): number => (scheduler.chance(0.5) ? 0 : scheduler.between(0, max));
    this.perils = { crash: peril(0.015), stepMaxMs: scheduler.between(1, 60) };
    this.wirePerils = {
      lost: peril(0.1),
      late: peril(0.1),
      unanswered: peril(0.1),
      cut: peril(0.05),
      deaf: peril(0.02),
      dropped: peril(0.05),
      stepMaxMs: scheduler.between(1, 60),
    };
    this.#instances = Array.from({ length: 1 + Math.floor(scheduler.between(0, 3)) }, () => new Instance(this));
  }

  async run(): Promise<TiersReport> {
    const { scheduler, model } = this;
    model.onPublish = (text) => {
      for (const instance of this.#instances) instance.wire?.hear(text);
    };
    for (const instance of this.#instances) instance.boot();
    this.#planWork();
    this.#planTrouble();
    scheduler.at(troubledMs, () => {
      this.perils.crash = 0;
      this.wirePerils = calm;
      this.isDown = false;
    });
    await scheduler.run(() => scheduler.nowMs >= troubledMs + quietMs, troubledMs + quietMs + 1);
    const violations = await this.#violations();
    let hits = 0;
    for (const instance of this.#instances) hits += instance.end();
    return { violations, crashes: this.crashes, hits, restarts: this.restarts };
  }

  name(): string {
    return `n${(this.#names++).toString(36)}`;
  }

  #planWork(): void {
    const { scheduler } = this;
    for (let n = 30 + Math.floor(scheduler.between(0, 150)); n > 0; n--) {
      const instance = scheduler.pick(this.#instances);
      const id = scheduler.pick(this.people);
      const work = scheduler.pick(["read", "read", "read", "write", "reward", "fresh"] as const);
      // Much of it at the same time.
      const atMs = scheduler.chance(0.5)
        ? scheduler.between(0, troubledMs)
        : Math.floor(scheduler.between(0, 10)) * 4_000 + scheduler.between(0, 100);
      scheduler.at(atMs, () => instance.work(work, id));
    }
  }

  #planTrouble(): void {
    const { scheduler, model } = this;
    const some = (max: number, trouble: () => void): void => {
      if (scheduler.chance(0.3)) return;
      for (let n = Math.floor(scheduler.between(0, max)); n > 0; n--) {
        scheduler.at(scheduler.between(0, troubledMs - 1), trouble);
      }
    };
    let restore: (() => void) | undefined;
    some(30, () => model.evict(String(scheduler.pick(this.people))));
    some(3, () => model.evictRegistry());
    some(8, () => (restore = model.snapshot()));
    some(3, () => {
      this.restarts++;
      model.restart(scheduler.chance(0.5) ? restore : undefined);
      for (const instance of this.#instances) instance.wire?.break();
    });
    some(3, () => {
      this.isDown = true;
      scheduler.at(scheduler.between(100, 15_000), () => (this.isDown = false));
    });
    some(3, () => void scheduler.pick(this.#instances).leave());
  }

  async #violations(): Promise<readonly string[]> {
    const { scheduler, storage, model, people } = this;
    const violations: string[] = [];
    for (const [at, instance] of this.#instances.entries()) {
      for (const id of people) {
        const wanted = storage.get(id)?.version;
        const held = instance.held(id)?.version;
        if (held !== undefined && held !== wanted) violations.push(`first tier ${at} holds ${held}, not ${wanted}`);
        const reads: (number | undefined)[] = [];
        void instance.read(id).then((version) => reads.push(version));
        await scheduler.run(() => reads.length > 0, scheduler.nowMs + 60_000);
        if (reads.length === 0) violations.push(`instance ${at} is not answered`);
        else if (reads[0] !== wanted) violations.push(`instance ${at} reads ${reads[0]}, not ${wanted}`);
      }
    }
    for (const id of people) {
      const form = /^d (\S+) (\d+) /.exec(model.value(String(id)) ?? "");
      const version = storage.get(id)?.version ?? 0;
      if (form?.[1] === model.generation && Number(form?.[2]) !== version)
        violations.push(`the second tier holds ${form?.[2]}, not ${version}`);
    }
    return violations;
  }
}

interface Life {
  readonly process: Process;
  readonly memory: MemoryTier;
  readonly shared: Tiers;
  readonly works: Promise<unknown>[];
}

/** Where no sessions are. */
export function nothing(): Tier<string, Session> {
  const read = async (): Promise<ReadonlyMap<string, Session>> => new Map();
  return { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} };
}

/** One instance, life after life. */
class Instance {
  wire: Wire | undefined;
  readonly #world: TiersWorld;
  #life: Life | undefined;
  /** Senders that the earlier lives were, and this one. */
  readonly #lives: string[] = [];
  #hits = 0;

  constructor(world: TiersWorld) {
    this.#world = world;
  }

  boot(): void {
    const world = this.#world;
    const { scheduler, plant } = world;
    const process = new Process(scheduler, world.perils, () => {
      world.crashes++;
      this.#ended();
      scheduler.at(scheduler.between(100, 5_000), () => this.boot());
    });
    const wire = new Wire({
      scheduler,
      process,
      model: world.model,
      perils: () => world.wirePerils,
      isDown: () => world.isDown,
      isOrdered: world.isOrdered,
    });
    const { clock } = process;
    const server = plant.server?.(wire) ?? wire;
    const sender = world.name();
    // In half of the worlds nothing is remembered of them.
    if (!world.remembersLives) this.#lives.length = 0;
    const times = { ttlMs: 600_000, absentMs: 5_000, absentMax: 10 };
    const shared = createTiers({
      server,
      check: world.check,
      clock,
      newName: () => world.name(),
      sender,
      dead: [...this.#lives],
      limits: { ...linkLimits, debtsMax: world.debtsMax },
      users: { below: this.#storageOf(process), limits: { ...times, heldMax: scheduler.pick([1, 10]) } },
      sessions: { below: nothing(), limits: { ...times, heldMax: 1 } },
      onState: () => {},
      onKnown: () => this.#lives.splice(0, this.#lives.length - 1),
    });
    const memory = shared.users;
    if (plant.ignoresDoubts === true) Object.assign(memory, { doubt: () => {} });
    this.#lives.push(sender);
    this.wire = wire;
    this.#life = { process, memory, shared, works: [] };
    shared.start();
  }

  /** A stop in order, once all that is at work is done, and another start. */
  async leave(): Promise<void> {
    const life = this.#life;
    if (life === undefined) return;
    this.#ended();
    this.#world.scheduler.at(1_000, () => this.boot());
    await Promise.all(life.works);
    await life.shared.stop();
    life.process.end();
  }

  end(): number {
    this.#life?.process.end();
    this.#ended();
    return this.#hits;
  }

  held(id: UserId): User | undefined {
    return this.#life?.memory.held(id);
  }

  async read(id: UserId): Promise<number | undefined> {
    return (await this.#life?.memory.read([id]))?.get(id)?.version;
  }

  work(kind: "read" | "write" | "reward" | "fresh", id: UserId): void {
    const life = this.#life;
    if (life === undefined) return;
    const { memory } = life;
    const ends: Readonly<Record<typeof kind, () => Promise<unknown>>> = {
      read: async () => memory.held(id) ?? memory.read([id]),
      write: () => this.#write(life.process, memory, id),
      reward: () => this.#reward(life.process, memory, id),
      fresh: () => memory.readFresh([id]),
    };
    life.works.push(ends[kind]());
  }

  async #write(process: Process, memory: MemoryTier, id: UserId): Promise<void> {
    const { storage, scheduler, plant } = this.#world;
    const before = memory.held(id) ?? (await memory.read([id])).get(id);
    const next = userOf(id, (before?.version ?? 0) + 1);
    const end = await process.io(() => {
      if ((storage.get(id)?.version ?? 0) !== next.version - 1) return "conflict";
      storage.set(id, next);
      return scheduler.chance(0.1) ? "unknown" : "stored";
    });
    if (end === "stored" && plant.onlyForgets !== true) memory.stored([next]);
    else memory.forget([id]);
    if (end === "conflict") await memory.readFresh([id]);
  }

  /** Storage changes the user by itself; nobody learns the version. */
  async #reward(process: Process, memory: MemoryTier, id: UserId): Promise<void> {
    const { storage } = this.#world;
    await process.io(() => {
      const before = storage.get(id);
      if (before !== undefined) storage.set(id, userOf(id, before.version + 1));
    });
    memory.forget([id]);
  }

  #storageOf(process: Process): Tier {
    const { storage } = this.#world;
    const read: Tier["read"] = (ids) =>
      process.io(() => {
        const found = new Map<UserId, User>();
        for (const id of ids) {
          const user = storage.get(id);
          if (user !== undefined) found.set(id, user);
        }
        return found;
      });
    return { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} };
  }

  #ended(): void {
    this.#hits += this.#life?.shared.stats().hits ?? 0;
    this.#life = undefined;
    this.wire = undefined;
  }
}
