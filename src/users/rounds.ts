/** What a group of lines comes to: the document of each, read through the tiers, with the operations that wait for it folded in. */
import type { Settled } from "../attempts.ts";
import type { Tier } from "../cache/tier.ts";
import type { Clock } from "../clock.ts";
import type { UserId } from "../ids.ts";
import type { ChangeLimits, Line, Pending } from "./change-lines.ts";
import { type Fold, fold, withoutSettled } from "./folding.ts";
import type { Applied, User } from "./user.ts";

export interface RoundsOptions {
  readonly tier: Tier;
  readonly settled: Settled;
  /** Whether the partition is of the inbox of this instance, whose updates can be asked for. */
  readonly isOwn: (partition: number) => boolean;
  readonly clock: Pick<Clock, "now">;
  readonly limits: ChangeLimits;
}

/** Some of the operations that wait in a line, and the document they were folded into. */
export interface Round {
  readonly line: Line;
  readonly operations: readonly Pending[];
  readonly before: User | undefined;
  /** To be written; undefined where nothing changes. */
  readonly user: User | undefined;
  /** In the order of the operations. */
  readonly outcomes: Fold["outcomes"];
}

export class Rounds {
  readonly #options: RoundsOptions;

  constructor(options: RoundsOptions) {
    this.#options = options;
  }

  /** One of each line, in any order. Rejects with what reading rejects with; nothing has been changed then. */
  async of(lines: readonly Line[]): Promise<readonly Round[]> {
    const documents = await this.#documents(lines);
    const rounds: Round[] = [];
    const asking: Promise<Round>[] = [];
    for (const line of lines) {
      const found = documents.get(line.id);
      const round = this.#isCrowded(found) ? undefined : this.#round(line, found);
      if (round === undefined || this.#mayExist(round)) asking.push(this.#askedRound(line, found));
      else rounds.push(round);
    }
    return asking.length === 0 ? rounds : [...rounds, ...(await Promise.all(asking))];
  }

  async #documents(lines: readonly Line[]): Promise<ReadonlyMap<UserId, User>> {
    const { tier } = this.#options;
    const found = new Map<UserId, User>();
    const stale = lines.filter(({ isStale }) => isStale).map(({ id }) => id);
    const missing: UserId[] = [];
    for (const { id, isStale } of lines) {
      const user = isStale ? undefined : tier.held(id);
      if (user !== undefined) found.set(id, user);
      else if (!isStale) missing.push(id);
    }
    const none: ReadonlyMap<UserId, User> = new Map();
    const [fresh, read] = await Promise.all([
      stale.length === 0 ? none : tier.readFresh(stale),
      missing.length === 0 ? none : tier.read(missing),
    ]);
    for (const users of [fresh, read]) for (const [id, user] of users) found.set(id, user);
    return found;
  }

  #round(line: Line, before: User | undefined): Round {
    const operations = line.pending.slice(0, Math.min(this.#foldMax(line, before), untilSecondWallet(line.pending)));
    return { line, operations, before, ...fold(before, operations, this.#options.settled) };
  }

  /** The round of a line for which storage or the inbox must be asked first. */
  async #askedRound(line: Line, found: User | undefined): Promise<Round> {
    const { settled, tier } = this.#options;
    const before =
      found !== undefined && this.#isCrowded(found) ? await withoutSettled(found, settled, this.#isForgotten) : found;
    const round = this.#round(line, before);
    return this.#mayExist(round) ? this.#round(line, (await tier.readFresh([line.id])).get(line.id)) : round;
  }

  #isCrowded(user: User | undefined): boolean {
    return user !== undefined && user.applied.length >= this.#options.limits.appliedCheckAt;
  }

  readonly #isForgotten = ({ partition, at = 0 }: Applied): boolean => {
    const { isOwn, clock, limits } = this.#options;
    return !isOwn(partition) && clock.now() - at >= limits.othersMaxMs;
  };

  /** Another instance may have registered the user since: that there is none is answered only as storage says. */
  #mayExist({ line, outcomes }: Round): boolean {
    return !line.isStale && outcomes.some((outcome) => outcome?.kind === "unregistered");
  }

  #foldMax(line: Line, before: User | undefined): number {
    if (line.single > 0) return 1;
    const room = this.#options.limits.appliedMax - (before?.applied.length ?? 0);
    // Where there is no room the first one may still be a replay, which needs none.
    return Math.max(1, room);
  }
}

/** Storage judges the last wallet of a fold alone: one of somebody else before it would be told to be set. */
function untilSecondWallet(pending: readonly Pending[]): number {
  let wallets = 0;
  const end = pending.findIndex(({ operation }) => operation.kind === "set_wallet" && ++wallets > 1);
  return end < 0 ? pending.length : end;
}
