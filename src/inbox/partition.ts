/** A partition of an inbox, as long as one claim has it. Longer than 150 lines: the calls of one port, and how a claim that is lost ends them. */
import { type Clock, sleep } from "../clock.ts";
import { Fault, faultOf } from "../faults.ts";
import { type Seq, toSeq } from "../ids.ts";
import type { PartitionClaim } from "../leases/leases.ts";
import { bodyOf } from "./encoding.ts";
import type { GroupCommit } from "./group-commit.ts";
import { HandOver, type HandOverLimits } from "./hand-over.ts";
import type { Body, Entry, Mark, Outcome, Partition } from "./inbox.ts";
import type { Chunk, InboxStore } from "./store.ts";

export interface FrontPartitionOptions {
  readonly claim: PartitionClaim;
  readonly store: InboxStore;
  readonly clock: Clock;
  readonly limits: HandOverLimits;
  readonly commits: GroupCommit;
  /** A read ended: with an error (it is tried again), or without. */
  readonly onRead: (error: unknown) => void;
  /** Of the store. */
  readonly partitions: number;
  /** As far as is known already. */
  readonly settledBelow: Seq;
  readonly onClosed: () => void;
}

export class FrontPartition implements Partition {
  readonly claim: PartitionClaim;
  readonly number: number;
  readonly handOver: HandOver;
  readonly #options: FrontPartitionOptions;
  readonly #ended = new AbortController();
  readonly #valid = (): boolean => !this.#isReplaced && !this.claim.lost();
  #isReplaced = false;
  #isClosed = false;
  #settledBelow: Seq;
  #takenOver: Promise<void> | undefined;

  constructor(options: FrontPartitionOptions) {
    const { claim, store, clock, limits, onRead, partitions } = options;
    this.#options = options;
    this.claim = claim;
    this.number = claim.partition;
    this.#settledBelow = options.settledBelow;
    const read = async (after: Seq, max: number): Promise<Chunk> => {
      await this.#takeOver();
      if (this.#ended.signal.aborted) return { entries: [], upTo: toSeq(0), settledBelow: toSeq(0) };
      const chunk = await store.unsettled(after, max, this.number);
      onRead(undefined);
      this.noteSettledBelow(chunk.settledBelow);
      return chunk;
    };
    this.handOver = new HandOver({ read, step: partitions, clock, limits, onReadFailed: onRead });
  }

  /** Takes the partition over where that can be done now; else that comes before the first read. Rejects with `inbox_fenced`. */
  async begin(): Promise<void> {
    try {
      await this.#takeOver();
    } catch (error) {
      this.#options.onRead(error);
    }
    if (!this.#isReplaced) return;
    this.#options.onClosed();
    throw this.#fenced();
  }

  noteSettledBelow(seq: Seq | undefined): void {
    if (seq !== undefined && seq > this.#settledBelow) this.#settledBelow = seq;
  }

  /** Ends `next` and the wait of `bodies`; writes go on. */
  end(): void {
    this.#ended.abort();
    this.handOver.end();
  }

  /** As `end`, and further writes are fenced: another claim has the partition. */
  replace(): void {
    this.#isReplaced = true;
    this.end();
  }

  isBehind(): boolean {
    return !this.handOver.hasReadAll;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const isOthers = this.#isReplaced || this.claim.lost();
    this.replace();
    this.#options.onClosed();
    // Where nothing was taken over there is nothing to give back.
    if (isOthers || this.#takenOver === undefined) return;
    const { store } = this.#options;
    try {
      await this.#takenOver;
      await store.release?.(this.number, this.claim.token);
    } catch (error) {
      throw new Fault("unavailable", `the end of partition ${this.number} could not be recorded`, { cause: error });
    }
  }

  next(max: number): Promise<readonly Entry[]> {
    return this.handOver.next(max);
  }

  async bodies(seqs: readonly Seq[]): Promise<ReadonlyMap<Seq, Body>> {
    const found = new Map<Seq, Body>();
    for (const stored of await this.#readBodies(seqs)) {
      const body = bodyOf(stored);
      if (body === undefined) await this.#buryUnreadable(stored.seq);
      else found.set(stored.seq, body);
    }
    return found;
  }

  mark(marks: readonly Mark[]): Promise<void> {
    const writes = marks.map(({ seq, attempts, started, sends }) => ({
      seq,
      attempts,
      started,
      sends: sends === undefined ? undefined : JSON.stringify(sends),
    }));
    if (writes.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) =>
      this.#options.commits.add({ kind: "marks", writes, ...this.#under, resolve, reject }),
    );
  }

  settle(seq: Seq, outcome: Outcome): Promise<void> {
    const { commits } = this.#options;
    const under = this.#under;
    if (outcome.kind === "done") {
      return new Promise((resolve, reject) => commits.add({ kind: "done", seq, ...under, resolve, reject }));
    }
    const { error, attempts, effectsUnknown } = outcome;
    const write = { seq, error, attempts, sends: JSON.stringify(outcome.sends), effectsUnknown };
    return new Promise((resolve, reject) => commits.add({ kind: "death", write, ...under, resolve, reject }));
  }

  settledBelow(): Seq {
    return this.#settledBelow;
  }

  get #under() {
    return { partition: this.number, token: this.claim.token, valid: this.#valid };
  }

  /** Once. A claim that the store does not know any more ends the partition. */
  #takeOver(): Promise<void> {
    const { store } = this.#options;
    if (store.takeOver === undefined) return Promise.resolve();
    this.#takenOver ??= store.takeOver(this.number, this.claim.token).catch((error: unknown) => {
      this.#takenOver = undefined;
      if (faultOf(error)?.code !== "inbox_fenced") throw error;
      // The store knows another claim.
      this.handOver.end(this.#fenced());
      this.replace();
    });
    return this.#takenOver;
  }

  #fenced(): Fault {
    return new Fault("inbox_fenced", `the claim on partition ${this.number} is lost`);
  }

  async #readBodies(seqs: readonly Seq[]): ReturnType<InboxStore["bodies"]> {
    const { store, clock, limits, onRead } = this.#options;
    while (!this.#ended.signal.aborted) {
      try {
        const bodies = await store.bodies(seqs);
        onRead(undefined);
        return bodies;
      } catch (error) {
        onRead(error);
        await sleep(clock, limits.writeRetryMs, this.#ended.signal);
      }
    }
    throw new Fault("unavailable", "the inbox has stopped");
  }

  #buryUnreadable(seq: Seq): Promise<void> {
    const error = "the stored text of this update is damaged";
    return this.settle(seq, { kind: "dead", error, attempts: 0, sends: [], effectsUnknown: false });
  }
}
