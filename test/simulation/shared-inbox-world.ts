/**
 * Several instances over one inbox in a model of Redis, on virtual time: calls are late, lost, or done after they were given up; messages
 * are lost; bots and partitions change hands while the old owner goes on as if nothing had happened; instances die. Longer than most files because a
 * world is one thing.
 */
import { createInbox } from "../../src/inbox/front.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { partitionOfLane, partitionOfSeq } from "../../src/inbox/partitions.ts";
import type { Group } from "../../src/inbox/store.ts";
import { sleep } from "../../src/clock.ts";
import { Fault } from "../../src/faults.ts";
import { type BotId, toBotId, toLaneKey } from "../../src/ids.ts";
import { message } from "../contract/inbox.ts";
import { inboxLimits } from "../inbox/limits.ts";
import { Process } from "./process.ts";
import { Wires } from "./redis-wires.ts";
import { Scheduler } from "./scheduler.ts";
import { SharedStore } from "./shared-store.ts";

export interface SharedPlant {
  /** Whether Redis takes `given` for `present`. */
  readonly isSame?: (given: string, present: string) => boolean;
  readonly deduplicate?: boolean;
  /** Nobody is told what others append, and nobody looks. */
  readonly isDeaf?: boolean;
}

export interface SharedReport {
  readonly violations: readonly string[];
  readonly moves: number;
  readonly crashes: number;
  readonly fenced: number;
  readonly late: number;
}

const troubledMs = 30_000;
const restMaxMs = 120_000;
const bots = [toBotId(7_000_000_001), toBotId(42)];
const updatesPerBot = 60;
const chats = 4;
const losses = { lost: 1 / 7, unanswered: 1 / 7, late: 1 / 7 };

export async function runShared(seed: number, plant: SharedPlant = {}): Promise<SharedReport> {
  return new SharedWorld(seed, plant).run();
}

interface Owned {
  token: string;
  /** Who has it: the old owner is told late. */
  isKnown: boolean;
}

class SharedWorld {
  private readonly scheduler: Scheduler;
  private readonly partitions: number;
  private readonly wires: Wires;
  private readonly store: SharedStore;
  private readonly tokens = new Map<string, string>();
  private readonly owned = new Map<string, Owned>();
  private readonly instances: { process: Process; inbox: Inbox }[] = [];
  private readonly perils;
  /** Last id that Telegram was told to forget, by bot; ids up to `written` there are. */
  private readonly confirmed = new Map<BotId, number>();
  private readonly written = new Map<BotId, number>();
  private readonly handled = new Map<string, Set<string>>();
  private readonly lastFirst = new Map<string, number>();
  private readonly settled = new Set<string>();
  private readonly violations: string[] = [];
  private isTroubled = true;
  private epoch = 0;
  private moves = 0;
  private crashes = 0;
  private fenced = 0;

  constructor(seed: number, plant: SharedPlant) {
    this.scheduler = new Scheduler(seed);
    this.partitions = this.scheduler.pick([1, 2, 3]);
    this.perils = { crash: 0, stepMaxMs: this.scheduler.between(1, 20) };
    const { scheduler, partitions } = this;
    this.wires = new Wires({ scheduler, callMaxMs: 5_000, lateMaxMs: 3_000, outlives: 0 });
    this.wires.losses = { write: losses, read: { lost: 0.05, unanswered: 0, late: 0 } };
    this.store = new SharedStore({
      scheduler,
      wires: this.wires,
      partitions,
      limits: inboxLimits,
      deduplicate: plant.deduplicate ?? true,
      present: (name) => this.tokens.get(name) ?? "",
      isSame: plant.isSame ?? ((given, present) => given === present),
      isDeaf: plant.isDeaf ?? false,
      messageLoss: () => (this.isTroubled ? 0.3 : 0),
      onWriting: ({ done }) => done.forEach((seq) => this.noteEnd(seq)),
    });
  }

  async run(): Promise<SharedReport> {
    const { scheduler } = this;
    for (let n = 2 + Math.floor(scheduler.between(0, 2)); n > 0; n--) this.instances.push(this.boot());
    for (const bot of bots) {
      for (let id = 1; id <= updatesPerBot; id++) {
        scheduler.at(scheduler.between(0, troubledMs), () => this.written.set(bot, (this.written.get(bot) ?? 0) + 1));
      }
    }
    for (const key of this.keys()) this.move(key);
    for (let n = Math.floor(scheduler.between(2, 10)); n > 0; n--) {
      scheduler.at(scheduler.between(0, troubledMs), () => this.move(scheduler.pick(this.keys())));
    }
    for (let n = Math.floor(scheduler.between(0, 3)); n > 0; n--) {
      scheduler.at(scheduler.between(0, troubledMs), () => this.crash(scheduler.pick(this.instances)));
    }
    scheduler.at(troubledMs, () => {
      this.isTroubled = false;
      this.wires.mend();
    });
    const isAtRest = (): boolean => !this.isTroubled && this.store.durable.entries.size === 0 && this.isConfirmed();
    if (!(await scheduler.run(isAtRest, troubledMs + restMaxMs, 400_000))) {
      this.violations.push(`${this.store.durable.entries.size} updates are still in the inbox`);
    }
    for (const bot of bots) {
      for (let id = 1; id <= updatesPerBot; id++) {
        if (!this.handled.has(`${bot}/${id}`)) this.violations.push(`update ${bot}/${id} was never handled`);
      }
    }
    for (const { process } of this.instances) process.end();
    const { violations, moves, crashes, fenced } = this;
    const { late } = this.store;
    return { violations, moves, crashes, fenced, late };
  }

  private keys(): string[] {
    return [...bots.map((bot) => `b${bot}`), ...Array.from({ length: this.partitions }, (_, at) => `p${at}`)];
  }

  private isConfirmed(): boolean {
    return bots.every((bot) => this.confirmed.get(bot) === updatesPerBot);
  }

  private boot(): { process: Process; inbox: Inbox } {
    const process = new Process(this.scheduler, this.perils, () => {});
    const handoverMaxEntries = this.scheduler.pick([1, 3, 1_000]);
    const limits = { ...inboxLimits, handoverMaxEntries, writeRetryMs: 100 };
    const { partitions } = this;
    const inbox = createInbox({ store: this.store.connect(process), partitions, clock: process.clock, limits });
    return { process, inbox };
  }

  private crash(instance: { process: Process; inbox: Inbox }): void {
    this.crashes++;
    instance.process.end();
    Object.assign(instance, this.boot());
    for (const key of this.keys()) if (this.scheduler.chance(0.7)) this.move(key);
    // Whatever it had is taken over by somebody, sooner or later.
    this.scheduler.at(5_000, () => this.keys().forEach((key) => this.move(key)));
  }

  /** Somebody, perhaps the same, gets it; who had it hears of that later. The epoch may be the old one: Redis lost the last one. */
  private move(key: string): void {
    const { scheduler } = this;
    this.moves++;
    if (!scheduler.chance(0.3)) this.epoch++;
    const before = this.owned.get(key);
    if (before !== undefined) scheduler.at(scheduler.between(0, 5_000), () => (before.isKnown = false));
    const owned = { token: `${this.epoch}:${scheduler.between(0, 1)}`, isKnown: true };
    this.owned.set(key, owned);
    this.tokens.set(key, owned.token);
    const { inbox, process } = scheduler.pick(this.instances);
    if (key.startsWith("b")) void this.poll(toBotId(Number(key.slice(1))), owned, inbox, process);
    else void this.work(Number(key.slice(1)), owned, inbox, process);
  }

  private async poll(bot: BotId, owned: Owned, inbox: Inbox, process: Process): Promise<void> {
    const claim = { bot, token: owned.token, valid: () => owned.isKnown, lost: () => !owned.isKnown };
    while (owned.isKnown && !process.isDead) {
      const from = (this.confirmed.get(bot) ?? 0) + 1;
      const to = Math.min(from + 3, this.written.get(bot) ?? 0);
      if (to >= from) {
        const batch = Array.from({ length: to - from + 1 }, (_, at) => message(from + at, (from + at) % chats));
        try {
          await inbox.append(claim, batch);
          this.confirmed.set(bot, Math.max(to, this.confirmed.get(bot) ?? 0));
        } catch (error) {
          if (error instanceof Fault && error.code === "inbox_fenced") return;
        }
      }
      await sleep(process.clock, this.scheduler.between(10, 600));
    }
  }

  private async work(number: number, owned: Owned, inbox: Inbox, process: Process): Promise<void> {
    const claim = { partition: number, token: owned.token, valid: () => owned.isKnown, lost: () => !owned.isKnown };
    const partition = await inbox.open(claim).catch(() => undefined);
    if (partition === undefined) return;
    for (;;) {
      // Fenced: whoever has it goes on.
      const entries = await partition.next(4).catch(() => []);
      if (entries.length === 0) return;
      const missing = entries.filter(({ body }) => body === undefined).map(({ seq }) => seq);
      const bodies = missing.length === 0 ? new Map() : await partition.bodies(missing).catch(() => new Map());
      for (const entry of entries) {
        const body = entry.body ?? bodies.get(entry.seq);
        if (body === undefined) continue;
        const key = `${entry.bot}/${body.updateId}`;
        this.handle(key, `${entry.bot}/${String(entry.lane)}`, body.updateId, number, owned.token);
        await sleep(process.clock, this.scheduler.between(0, 50));
        void partition.settle(entry.seq, { kind: "done", how: "handled" }).then(
          () => this.settled.add(key),
          () => this.fenced++,
        );
      }
    }
  }

  /** What an owner does that has lost its claim without knowing counts for nothing. */
  private handle(key: string, lane: string, id: number, partition: number, token: string): void {
    if (this.tokens.get(`p${partition}`) !== token) return;
    if (this.settled.has(key)) this.violations.push(`${key} came again after it was settled`);
    const by = this.handled.get(key);
    if (by?.has(token) === true) this.violations.push(`${key} was handed out twice under one claim`);
    if (by === undefined) {
      if ((this.lastFirst.get(lane) ?? 0) > id) this.violations.push(`${key} was handled after a later one`);
      this.lastFirst.set(lane, id);
    }
    this.handled.set(key, (by ?? new Set<string>()).add(token));
  }

  /** What leaves the inbox must have been handled by who had the claim then. */
  private noteEnd(seq: Group["done"][number]): void {
    const row = this.store.durable.entries.get(seq);
    if (row === undefined) return;
    const key = `${row.bot}/${row.updateId}`;
    if (!this.handled.has(key)) this.violations.push(`${key} was settled by who had lost the claim on it`);
    if (partitionOfLane(row.bot, toLaneKey(row.lane), this.partitions) !== partitionOfSeq(seq, this.partitions)) {
      this.violations.push(`${key} was in another chat's partition`);
    }
  }
}
