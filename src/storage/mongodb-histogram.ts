/**
 * How points are spread over the active users: counted by one instance for all, over an index alone, and kept as a document that the others read. It costs
 * a pass over the index, so that the older it may be the longer the last pass took.
 */
import type { Clock } from "../clock.ts";
import type { Document, Mongo } from "./mongodb-connection.ts";
import { codeOf, codes } from "./mongodb-errors.ts";
import { statistics, users } from "./mongodb-prepare.ts";
import type { PointsBucket } from "./store.ts";

export interface HistogramLimits {
  /** Age after which it is counted again, ms. */
  readonly histogramMaxMs: number;
  /** Share of the time that may go into counting. */
  readonly histogramMaxShare: number;
  /** Longest time for counting, ms; then the old one is kept. */
  readonly histogramCountMaxMs: number;
}

export interface HistogramOptions {
  readonly mongo: Mongo;
  readonly clock: Clock;
  readonly limits: HistogramLimits;
}

const id = "histogram";

export class Histogram {
  readonly #options: HistogramOptions;

  constructor(options: HistogramOptions) {
    this.#options = options;
  }

  /** Rejects with the driver's error. */
  async read(): Promise<readonly PointsBucket[]> {
    const { mongo, clock } = this.#options;
    const [stored] = await mongo.find(statistics, { filter: { _id: id }, limit: 1 });
    const known = bucketsIn(stored);
    if (known !== undefined && (!this.#isDue(stored) || !(await this.#claim(stored)))) return known;
    const startedAt = clock.monotonic();
    try {
      const buckets = await this.#count();
      await this.#store(buckets, clock.monotonic() - startedAt);
      return buckets;
    } catch (error) {
      if (codeOf(error) !== codes.maxTimeExpired) throw error;
      return known ?? [];
    }
  }

  #isDue(stored: Document | undefined): boolean {
    const { clock, limits } = this.#options;
    const { countedAt, tookMs } = stored ?? {};
    const age = Math.abs(clock.now() - Number(countedAt));
    return !(age < Math.max(limits.histogramMaxMs, Number(tookMs) / limits.histogramMaxShare));
  }

  /** Whether it is this instance that counts. A claim is a new time: should its holder die, the old count is shown once longer. */
  async #claim(stored: Document | undefined): Promise<boolean> {
    const { mongo, clock } = this.#options;
    const update = { q: { _id: id, countedAt: stored?.["countedAt"] }, u: { $set: { countedAt: clock.now() } } };
    const { n } = await mongo.run({ update: statistics, updates: [update], writeConcern: { w: 1 } });
    return n === 1;
  }

  async #count(): Promise<readonly PointsBucket[]> {
    const { mongo, limits } = this.#options;
    const groups = await mongo.aggregate(users, histogramStages(), limits.histogramCountMaxMs);
    return groups.map(({ _id, users: count }) => ({ from: Number(_id), users: Number(count) }));
  }

  async #store(buckets: readonly PointsBucket[], tookMs: number): Promise<void> {
    const { mongo, clock } = this.#options;
    const pairs = buckets.map(({ from, users: count }) => [from, count]);
    const u = { $set: { buckets: pairs, countedAt: clock.now(), tookMs } };
    await mongo.run({ update: statistics, updates: [{ q: { _id: id }, u, upsert: true }], writeConcern: { w: 1 } });
  }
}

/** Exact below 1,024 points, then 512 buckets for each doubling, as SQLite has them. The index with the points answers it. */
export function histogramStages(): Document[] {
  const width = { $pow: [2, { $subtract: [{ $floor: { $log: ["$points", 2] } }, 9] }] };
  const rounded = { $multiply: [{ $floor: { $divide: ["$points", width] } }, width] };
  return [
    { $match: { isActive: true } },
    { $group: { _id: { $cond: [{ $lt: ["$points", 1_024] }, "$points", rounded] }, users: { $sum: 1 } } },
    { $sort: { _id: 1 } },
  ];
}

function bucketsIn(stored: Document | undefined): readonly PointsBucket[] | undefined {
  const pairs: unknown = stored?.["buckets"];
  if (!Array.isArray(pairs)) return undefined;
  return pairs.map(([from, count]: readonly unknown[]) => ({ from: Number(from), users: Number(count) }));
}
