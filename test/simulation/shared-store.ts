/**
 * The inbox that instances share, in a model of Redis: `src/inbox/redis-store.ts` and its scripts without Redis. What is written is compared
 * with the present claims in one step with the writing; a group that is late is refused; whoever appends tells the others, as far as messages arrive.
 * (Longer than most files: one store, as its port.)
 */
import type { MemoryDurable } from "../../src/inbox/memory.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import { partitionOfSeq } from "../../src/inbox/partitions.ts";
import type { RunLimits } from "../../src/inbox/runs.ts";
import type { Committed, Group, InboxStore, StoreEvents } from "../../src/inbox/store.ts";
import { aloneCrashesMax, aloneDeathError } from "../../src/inbox/store.ts";
import { Fault } from "../../src/faults.ts";
import type { Seq } from "../../src/ids.ts";
import type { Process } from "./process.ts";
import type { Wires } from "./redis-wires.ts";
import type { Scheduler } from "./scheduler.ts";

export interface SharedStoreOptions {
  readonly scheduler: Scheduler;
  readonly wires: Wires;
  readonly partitions: number;
  readonly limits: RunLimits;
  readonly deduplicate: boolean;
  /** Token of the present claim on `b<bot>` or `p<partition>`; `""` where there is none. */
  readonly present: (name: string) => string;
  /** Whether Redis takes `given` for `present`. */
  readonly isSame: (given: string, present: string) => boolean;
  /** Nobody is told what others append, and nobody looks. */
  readonly isDeaf: boolean;
  /** Chance that a message is lost. */
  readonly messageLoss: () => number;
  /** A group is about to be written: what of it is not fenced. */
  readonly onWriting: (group: Group) => void;
  readonly onWritten?: (group: Group, committed: Committed) => void;
  /** It crashed again while it ran alone. */
  readonly onBuried?: (seq: Seq, error: string) => void;
}

const lookMs = 1_000;

export class SharedStore {
  readonly durable: MemoryDurable;
  /** Writes of a claim that was lost, and groups that came after a later one. */
  fenced = 0;
  late = 0;
  private readonly options: SharedStoreOptions;
  private readonly stored: InboxStore;
  private readonly numbers = new Map<Process, number>();
  private readonly listeners = new Map<Process, StoreEvents>();
  /** Who has the partition open; none after a clean end. */
  private readonly openers = new Map<number, Process>();

  constructor(options: SharedStoreOptions) {
    this.options = options;
    this.durable = emptyDurable(options.partitions);
    const { deduplicate, limits } = options;
    this.stored = createMemoryStore({ durable: this.durable, limits, deduplicate, now: 0 });
  }

  /** For one life of a process. */
  connect(process: Process): InboxStore {
    const { stored, options } = this;
    const { wires } = options;
    let number = 0;
    let hasStopped = false;
    return {
      ...stored,
      commit: (group) => {
        const own = ++number;
        return wires.call(process, "write", () => this.apply(process, own, group));
      },
      unsettled: (after, max, partition) => wires.call(process, "read", () => stored.unsettled(after, max, partition)),
      bodies: (seqs) => wires.call(process, "read", () => stored.bodies(seqs)),
      takeOver: (partition, token) => wires.call(process, "read", () => this.takeOver(process, partition, token)),
      release: (partition, token) => wires.call(process, "read", () => this.release(process, partition, token)),
      watch: (events) => {
        if (options.isDeaf) return;
        this.listeners.set(process, events);
        const look = async (): Promise<void> => {
          try {
            const lasts = await wires.call(process, "read", () => [...this.durable.lastSeqs]);
            for (const [partition, seq] of lasts) events.onArrived(partition, seq);
            events.onLooked(undefined);
          } catch (error) {
            events.onLooked(error);
          }
          plan();
        };
        // Never rejects.
        const plan = (): void => {
          if (!hasStopped) process.clock.setTimer(() => void look(), lookMs);
        };
        plan();
      },
      close: async () => {
        hasStopped = true;
        this.listeners.delete(process);
      },
    };
  }

  private isPresent(name: string, token: string): boolean {
    return this.options.isSame(token, this.options.present(name));
  }

  private async apply(process: Process, number: number, group: Group): Promise<Committed> {
    if ((this.numbers.get(process) ?? 0) >= number) {
      this.late++;
      throw new Error("a later group was written before this one");
    }
    this.numbers.set(process, number);
    const { partitions, onWriting, onWritten } = this.options;
    const fenced = group.tokens.flatMap((token, at) =>
      token === undefined || this.isPresent(`p${at}`, token) ? [] : [at],
    );
    const isOurs = (seq: Seq): boolean => !fenced.includes(partitionOfSeq(seq, partitions));
    const isFenced = group.appends.map(({ bot, token }) => !this.isPresent(`b${bot}`, token));
    const written = {
      ...group,
      tokens: group.tokens.map((token, at) => (fenced.includes(at) ? undefined : token)),
      marks: group.marks.filter(({ seq }) => isOurs(seq)),
      done: group.done.filter(isOurs),
      deaths: group.deaths.filter(({ seq }) => isOurs(seq)),
      appends: group.appends.filter((_, at) => isFenced[at] === false),
    };
    this.fenced += fenced.length + isFenced.filter((is) => is).length;
    onWriting(written);
    const committed = await this.stored.commit(written);
    onWritten?.(written, committed);
    this.tell(process);
    const results = [...committed.appends];
    return {
      ...committed,
      fenced,
      appends: isFenced.map((is) => {
        if (is) return { firsts: [], known: [], buried: 0, refusal: "fenced" };
        return results.shift() ?? { firsts: [], known: [], buried: 0 };
      }),
    };
  }

  private async takeOver(process: Process, partition: number, token: string): Promise<void> {
    if (!this.isPresent(`p${partition}`, token)) throw new Fault("inbox_fenced", "taken over");
    const before = this.openers.get(partition);
    if (before === process) return;
    this.openers.set(partition, process);
    const { durable, options } = this;
    const last = durable.lastSeqs.get(partition);
    if (before !== undefined && last !== undefined) durable.suspectUpTo.set(partition, last);
    for (const [seq, row] of durable.entries) {
      if (!row.started || partitionOfSeq(seq, options.partitions) !== partition) continue;
      row.started = false;
      if (before === undefined) continue;
      if (row.alone) row.aloneCrashes++;
      row.alone = true;
      if (row.aloneCrashes < aloneCrashesMax) continue;
      options.onBuried?.(seq, aloneDeathError);
      const death = { seq, error: aloneDeathError, attempts: row.attempts, sends: "[]", effectsUnknown: true };
      await this.stored.commit({ now: 0, tokens: [], marks: [], done: [], deaths: [death], letters: [], appends: [] });
    }
  }

  private release(process: Process, partition: number, token: string): void {
    if (this.isPresent(`p${partition}`, token) && this.openers.get(partition) === process) {
      this.openers.delete(partition);
    }
  }

  private tell(by: Process): void {
    const { scheduler, messageLoss } = this.options;
    const lasts = [...this.durable.lastSeqs];
    for (const [process, events] of this.listeners) {
      if (process === by || scheduler.chance(messageLoss())) continue;
      scheduler.at(scheduler.between(0, 20), () => lasts.forEach(([at, seq]) => events.onArrived(at, seq)), process);
    }
  }
}
