/**
 * One seeded run: two processes with an inbox each, lanes that do not wait for their settles to be durable, and a store of sessions that loses
 * calls and answers, while the processes crash and start again. Updates count in a session of their lane, show it, delete it, or count in one
 * that all lanes share.
 */
import { Fault } from "../../src/faults.ts";
import { MemorySessionStore } from "../../src/storage/memory-sessions.ts";
import type { SessionStore } from "../../src/storage/session-store.ts";
import type { Process } from "./process.ts";
import { Scheduler } from "./scheduler.ts";
import { bot, InstanceOfSessions, type PlannedUpdate, type SessionsSurroundings, shared } from "./sessions-instance.ts";

const troubledMs = 60_000;
const restMaxMs = 600_000;

export interface SessionsPlant {
  readonly store?: (store: SessionStore) => Partial<SessionStore>;
  readonly settlesEarly?: boolean;
}

export interface SessionsReport {
  readonly violations: readonly string[];
  readonly crashes: number;
  /** Updates whose handler ended well more than once. */
  readonly repeated: number;
}

export function runSessionsWorld(seed: number, plant: SessionsPlant = {}): Promise<SessionsReport> {
  return new SessionsWorld(seed, plant).run();
}

class SessionsWorld implements SessionsSurroundings {
  readonly scheduler: Scheduler;
  readonly settlesEarly: boolean;
  readonly perils: { crash: number; stepMaxMs: number };
  readonly updates: PlannedUpdate[] = [];
  private readonly plant: SessionsPlant;
  private readonly durable = new MemorySessionStore();
  private readonly instances: readonly InstanceOfSessions[];
  private crashes = 0;
  private isFailing = false;

  constructor(seed: number, plant: SessionsPlant) {
    this.scheduler = new Scheduler(seed);
    this.plant = plant;
    this.settlesEarly = plant.settlesEarly === true;
    const { scheduler } = this;
    this.perils = { crash: scheduler.between(0, 0.06), stepMaxMs: scheduler.between(1, 20) };
    this.instances = [0, 1].map((partition) => new InstanceOfSessions(partition, this));
  }

  async run(): Promise<SessionsReport> {
    const { scheduler, instances } = this;
    for (let n = 10 + Math.floor(scheduler.between(0, 30)); n > 0; n--) this.plan();
    for (let n = Math.floor(scheduler.between(0, 4)); n > 0; n--) {
      scheduler.at(scheduler.between(0, troubledMs * 0.8), () => {
        this.isFailing = true;
        scheduler.at(scheduler.between(100, 10_000), () => (this.isFailing = false));
      });
    }
    scheduler.at(troubledMs, () => {
      this.isFailing = false;
      this.perils.crash = 0;
    });
    for (const instance of instances) instance.boot();
    const isQuiet = (): boolean =>
      scheduler.nowMs >= troubledMs && instances.every(({ unsettled }) => unsettled.length === 0);
    const isAtRest = await scheduler.run(isQuiet, troubledMs + restMaxMs);
    // Deleted sessions are looked for every minute.
    await scheduler.run(() => false, scheduler.nowMs + 130_000);
    for (const instance of instances) instance.end();
    const violations = isAtRest ? this.violations() : ["it never came to rest"];
    const repeated = this.updates.filter(({ found }) => found.length > 1).length;
    return { violations, crashes: this.crashes, repeated };
  }

  crashed(): void {
    if (++this.crashes >= 8) this.perils.crash = 0;
  }

  /** The store as one process reaches it. */
  storeOf(process: Process): SessionStore {
    const { durable, scheduler, plant } = this;
    const planted: SessionStore = { ...bound(durable), ...plant.store?.(durable) };
    const reach = <T>(effect: () => Promise<T>): Promise<T> =>
      process.io(async () => {
        if (this.isFailing && scheduler.chance(0.5)) throw new Fault("unavailable", "storage is down");
        const result = await effect();
        if (this.isFailing) throw new Fault("unavailable", "the answer was lost", { effect: "unknown" });
        return result;
      });
    return {
      readSessions: (keys) => reach(() => planted.readSessions(keys)),
      writeSessions: (writes, writer) => reach(() => planted.writeSessions(writes, writer)),
      emptied: (after, max) => reach(() => planted.emptied(after, max)),
      removeSessions: (sessions) => reach(() => planted.removeSessions(sessions)),
    };
  }

  private plan(): void {
    const { scheduler, instances, updates } = this;
    const partition = Math.floor(scheduler.between(0, 2));
    const act = scheduler.pick(["count", "count", "count", "show", "clear", "count_shared"] as const);
    const lane = partition * 10 + Math.floor(scheduler.between(0, 3));
    const atMs = scheduler.chance(0.5)
      ? scheduler.between(0, troubledMs)
      : Math.floor(scheduler.between(0, 3)) * 20_000;
    const update: PlannedUpdate = { partition, lane, act, found: [] };
    scheduler.at(atMs, () => {
      updates.push(update);
      instances[partition]?.deliver(update);
    });
  }

  /** By the order in which the updates came, which is that of their lanes. */
  private violations(): string[] {
    const violations: string[] = [];
    const counts = new Map<number, number>();
    for (const { lane, act, found } of this.updates) {
      if (act === "count_shared") continue;
      const should = counts.get(lane) ?? 0;
      if (found.some((each) => each !== should))
        violations.push(`lane ${lane}: ${act} found ${found.join()}, not ${should}`);
      if (act !== "show") counts.set(lane, act === "count" ? should + 1 : 0);
    }
    for (const [lane, should] of counts) {
      const session = this.durable.sessions.get(`${bot}::${lane}`);
      if (Number(session?.value ?? 0) !== should) violations.push(`lane ${lane} has ${session?.value}, not ${should}`);
      if (session !== undefined && session.value === undefined)
        violations.push(`lane ${lane} is kept though it is empty`);
    }
    const sharing = this.updates.filter((update) => update.act === "count_shared");
    const total = Number(this.durable.sessions.get(`${bot}::${shared}`)?.value ?? 0);
    if (total !== sharing.length) violations.push(`the shared one has ${total}, not ${sharing.length}`);
    const places = sharing.map(({ found }) => (new Set(found).size === 1 ? found[0] : -1));
    if (new Set(places).size !== sharing.length) violations.push(`the shared one was found at ${places.join()}`);
    return violations;
  }
}

function bound(store: SessionStore): SessionStore {
  return {
    readSessions: (keys) => store.readSessions(keys),
    writeSessions: (writes, writer) => store.writeSessions(writes, writer),
    emptied: (after, max) => store.emptied(after, max),
    removeSessions: (sessions) => store.removeSessions(sessions),
  };
}
