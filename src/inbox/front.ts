/** The inbox over any store: everything that is the same for SQLite, Redis and memory. */
import type { Clock } from "../clock.ts";
import { Fault } from "../faults.ts";
import { type BotId, type Seq, toSeq, type Update } from "../ids.ts";
import type { BotClaim, PartitionClaim } from "../leases/leases.ts";
import type { Log } from "../log.ts";
import { DiskWatch, type DiskLimits } from "./disk-watch.ts";
import { encode, letterOf } from "./encoding.ts";
import { GroupCommit, type GroupLimits } from "./group-commit.ts";
import type { HandOverLimits } from "./hand-over.ts";
import type { Appended, Backlog, DeadLetters, Inbox, InboxState } from "./inbox.ts";
import { FrontPartition } from "./partition.ts";
import type { InboxStore, LetterResult, LetterWrite } from "./store.ts";

export interface FrontOptions {
  readonly store: InboxStore;
  /** Of the store; default 1. */
  readonly partitions?: number;
  readonly clock: Clock;
  readonly limits: GroupLimits & HandOverLimits & DiskLimits;
  readonly log?: Pick<Log, "info" | "warn" | "error">;
  /** Free bytes where the store lives; absent: never `full`. */
  readonly freeBytes?: () => Promise<number>;
  /** What that is the space of, for an operator; default `the disk`. */
  readonly place?: string;
  /** The store is lost for good: end the process with exit 1, a new one recovers. */
  readonly onBroken?: (reason: unknown) => void;
  /** `writes` became durable together in `ms`. */
  readonly onFlushed?: (writes: number, ms: number) => void;
}

export function createInbox(options: FrontOptions): Inbox {
  return new Front(options);
}

class Front implements Inbox {
  readonly partitions: number;
  readonly deadLetters: DeadLetters;
  readonly #options: FrontOptions;
  readonly #commits: GroupCommit;
  readonly #disk: DiskWatch | undefined;
  readonly #listeners = new Set<(state: InboxState) => void>();
  readonly #opened = new Map<number, FrontPartition>();
  /** By partition, of those that are not open here as well. */
  readonly #settledBelow: Seq[];
  #state: InboxState = "ok";
  #isReadFailing = false;
  #lastBacklog: Backlog | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: FrontOptions) {
    const { store, clock, limits, freeBytes, place = "the disk", log, partitions = 1 } = options;
    this.#options = options;
    this.partitions = partitions;
    this.#settledBelow = Array.from({ length: partitions }, () => toSeq(0));
    this.#commits = new GroupCommit({
      commit: (group) => store.commit(group),
      partitions,
      clock,
      limits,
      onCommitted: (stored, settledBelow, writes, ms) => {
        settledBelow.forEach((seq, number) => this.#noteSettledBelow(number, seq));
        for (const [number, { handOver }] of this.#opened) handOver.offer(stored[number] ?? []);
        this.#refreshState();
        options.onFlushed?.(writes, ms);
      },
      onFailed: (error) => {
        for (const { handOver } of this.#opened.values()) handOver.doubt();
        if (this.#state !== "failing") log?.error("the inbox cannot be written; it is tried again", { error });
        void this.#disk?.check(); // Never rejects.
        this.#refreshState();
      },
    });
    if (freeBytes !== undefined) {
      const onChange = (): void => this.#refreshState();
      this.#disk = new DiskWatch({ freeBytes, place, clock, limits, onChange, ...(log === undefined ? {} : { log }) });
    }
    void store.broken?.then((reason) => this.#break(reason)); // Never rejects, by contract.
    store.watch?.({
      onArrived: (partition, seq) => {
        const handOver = this.#opened.get(partition)?.handOver;
        if (seq === undefined) handOver?.doubt();
        else handOver?.arrived(seq);
      },
      onSettledBelow: (partition, seq) => this.#noteSettledBelow(partition, seq),
      onBacklog: (backlog) => {
        this.#lastBacklog = backlog;
        this.#tell();
      },
      onLooked: (error) => this.#noteRead(error),
    });
    this.deadLetters = {
      list: async (filter) => (await this.#readOnce(() => store.letters(filter))).map(letterOf),
      count: () => this.#readOnce(() => store.letterCounts()),
      retry: async (id, { again }) => {
        const end = await this.#changeLetter({ kind: "retry", id, again });
        return end === "dropped" ? "absent" : end;
      },
      drop: async (id) => ((await this.#changeLetter({ kind: "drop", id })) === "dropped" ? "dropped" : "absent"),
    };
  }

  append(claim: BotClaim, batch: readonly Update[]): Promise<Appended> {
    const valid = (): boolean => claim.valid();
    if (!valid()) return Promise.reject(new Fault("inbox_fenced", `the claim on bot ${claim.bot} is lost`));
    if (batch.length === 0) return Promise.resolve({ stored: 0, known: 0, malformed: 0 });
    const encoded = encode(claim.bot, claim.token, batch, this.#options.clock.now());
    return new Promise((resolve, reject) => this.#commits.add({ kind: "append", encoded, valid, resolve, reject }));
  }

  async open(claim: PartitionClaim): Promise<FrontPartition> {
    const { partition: number } = claim;
    if (!(number >= 0 && number < this.partitions)) throw new RangeError(`there is no partition ${number}`);
    const before = this.#opened.get(number);
    if (before?.claim === claim) throw new Error("the partition is open under this claim");
    before?.replace();
    const { store, clock, limits } = this.#options;
    const partition = new FrontPartition({
      claim,
      store,
      clock,
      limits,
      commits: this.#commits,
      onRead: (error) => this.#noteRead(error),
      partitions: this.partitions,
      settledBelow: this.settledBelow(number),
      onClosed: () => {
        this.#noteSettledBelow(number, partition.settledBelow());
        if (this.#opened.get(number) === partition) this.#opened.delete(number);
      },
    });
    this.#opened.set(number, partition);
    if (this.#stopped === undefined) await partition.begin();
    else partition.end();
    return partition;
  }

  settledBelow(partition: number): Seq {
    return toSeq(Math.max(this.#settledBelow[partition] ?? 0, this.#opened.get(partition)?.settledBelow() ?? 0));
  }

  async unsettled(seqs: readonly Seq[]): Promise<ReadonlySet<Seq>> {
    return new Set(await this.#readOnce(() => this.#options.store.stillUnsettled(seqs)));
  }

  backlog(): Promise<ReadonlyMap<BotId, number>> {
    return this.#readOnce(() => this.#options.store.backlog());
  }

  state(): InboxState {
    return this.#state;
  }

  lastBacklog(): Backlog | undefined {
    return this.#lastBacklog;
  }

  onState(changed: (state: InboxState) => void): () => void {
    this.#listeners.add(changed);
    return () => void this.#listeners.delete(changed);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#disk?.stop();
    for (const partition of this.#opened.values()) partition.end();
    const isWritten = await this.#commits.stop();
    await this.#options.store.close(isWritten);
  }

  #break(reason: unknown): void {
    this.#commits.break(reason);
    this.#disk?.stop();
    this.#refreshState();
    this.#options.log?.error("the inbox is broken; the process has to be started again", { error: reason });
    this.#options.onBroken?.(reason);
  }

  #noteSettledBelow(partition: number, seq: Seq | undefined): void {
    this.#opened.get(partition)?.noteSettledBelow(seq);
    if (seq !== undefined && seq > (this.#settledBelow[partition] ?? 0)) this.#settledBelow[partition] = seq;
  }

  async #readOnce<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      throw new Fault("unavailable", `the inbox cannot be read: ${String(error)}`, { cause: error });
    }
  }

  /** Asks first whether there is such a letter: after a commit whose answer was lost, its absence means that the change is done. */
  async #changeLetter(write: LetterWrite): Promise<LetterResult["kind"]> {
    const found = await this.deadLetters.list({ after: write.id - 1, max: 1 });
    if (found[0]?.id !== write.id) return "absent";
    return await new Promise((resolve, reject) =>
      this.#commits.add({ kind: "letter", write, wasTried: false, valid: () => true, resolve, reject }),
    );
  }

  #noteRead(error: unknown): void {
    const isFailing = error !== undefined;
    if (isFailing && !this.#isReadFailing) {
      this.#options.log?.error("the inbox cannot be read; it is tried again", { error });
    }
    this.#isReadFailing = isFailing;
    this.#refreshState();
  }

  #refreshState(): void {
    const isFailing = this.#commits.isFailing() || this.#isReadFailing;
    const state = isFailing ? "failing" : this.#disk?.isFull() === true ? "full" : "ok";
    if (state === this.#state) return;
    if (this.#state === "failing") this.#options.log?.info("the inbox can be written again");
    this.#state = state;
    this.#tell();
  }

  #tell(): void {
    for (const changed of this.#listeners) changed(this.#state);
  }
}
