/** One instance of the simulation of sessions: its durable inbox outlives the lives of its process. */
import { type Attempt, createAttemptScope } from "../../src/attempts.ts";
import { createSessionTier } from "../../src/cache/sessions.ts";
import { createStorageTier } from "../../src/cache/storage.ts";
import { type Clock, sleep } from "../../src/clock.ts";
import { toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import type { SessionStorage } from "../../src/sessions/port.ts";
import { createSessions } from "../../src/sessions/sessions.ts";
import type { Session, SessionStore } from "../../src/storage/session-store.ts";
import { fakeAttempt } from "../support/fake-attempt.ts";
import { type Perils, Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

export const bot = toBotId(7);
export const shared = "shared";

export type Act = "count" | "show" | "clear" | "count_shared";

export interface PlannedUpdate {
  readonly partition: number;
  readonly lane: number;
  readonly act: Act;
  /** What its handler found, each time it ended well. */
  readonly found: number[];
}

/** The world, as an instance sees it. */
export interface SessionsSurroundings {
  readonly scheduler: Scheduler;
  readonly perils: Perils;
  /** A planted bug: an update is settled before its write is stored. */
  readonly settlesEarly: boolean;
  storeOf(process: Process): SessionStore;
  crashed(): void;
}

interface Life {
  readonly process: Process;
  readonly storage: SessionStorage<number>;
  readonly clock: Clock;
  /** Handled in this life, in whose inbox they may stand a while yet. */
  readonly done: Set<number>;
  /** Lanes at work. */
  readonly busy: Set<number>;
}

interface Entry {
  readonly seq: number;
  readonly update: PlannedUpdate;
}

/** One instance: its durable inbox outlives the lives of its process. */
export class InstanceOfSessions {
  /** In the order of their seq. */
  unsettled: Entry[] = [];
  private readonly partition: number;
  private readonly world: SessionsSurroundings;
  private nextSeq = 1;
  private life: Life | undefined;
  private readonly scope = createAttemptScope();
  /** Settles become durable one after the other. */
  private settling: Promise<void> = Promise.resolve();

  constructor(partition: number, world: SessionsSurroundings) {
    this.partition = partition;
    this.world = world;
  }

  deliver(update: PlannedUpdate): void {
    this.unsettled.push({ seq: this.nextSeq++, update });
    this.pump();
  }

  boot(): void {
    const { scheduler, perils } = this.world;
    const process = new Process(scheduler, perils, () => {
      this.world.crashed();
      this.life = undefined;
      scheduler.at(scheduler.between(100, 5_000), () => this.boot());
    });
    const { clock } = process;
    const store = this.world.storeOf(process);
    const below = createStorageTier<string, Session>({
      store: { read: (keys) => store.readSessions(keys) },
      group: true,
      readMax: 100,
    });
    let made = 0;
    const sessions = createSessions({
      store,
      tier: createSessionTier({
        below,
        clock,
        limits: { heldMax: 3, ttlMs: 600_000, absentMs: 5_000, absentMax: 10 },
      }),
      scope: this.scope,
      clock,
      random: scheduler.random,
      isOwn: (partition) => partition === this.partition,
      limits: {
        groupMaxMs: 2,
        groupMaxSessions: 2,
        valueMaxChars: 100,
        keyMaxChars: 100,
        pastCheckAt: 3,
        pastMax: 64,
        othersMaxMs: 24 * 3_600_000,
        conflictFirstMs: 2,
        conflictCapMs: 200,
        sweepMs: 60_000,
        sweepMaxSessions: 2,
      },
      log: { debug: () => {} },
      newWriter: () => `${this.partition}-${scheduler.steps}-${made++}`,
      settled: {
        below: (partition) => toSeq(partition === this.partition ? (this.unsettled[0]?.seq ?? this.nextSeq) : 0),
        unsettled: (partition, seqs) =>
          process.io(() => new Set(partition === this.partition ? seqs.filter((seq) => this.isUnsettled(seq)) : seqs)),
      },
    });
    this.settling = Promise.resolve();
    this.life = { process, storage: sessions.of<number>(bot), clock, done: new Set(), busy: new Set() };
    sessions.start();
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
      const { lane } = entry.update;
      if (life.done.has(entry.seq) || life.busy.has(lane)) continue;
      life.busy.add(lane);
      void this.handle(life, entry);
    }
  }

  /** Until the update is settled, or the process dies. The lane goes on before that is durable. */
  private async handle(life: Life, { seq, update }: Entry): Promise<void> {
    const { scheduler, settlesEarly } = this.world;
    const { process, storage, clock } = life;
    for (;;) {
      const found = this.scope.run(this.attempt(seq, update), () => handled(storage, update, process));
      if (settlesEarly) {
        found.then((value) => update.found.push(value)).catch(() => {});
        break;
      }
      const isDone = await found.then(
        (value) => {
          update.found.push(value);
          // A handler that fails after its write: the same update is run again.
          return scheduler.chance(0.9);
        },
        () => false,
      );
      if (isDone) break;
      await sleep(clock, scheduler.between(100, 3_000));
    }
    life.done.add(seq);
    life.busy.delete(update.lane);
    this.settling = this.settling.then(() =>
      process.io(() => {
        this.unsettled = this.unsettled.filter((entry) => entry.seq !== seq);
      }),
    );
    this.pump();
  }

  private attempt(seq: number, { lane }: PlannedUpdate): Attempt {
    return fakeAttempt(seq, { bot, partition: this.partition, lane: toLaneKey(lane) });
  }
}

/** As grammY's `session` does: read, handle, write. */
async function handled(
  storage: SessionStorage<number>,
  { act, lane }: PlannedUpdate,
  process: Process,
): Promise<number> {
  const key = act === "count_shared" ? shared : String(lane);
  const found = (await storage.read(key)) ?? 0;
  await process.io(() => {});
  if (act === "clear") await storage.delete(key);
  else if (act !== "show") await storage.write(key, found + 1);
  else if (found > 0) await storage.write(key, found);
  return found;
}
