/** Who is ahead: the first thousand exactly, the others by how points are spread. Read again after half a minute, when somebody asks. */
import type { Clock } from "../clock.ts";
import type { UserId } from "../ids.ts";
import type { PointsBucket, Standing, UserStore } from "../storage/store.ts";
import type { User } from "./user.ts";
import type { Leaderboard, Rank } from "./users.ts";

export interface StandingLimits {
  /** Users whose place is exact. */
  readonly exactMax: number;
  /** Age at which the standings are read again, ms. */
  readonly refreshMs: number;
}

export interface StandingsOptions {
  readonly store: Pick<UserStore, "leaderboard" | "histogram">;
  readonly clock: Clock;
  readonly limits: StandingLimits;
}

interface Snapshot {
  readonly board: Leaderboard;
  readonly readAt: number;
}

const topCount = 10;

export class Standings {
  readonly #options: StandingsOptions;
  #snapshot: Snapshot | undefined;
  #reading: Promise<Snapshot> | undefined;

  constructor(options: StandingsOptions) {
    this.#options = options;
  }

  /** As last read where that is young enough or storage is lost; rejects with `unavailable` only before the first reading. */
  async leaderboard(): Promise<Leaderboard> {
    const { clock, limits } = this.#options;
    const known = this.#snapshot;
    if (known !== undefined && clock.monotonic() - known.readAt < limits.refreshMs) return known.board;
    this.#reading ??= this.#read().finally(() => (this.#reading = undefined));
    try {
      return (await this.#reading).board;
    } catch (error) {
      if (known === undefined) throw error;
      return known.board;
    }
  }

  async #read(): Promise<Snapshot> {
    const { store, clock, limits } = this.#options;
    const readAt = clock.monotonic();
    const [first, buckets] = await Promise.all([store.leaderboard(limits.exactMax), store.histogram()]);
    const top = first
      .slice(0, topCount)
      .map(({ telegramId, firstName, points }) => ({ id: telegramId, firstName, points }));
    const places = placesOf(first);
    const board: Leaderboard = { top, rankOf: (user) => rankOf(user, places, buckets) };
    this.#snapshot = { board, readAt };
    return this.#snapshot;
  }
}

function placesOf(first: readonly Standing[]): ReadonlyMap<UserId, number> {
  return new Map(first.map(({ telegramId }, at) => [telegramId, at + 1]));
}

/** By the points that the user has now, which may be more than at the reading. */
function rankOf(
  { telegramId, points, isActive }: User,
  places: ReadonlyMap<UserId, number>,
  buckets: readonly PointsBucket[],
): Rank | undefined {
  if (!isActive) return undefined;
  const exact = places.get(telegramId);
  if (exact !== undefined) return { place: exact, isExact: true };
  let ahead = 0;
  for (let at = buckets.length - 1; at >= 0; at--) {
    const bucket = buckets[at];
    if (bucket === undefined) continue;
    if (bucket.from <= points) {
      // Within its own bucket somebody stands where the points lie between its ends.
      const to = buckets[at + 1]?.from ?? bucket.from + 1;
      const above = Math.max(0, Math.min(1, (to - points) / Math.max(1, to - bucket.from)));
      ahead += Math.floor(bucket.users * (1 - above));
      break;
    }
    ahead += bucket.users;
  }
  return { place: Math.max(ahead + 1, places.size + 1), isExact: false };
}
