/** A partition in memory whose reads and writes end when the test says so, and the state of an inbox that the test sets. */
import type {
  Body,
  Entry,
  Inbox,
  InboxState,
  Mark,
  Outcome,
  Partition,
  Send,
  Suspicion,
} from "../../src/inbox/inbox.ts";
import { type BotId, laneOf, type LaneKey, type Seq, toSeq, type Update } from "../../src/ids.ts";

export type Operation = "bodies" | "close" | "mark" | "next" | "settle";

export interface Added {
  readonly bot: BotId;
  readonly update: Update;
  /** Wall-clock ms. */
  readonly receivedAt: number;
  readonly lane?: LaneKey;
  readonly attempts?: number;
  readonly suspicion?: Suspicion;
  readonly sends?: readonly Send[];
  /** False as for entries that are read back: their body has to be fetched. Default true. */
  readonly withBody?: boolean;
}

/** What the store knows of an entry. */
export interface Stored {
  readonly json: string;
  readonly receivedAt: number;
  attempts: number;
  started: boolean;
  sends: readonly Send[];
}

export class FakePartition implements Partition {
  readonly number = 0;
  /** What became durable, in order: `started 3`, `not started 3`, `attempts 3 = 1`, `sends 3 = 2`, `done 3`, `expired 3`, `dead 3`. */
  readonly journal: string[] = [];
  /** Unsettled entries. */
  readonly stored = new Map<Seq, Stored>();
  readonly outcomes = new Map<Seq, Outcome>();
  /** The `seq` of every body handed out by `bodies`. */
  readonly fetched: Seq[] = [];
  private lastSeq = 0;
  private arrived: Entry[] = [];
  private hasEnded = false;
  private wake: (() => void) | undefined;
  private readonly held = new Map<Operation, PromiseWithResolvers<void>>();
  private readonly failures = new Map<Operation, unknown>();

  /** Appends an entry; the pipeline is handed it by `next`. */
  add(added: Added): Seq {
    const seq = toSeq(++this.lastSeq);
    const { attempts = 0, sends = [], suspicion = "none" } = added;
    const json = JSON.stringify(added.update);
    this.stored.set(seq, { json, receivedAt: added.receivedAt, attempts, started: false, sends });
    const lane = added.lane ?? laneOf(added.update);
    const body = added.withBody === false ? undefined : this.bodyOf(seq);
    this.arrived.push({ seq, bot: added.bot, lane, attempts, suspicion, receivedAt: added.receivedAt, body });
    this.wake?.();
    return seq;
  }

  /** From now on `operation` does not end before `release`. */
  hold(operation: Operation): void {
    if (!this.held.has(operation)) this.held.set(operation, Promise.withResolvers());
  }

  release(operation: Operation): void {
    this.held.get(operation)?.resolve();
    this.held.delete(operation);
  }

  /** From now on `operation` rejects with `error`; `undefined` ends that. */
  fail(operation: Operation, error: unknown): void {
    if (error === undefined) this.failures.delete(operation);
    else this.failures.set(operation, error);
  }

  /** As when the inbox stops. */
  end(): void {
    this.hasEnded = true;
    this.wake?.();
  }

  async next(max: number): Promise<readonly Entry[]> {
    while (this.arrived.length === 0 && !this.hasEnded) await new Promise<void>((resolve) => (this.wake = resolve));
    await this.gate("next");
    return this.hasEnded ? [] : this.arrived.splice(0, max);
  }

  async bodies(seqs: readonly Seq[]): Promise<ReadonlyMap<Seq, Body>> {
    await this.gate("bodies");
    const found = new Map<Seq, Body>();
    for (const seq of seqs) {
      const body = this.bodyOf(seq);
      if (body === undefined) continue;
      found.set(seq, body);
      this.fetched.push(seq);
    }
    return found;
  }

  async mark(marks: readonly Mark[]): Promise<void> {
    await this.gate("mark");
    for (const { seq, attempts, started, sends } of marks) {
      const stored = this.stored.get(seq);
      if (stored === undefined) throw new Error(`entry ${seq} is marked after it was settled`);
      if (attempts !== undefined) stored.attempts = attempts;
      if (started !== undefined) stored.started = started;
      if (sends !== undefined) stored.sends = sends;
      if (attempts !== undefined) this.journal.push(`attempts ${seq} = ${attempts}`);
      if (started !== undefined) this.journal.push(`${started ? "started" : "not started"} ${seq}`);
      if (sends !== undefined) this.journal.push(`sends ${seq} = ${sends.length}`);
    }
  }

  async settle(seq: Seq, outcome: Outcome): Promise<void> {
    await this.gate("settle");
    if (!this.stored.delete(seq)) throw new Error(`entry ${seq} is settled twice`);
    this.outcomes.set(seq, outcome);
    this.journal.push(`${outcome.kind === "done" && outcome.how === "expired" ? "expired" : outcome.kind} ${seq}`);
  }

  isBehind(): boolean {
    return false;
  }

  async close(): Promise<void> {
    await this.gate("close");
    this.journal.push("closed");
    this.end();
  }

  settledBelow(): Seq {
    return Math.min(this.lastSeq + 1, ...this.stored.keys()) as Seq;
  }

  private async gate(operation: Operation): Promise<void> {
    await this.held.get(operation)?.promise;
    if (this.failures.has(operation)) throw this.failures.get(operation);
  }

  /** Parsed anew each time, as a real store does: what a handler did to an update does not reach its retry. */
  private bodyOf(seq: Seq): Body | undefined {
    const stored = this.stored.get(seq);
    if (stored === undefined) return undefined;
    const update = JSON.parse(stored.json) as Update;
    const { receivedAt, sends } = stored;
    return { updateId: update.update_id, update, receivedAt, size: stored.json.length, sends };
  }
}

export class FakeInboxState implements Pick<Inbox, "lastBacklog" | "state" | "onState"> {
  /** Of the whole fleet. */
  bots: ReadonlyMap<BotId, number> | undefined;
  private now: InboxState = "ok";
  private readonly listeners = new Set<(state: InboxState) => void>();

  state(): InboxState {
    return this.now;
  }

  lastBacklog(): ReturnType<Inbox["lastBacklog"]> {
    return this.bots === undefined ? undefined : { partitions: [], bots: this.bots };
  }

  onState(changed: (state: InboxState) => void): () => void {
    this.listeners.add(changed);
    return () => void this.listeners.delete(changed);
  }

  get listening(): number {
    return this.listeners.size;
  }

  set(state: InboxState): void {
    this.now = state;
    for (const changed of this.listeners) changed(state);
  }
}
