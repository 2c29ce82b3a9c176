/**
 * The work on the partitions that this instance has claims on, each under one claim at a time.
 *
 *     claimed ─► opened in the inbox ─► worked on ─┬─► given back: in work ends ─► outcomes durable ─► clean end recorded ─► released
 *                        ▲                         ├─► lost: given up, nothing of it takes effect any more
 *                        └─ after a while ◄────────┴─► fenced: the same; the leases are asked, who may know that the claim holds all the same
 *
 * A claim that comes again waits for what is left of the work under the one before: a call in flight, at most.
 */
import { backoffMs, type Clock, type Random, sleep } from "./clock.ts";
import { faultOf } from "./faults.ts";
import type { Inbox } from "./inbox/inbox.ts";
import type { Leases, PartitionClaim, Tenure } from "./leases/leases.ts";
import type { Log } from "./log.ts";
import type { Pipeline } from "./pipeline.ts";
import type { PartitionWork } from "./pipeline-options.ts";

export interface PartitionTenureOptions {
  readonly inbox: Pick<Inbox, "open">;
  readonly pipeline: Pick<Pipeline, "open">;
  readonly leases: Pick<Leases, "doubt">;
  /** What attempts call a partition. */
  readonly nameOf: (partition: number) => number;
  readonly clock: Clock;
  readonly random: Random;
  /** Wait after a fence, growing from the first to the second, ms. */
  readonly limits: { readonly retryFirstMs: number; readonly retryCapMs: number };
  readonly log: Log;
  /** Awaited before a partition is given back: what its next owner has to know. Never rejects, and ends soon whatever is out of reach. */
  readonly beforeGivenBack: () => Promise<void>;
}

export interface PartitionTenures {
  /** Takes a claim that this instance got. Never throws. */
  take(claim: PartitionClaim): Tenure;
  /** A claim is there, and the work under it has not begun. */
  isOpening(): boolean;
}

export function createPartitionTenures(options: PartitionTenureOptions): PartitionTenures {
  const last = new Map<number, PartitionTenure>();
  return {
    take(claim) {
      const tenure = new PartitionTenure(claim, options, last.get(claim.partition)?.over);
      last.set(claim.partition, tenure);
      return tenure;
    },
    isOpening: () => [...last.values()].some((tenure) => tenure.isOpening),
  };
}

class PartitionTenure implements Tenure {
  /** Resolves when nothing is in work under the claim, which is lost or was given back. */
  readonly over: Promise<void>;
  readonly #claim: PartitionClaim;
  readonly #options: PartitionTenureOptions;
  readonly #ended = Promise.withResolvers<void>();
  readonly #ending = new AbortController();
  isOpening = true;
  #work: PartitionWork | undefined;

  constructor(claim: PartitionClaim, options: PartitionTenureOptions, before: Promise<void> | undefined) {
    this.#claim = claim;
    this.#options = options;
    this.over = this.#live(before);
  }

  changed(): void {
    this.#work?.changed();
    if (!this.#claim.lost()) return;
    this.#options.log.warn("another instance has the partition now", { partition: this.#claim.partition });
    this.#end();
  }

  release(): Promise<void> {
    this.#end();
    return this.over;
  }

  #end(): void {
    this.#ending.abort();
    this.#ended.resolve();
  }

  /** Never rejects. */
  async #live(before: Promise<void> | undefined): Promise<void> {
    const { leases, clock, random, limits } = this.#options;
    const { signal } = this.#ending;
    await before;
    for (let fences = 0; !signal.aborted; fences++) {
      await this.#openAndWork(signal);
      this.#work = undefined;
      if (signal.aborted) break;
      // Where the claim is lost that is told before long. A server that was cut off from the others may have spoken, which knew an older one.
      this.isOpening = true;
      leases.doubt();
      await sleep(clock, backoffMs(fences, limits.retryFirstMs, limits.retryCapMs, random), signal);
    }
    this.isOpening = false;
  }

  /** Resolves when the claim was lost or given back, or a write was fenced. Never rejects. */
  async #openAndWork(signal: AbortSignal): Promise<void> {
    const { inbox, log, nameOf, beforeGivenBack, pipeline } = this.#options;
    const claim = this.#claim;
    const { partition: number } = claim;
    try {
      const partition = await inbox.open(claim);
      if (signal.aborted) return await partition.close();
      const work = pipeline.open(partition, { claim, name: nameOf(number) });
      this.#work = work;
      this.isOpening = false;
      // What changed meanwhile was told to nobody.
      work.changed();
      await Promise.race([this.#ended.promise, work.over]);
      if (!claim.lost()) await work.giveBack();
      await work.over;
      if (!claim.lost()) await beforeGivenBack();
      await partition.close();
    } catch (error) {
      if (faultOf(error)?.code === "inbox_fenced") return;
      log.warn("a partition was not given back in order; its next owner looks twice at what it finds", {
        partition: number,
        error,
      });
    }
  }
}
