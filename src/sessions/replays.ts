/** Which of the updates that wrote a session may come again. */
import type { Settled } from "../attempts.ts";
import type { Clock } from "../clock.ts";
import type { PastValue, Session, SessionEntry } from "../storage/session-store.ts";

export interface ReplaysOptions {
  readonly settled: Settled;
  /** Whether this instance reads the partition, and so knows of its updates. */
  readonly isOwn: (partition: number) => boolean;
  readonly clock: Pick<Clock, "now">;
  readonly limits: ReplaysLimits;
}

export interface ReplaysLimits {
  /** Time after which an update of another instance's inbox counts as settled, ms. */
  readonly othersMaxMs: number;
}

export class Replays {
  readonly #options: ReplaysOptions;

  constructor(options: ReplaysOptions) {
    this.#options = options;
  }

  /** As far as it is known without asking: true in doubt, also where an older update of the partition is not settled. */
  readonly mayComeAgain = ({ partition, seq, at }: PastValue): boolean => {
    const { settled, isOwn, clock, limits } = this.#options;
    return seq >= settled.below(partition) && (isOwn(partition) || clock.now() - at < limits.othersMaxMs);
  };

  /** Those of updates that are not settled. */
  async open(past: readonly PastValue[]): Promise<ReadonlySet<PastValue>> {
    const open = new Set<PastValue>();
    for (const [partition, entries] of Map.groupBy(past, (one) => one.partition)) {
      const seqs = await this.#options.settled.unsettled(
        partition,
        entries.map(({ seq }) => seq),
      );
      for (const entry of entries) if (seqs.has(entry.seq)) open.add(entry);
    }
    return open;
  }

  /**
   * The session without what an inbox left behind that was lost: numbers begin anew then, so it looks as if it came of later updates of the lane.
   * But of a lane the older ones are settled first: a later one that is settled is none.
   */
  async ofThisInbox(session: Session, { lane, partition, seq }: SessionEntry): Promise<Session> {
    const later = session.past.filter((one) => one.lane === lane && one.partition === partition && one.seq > seq);
    if (later.length === 0) return session;
    const open = await this.open(later);
    return { ...session, past: session.past.filter((one) => !later.includes(one) || open.has(one)) };
  }
}
