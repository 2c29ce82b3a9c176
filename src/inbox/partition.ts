/** The one partition of an inbox of a single process. */
import { type Clock, sleep } from "../clock.ts";
import { Fault } from "../faults.ts";
import type { Seq } from "../ids.ts";
import type { PartitionClaim } from "../leases/leases.ts";
import { bodyOf } from "./encoding.ts";
import type { GroupCommit } from "./group-commit.ts";
import { HandOver, type HandOverLimits } from "./hand-over.ts";
import type { Body, Entry, Mark, Outcome, Partition } from "./inbox.ts";
import type { InboxStore } from "./store.ts";

export interface FrontPartitionOptions {
  readonly claim: PartitionClaim;
  readonly store: InboxStore;
  readonly clock: Clock;
  readonly limits: HandOverLimits;
  readonly commits: GroupCommit;
  /** A read ended: with an error (it is tried again), or without. */
  readonly onRead: (error: unknown) => void;
  readonly settledBelow: () => Seq;
  readonly onSettledBelow: (seq: Seq) => void;
}

export class FrontPartition implements Partition {
  readonly claim: PartitionClaim;
  readonly number: number;
  readonly handOver: HandOver;
  readonly #options: FrontPartitionOptions;
  readonly #ended = new AbortController();
  readonly #valid = (): boolean => !this.#isReplaced && this.claim.valid();
  #isReplaced = false;

  constructor(options: FrontPartitionOptions) {
    const { claim, store, clock, limits, onRead, onSettledBelow } = options;
    this.#options = options;
    this.claim = claim;
    this.number = claim.partition;
    const read: InboxStore["unsettled"] = async (after, max) => {
      const chunk = await store.unsettled(after, max);
      onRead(undefined);
      onSettledBelow(chunk.settledBelow);
      return chunk;
    };
    this.handOver = new HandOver({ read, clock, limits, onReadFailed: onRead });
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
      this.#options.commits.add({ kind: "marks", writes, valid: this.#valid, resolve, reject }),
    );
  }

  settle(seq: Seq, outcome: Outcome): Promise<void> {
    const { commits } = this.#options;
    const valid = this.#valid;
    if (outcome.kind === "done") {
      return new Promise((resolve, reject) => commits.add({ kind: "done", seq, valid, resolve, reject }));
    }
    const { error, attempts, effectsUnknown } = outcome;
    const write = { seq, error, attempts, sends: JSON.stringify(outcome.sends), effectsUnknown };
    return new Promise((resolve, reject) => commits.add({ kind: "death", write, valid, resolve, reject }));
  }

  settledBelow(): Seq {
    return this.#options.settledBelow();
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
