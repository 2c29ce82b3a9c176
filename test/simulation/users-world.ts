/**
 * Two instances of botfleet's users over one storage, on virtual time: each works off the updates of two bots of its own, all write the same
 * people, either may crash between any two steps and starts again with what it had not settled, storage fails and loses answers. Longer than other files because a world is one thing.
 */
import { limits } from "../../config/limits.ts";
import { type Attempt, createAttemptScope } from "../../src/attempts.ts";
import { createCodeTier } from "../../src/cache/codes.ts";
import { createMemoryTier } from "../../src/cache/memory.ts";
import { createStorageTier } from "../../src/cache/storage.ts";
import type { Tier } from "../../src/cache/tier.ts";
import { createTiers } from "../../src/cache/tiers.ts";
import { type Clock, sleep } from "../../src/clock.ts";
import { Fault } from "../../src/faults.ts";
import { type BotId, toBotId, toLaneKey, toSeq, toUserId } from "../../src/ids.ts";
import { createMemoryUserStore, type MemoryUserStore } from "../../src/storage/memory.ts";
import type { UserStore } from "../../src/storage/store.ts";
import type { Operation } from "../../src/users/operations.ts";
import { createUserCheck } from "../../src/users/check-user.ts";
import { createRepository, type Repository } from "../../src/users/repository.ts";
import { fakeAttempt } from "../support/fake-attempt.ts";
import { forwardStore } from "../support/forward-store.ts";
import { ModelCache } from "../support/model-cache.ts";
import { Process, type Perils } from "./process.ts";
import { Scheduler } from "./scheduler.ts";
import { calm, Wire, type WirePerils } from "./tiers-wire.ts";
import { nothing } from "./tiers-world.ts";
import { type PlannedUpdate, UsersOracle } from "./users-oracle.ts";

/** Where a planted bug takes hold: each wraps what the parts are given, none changes the parts. */
export interface UsersPlant {
  readonly store?: (store: UserStore, durable: MemoryUserStore) => UserStore;
  /** The update is settled while its change is still on its way. */
  readonly settlesEarly?: boolean;
}

export interface UsersReport {
  readonly seed: number;
  readonly violations: readonly string[];
  readonly crashes: number;
  readonly updates: number;
}

const dayMs = 86_400_000;
const troubledMs = 60_000;
const restMaxMs = 30 * 60_000;

export async function runUsersWorld(seed: number, plant: UsersPlant = {}): Promise<UsersReport> {
  return new UsersWorld(seed, plant).run();
}

class UsersWorld {
  readonly scheduler: Scheduler;
  readonly durable = createMemoryUserStore();
  readonly oracle: UsersOracle;
  readonly plant: UsersPlant;
  readonly changeLimits;
  readonly perils: Perils;
  readonly model: ModelCache | undefined;
  readonly wires: Wire[] = [];
  readonly wirePerils: WirePerils;
  readonly check = createUserCheck();
  names = 0;
  isFailing = false;
  crashes = 0;
  private readonly seed: number;
  private readonly instances: readonly InstanceOfUsers[];
  private crashesLeft: number;

  constructor(seed: number, plant: UsersPlant) {
    this.seed = seed;
    this.plant = plant;
    this.scheduler = new Scheduler(seed);
    const { scheduler } = this;
    this.oracle = new UsersOracle(this.durable);
    const { users } = limits;
    this.changeLimits = scheduler.chance(0.5)
      ? users
      : { ...users, appliedCheckAt: 2, appliedMax: 12, groupMaxUsers: 2, writesMax: scheduler.pick([1, 3]) };
    this.crashesLeft = Math.floor(scheduler.between(0, 6));
    this.perils = { crash: scheduler.between(0, 0.04), stepMaxMs: scheduler.between(1, 20) };
    const some = (): number => scheduler.pick([0, 0.05]);
    this.wirePerils = { ...calm, lost: some(), late: some(), unanswered: some(), cut: some(), dropped: some() };
    if (scheduler.chance(0.5)) {
      const times = { ttlMs: 86_400_000, absentMs: 5_000, leaseMs: 10_000, lostMs: 10_000 };
      this.model = new ModelCache(times, () => scheduler.nowMs);
      this.model.onPublish = (text) => {
        for (const wire of this.wires) wire.hear(text);
      };
    }
    this.instances = [0, 1].map((partition) => new InstanceOfUsers(partition, this));
  }

  async run(): Promise<UsersReport> {
    const { scheduler } = this;
    this.planUpdates();
    for (let n = Math.floor(scheduler.between(0, 4)); n > 0; n--) {
      scheduler.at(scheduler.between(0, troubledMs * 0.8), () => this.breakStorage());
    }
    scheduler.at(troubledMs, () => {
      this.isFailing = false;
      this.perils.crash = 0;
    });
    for (const instance of this.instances) instance.boot();
    const isQuiet = (): boolean =>
      scheduler.nowMs >= troubledMs && this.instances.every(({ unsettled }) => unsettled.length === 0);
    const isAtRest = await scheduler.run(isQuiet, troubledMs + restMaxMs);
    // What is owed is swept within a minute and a half.
    await scheduler.run(() => this.oracle.owed() === 0, scheduler.nowMs + 120_000);
    for (const instance of this.instances) instance.end();
    const violations = this.oracle.violations(isAtRest);
    return { seed: this.seed, violations, crashes: this.crashes, updates: this.oracle.updates.size };
  }

  /** In half of the worlds a second tier lies between, over a wire that loses calls and messages as storage fails. */
  tiersOver(below: Tier, process: Process, partition: number): Tier {
    const { scheduler, model } = this;
    const { clock } = process;
    const tierLimits = { heldMax: 3, ttlMs: 600_000, absentMs: 5_000, absentMax: 10 };
    if (model === undefined) return createMemoryTier({ below, clock, limits: tierLimits });
    const wire = new Wire({
      scheduler,
      process,
      model,
      perils: () => (scheduler.nowMs < troubledMs ? this.wirePerils : calm),
      isDown: () => false,
      isOrdered: true,
    });
    this.wires[partition] = wire;
    const tiers = createTiers({
      server: wire,
      check: this.check,
      clock,
      newName: () => `n${(this.names++).toString(36)}`,
      sender: `s${(this.names++).toString(36)}`,
      dead: [],
      limits: { beatMs: 1_000, silentMs: 3_000, failuresMax: 3, debtsMax: 2, groupMax: 10, sendersMax: 8 },
      users: { below, limits: tierLimits },
      sessions: { below: nothing(), limits: tierLimits },
      onState: () => {},
      onKnown: () => {},
    });
    tiers.start();
    return tiers.users;
  }

  crashed(): void {
    this.crashes++;
    if (--this.crashesLeft <= 0) this.perils.crash = 0;
  }

  private breakStorage(): void {
    this.isFailing = true;
    this.scheduler.at(this.scheduler.between(100, 20_000), () => (this.isFailing = false));
  }

  private planUpdates(): void {
    const { scheduler, oracle } = this;
    const people = 2 + Math.floor(scheduler.between(0, 4));
    const count = 15 + Math.floor(scheduler.between(0, 40));
    for (let n = 0; n < count; n++) {
      const partition = Math.floor(scheduler.between(0, 2));
      const bot = toBotId(1 + partition * 2 + Math.floor(scheduler.between(0, 2)));
      const user = toUserId(1 + Math.floor(scheduler.between(0, people)));
      const atMs = scheduler.chance(0.5)
        ? scheduler.between(0, troubledMs)
        : Math.floor(scheduler.between(0, 6)) * 10_000;
      scheduler.at(atMs, () => {
        // Some have waited for days.
        const days = Math.floor(scheduler.between(0, 3));
        const receivedAt = 1_700_000_000_000 + scheduler.nowMs - days * dayMs;
        const update: PlannedUpdate = {
          key: n,
          partition,
          bot,
          user,
          receivedAt,
          operation: this.operation(bot, people),
        };
        oracle.planned(update);
        this.instances[partition]?.deliver(update);
      });
    }
  }

  private operation(bot: BotId, people: number): Operation {
    const { scheduler } = this;
    const kind = scheduler.pick([
      "register",
      "register",
      "daily",
      "daily",
      "daily",
      "set_wallet",
      "set_bot_state",
    ] as const);
    switch (kind) {
      case "register": {
        const referrer = toUserId(1 + Math.floor(scheduler.between(0, people)));
        // As the bot finds them: a referrer has registered before whom he brings.
        const isKnown = this.durable.users.has(referrer);
        return { kind, bot, profile: { firstName: "P" }, ...(isKnown ? { referrer } : {}) };
      }
      case "daily":
        return { kind };
      case "set_wallet":
        return { kind, wallet: `w${Math.floor(scheduler.between(0, 3))}` };
      case "set_bot_state":
        return { kind, bot, state: scheduler.pick(["active", "blocked"] as const) };
    }
  }

  /** Storage as one process reaches it: each call takes time, and may be lost on either way. */
  storeOf(process: Process): UserStore {
    const { durable, oracle, scheduler, plant } = this;
    const reach = <T>(effect: () => Promise<T>): Promise<T> =>
      process.io(async () => {
        if (this.isFailing && scheduler.chance(0.5)) throw new Fault("unavailable", "storage is down");
        const result = await effect();
        if (this.isFailing) throw new Fault("unavailable", "the answer was lost");
        return result;
      });
    const planted = plant.store?.(durable, durable) ?? durable;
    return forwardStore(planted, {
      read: (ids) => reach(() => planted.read(ids)),
      write: (writes, writer) =>
        reach(async () => {
          const before = writes.map(({ user }) => durable.users.get(user.telegramId));
          const written = await planted.write(writes, writer);
          for (const [at, { user }] of writes.entries()) if (written[at] === "stored") oracle.stored(before[at], user);
          return written;
        }),
      reward: (referees, points, at) => reach(() => planted.reward(referees, points, at)),
      idOfCode: (code) => reach(() => planted.idOfCode(code)),
      owedSince: (before, max) => reach(() => planted.owedSince(before, max)),
    });
  }
}

/** One instance: its durable inbox outlives the lives of its process. */
class InstanceOfUsers {
  /** In the order of their seq. */
  unsettled: { readonly seq: number; readonly update: PlannedUpdate }[] = [];
  private readonly partition: number;
  private readonly world: UsersWorld;
  private nextSeq = 1;
  private life: { readonly process: Process; readonly repository: Repository; readonly clock: Clock } | undefined;
  private readonly scope = createAttemptScope();
  /** Lanes at work in this life, by `laneOf`. */
  private busy = new Set<string>();
  /** Handled in this life, by seq: they stand in the inbox until their settle is durable. */
  private done = new Set<number>();
  /** Settles become durable one after the other. */
  private settling: Promise<void> = Promise.resolve();

  constructor(partition: number, world: UsersWorld) {
    this.partition = partition;
    this.world = world;
  }

  deliver(update: PlannedUpdate): void {
    this.unsettled.push({ seq: this.nextSeq++, update });
    this.pump();
  }

  boot(): void {
    const { scheduler, perils, changeLimits } = this.world;
    const process = new Process(scheduler, perils, () => {
      this.world.crashed();
      this.life = undefined;
      scheduler.at(scheduler.between(100, 5_000), () => this.boot());
    });
    const { clock } = process;
    const store = this.world.storeOf(process);
    const below = createStorageTier({ store, group: true, readMax: 100 });
    const tier = this.world.tiersOver(below, process, this.partition);
    const codes = createCodeTier({ store, clock, limits: { codesMax: 10, absentMs: 1_000, absentMax: 10 } });
    let made = 0;
    const repository = createRepository({
      store,
      tier,
      codes,
      scope: this.scope,
      clock,
      random: scheduler.random,
      limits: changeLimits,
      log: { debug: () => {}, error: () => {} },
      // Few enough that they meet.
      newCode: () => `code${Math.floor(scheduler.between(0, 20))}`,
      newWriter: () => `${this.partition}-${scheduler.steps}-${made++}`,
      isOwn: (partition) => partition === this.partition,
      settled: {
        below: (partition) => toSeq(partition === this.partition ? (this.unsettled[0]?.seq ?? this.nextSeq) : 0),
        unsettled: (partition, seqs) =>
          process.io(() => new Set(partition === this.partition ? seqs.filter((seq) => this.isUnsettled(seq)) : seqs)),
      },
    });
    this.busy = new Set();
    this.done = new Set();
    this.settling = Promise.resolve();
    this.life = { process, repository, clock };
    repository.start();
    this.pump();
  }

  end(): void {
    this.life?.process.end();
  }

  private isUnsettled(wanted: number): boolean {
    return this.unsettled.some(({ seq }) => seq === wanted);
  }

  private pump(): void {
    const { life } = this;
    if (life === undefined) return;
    for (const entry of this.unsettled) {
      const lane = laneOf(entry.update);
      if (this.busy.has(lane) || this.done.has(entry.seq)) continue;
      this.busy.add(lane);
      void this.handle(life, entry);
    }
  }

  /** Until the update is settled, or the process dies. Its lane goes on before that is durable. */
  private async handle(
    life: NonNullable<InstanceOfUsers["life"]>,
    { seq, update }: { readonly seq: number; readonly update: PlannedUpdate },
  ): Promise<void> {
    const { oracle, scheduler, plant } = this.world;
    const { process, repository, clock } = life;
    for (;;) {
      const change = this.scope.run(this.attempt(seq, update), () => repository.change(update.user, update.operation));
      let isDone = true;
      if (plant.settlesEarly === true) change.catch(() => {});
      else {
        isDone = await change.then(
          (outcome) => {
            oracle.answered(update, outcome);
            // A handler that fails after its operation: the same update is run again.
            return scheduler.chance(0.9);
          },
          () => false,
        );
      }
      if (isDone) break;
      await sleep(clock, scheduler.between(100, 3_000));
    }
    this.done.add(seq);
    this.busy.delete(laneOf(update));
    this.settling = this.settling.then(() =>
      process.io(() => {
        this.unsettled = this.unsettled.filter((entry) => entry.seq !== seq);
      }),
    );
    this.pump();
  }

  /** It remembers nothing: that a replay takes effect once is the users' own business here. */
  private attempt(seq: number, { bot, key, user, receivedAt }: PlannedUpdate): Attempt {
    const { partition } = this;
    return fakeAttempt(seq, { bot, partition, updateId: key, lane: toLaneKey(user), receivedAt });
  }
}

/** The private chat of somebody with one bot. */
function laneOf({ bot, user }: PlannedUpdate): string {
  return `${bot} ${user}`;
}
