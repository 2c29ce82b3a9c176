/**
 * Tells an outage from an update whose calls alone Telegram cannot answer (a payload that makes it fail, say): updates whose attempts end
 * again and again without a usable answer, while other updates of the same bot go through.
 *
 * An outage must never look like that. Where all calls fail nothing is counted, and where nine of ten fail, a hundred failures in a row
 * have a chance of 0.9^100. What could not be sent, or was answered with a 429, ends the row: then it is not the payload.
 */
import type { Lane } from "./lanes.ts";

interface Row {
  /** Attempts in a row that ended so, those left out between which nothing else of the bot was answered. */
  times: number;
  /** `answered` of the bot's line at the last of them. */
  answered: number;
}

/** In memory alone: a restart begins to count anew. Holds an entry for each lane whose head met such an end. */
export class LaneUnknowns {
  private readonly rows = new Map<Lane, Row>();

  get size(): number {
    return this.rows.size;
  }

  /** Whether an attempt of the head ended so: what its next one does may have been done already. */
  has(lane: Lane): boolean {
    return this.rows.size > 0 && this.rows.has(lane);
  }

  /** An attempt ended with a call whose outcome is not known. Answers how often in a row, see `Row`. */
  count(lane: Lane): number {
    const { answered } = lane.line;
    const row = this.rows.get(lane);
    if (row === undefined) {
      this.rows.set(lane, { times: 1, answered });
      return 1;
    }
    if (row.times === 0 || answered > row.answered) row.times++;
    row.answered = answered;
    return row.times;
  }

  /** An attempt of the head ended in another way: the next row begins anew. */
  interrupt(lane: Lane): void {
    const row = this.rows.size === 0 ? undefined : this.rows.get(lane);
    if (row !== undefined) row.times = 0;
  }

  /** The head is settled. */
  forget(lane: Lane): void {
    if (this.rows.size > 0) this.rows.delete(lane);
  }
}
