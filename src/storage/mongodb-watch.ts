/** What is told of a store on MongoDB to whoever measures. */

/** Connections of the pool; those opened to watch the servers are not in it. */
export interface PoolCounts {
  open: number;
  checkedOut: number;
  /** Commands that wait for a connection. */
  waiting: number;
  /** Waits ended by the wait-queue timeout, since the start. */
  timeouts: number;
  /** Connections that could not be had for another reason, since the start. */
  failures: number;
}

export interface MongoWatch {
  /** Read by whoever shows them; written by the store. */
  readonly pool: PoolCounts;
  /** A connection was waited for this long. */
  checkedOut(ms: number): void;
  /** `documents`: read or written. */
  command(collection: string, operation: string, ms: number, end: CommandEnd): void;
}

export type CommandEnd = "ok" | "failed";

export function newPoolCounts(): PoolCounts {
  return { open: 0, checkedOut: 0, waiting: 0, timeouts: 0, failures: 0 };
}
