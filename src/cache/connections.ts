/**
 * Which connection a call goes over: the first one that has not got too many in flight; when all have, one more is opened, up to a maximum.
 * The least number is opened in the background, one after another.
 */
import type { Clock, Timer } from "../clock.ts";

export interface ConnectionsOptions<Connection> {
  readonly open: () => Connection;
  readonly isReady: (connection: Connection) => boolean;
  readonly close: (connection: Connection) => void;
  readonly clock: Clock;
  /** Of these connections; at least 1. */
  readonly max: number;
  readonly min: number;
  /** Calls in flight on each before one more is opened. */
  readonly callsMax: number;
  /** Between two that are opened in the background, ms. */
  readonly openEveryMs: number;
}

interface Line<Connection> {
  readonly connection: Connection;
  calls: number;
}

export class Connections<Connection> {
  readonly #options: ConnectionsOptions<Connection>;
  readonly #lines: Line<Connection>[] = [];
  readonly #first: Line<Connection>;
  #timer: Timer | undefined;

  /** Opens the first one. */
  constructor(options: ConnectionsOptions<Connection>) {
    this.#options = options;
    this.#first = this.#open();
    this.#openMin();
  }

  get all(): readonly Connection[] {
    return this.#lines.map(({ connection }) => connection);
  }

  get calls(): number {
    return this.#lines.reduce((sum, { calls }) => sum + calls, 0);
  }

  /** `order` `kept`: over the first one, behind the calls that were made so before. */
  async call<T>(order: "kept" | "any", run: (connection: Connection) => Promise<T>): Promise<T> {
    const line = order === "kept" ? this.#first : this.#pick();
    line.calls++;
    try {
      return await run(line.connection);
    } finally {
      line.calls--;
    }
  }

  stop(): void {
    this.#timer?.cancel();
    for (const { connection } of this.#lines) this.#options.close(connection);
  }

  #pick(): Line<Connection> {
    const { isReady, callsMax, max } = this.#options;
    let least = this.#first;
    for (const line of this.#lines) {
      if (!isReady(line.connection)) continue;
      if (line.calls < callsMax) return line;
      if (line.calls < least.calls || !isReady(least.connection)) least = line;
    }
    // A server that is gone needs no more connections.
    if (isReady(least.connection) && this.#lines.length < max) this.#open();
    return least;
  }

  #open(): Line<Connection> {
    const line = { connection: this.#options.open(), calls: 0 };
    this.#lines.push(line);
    return line;
  }

  #openMin(): void {
    const { clock, min, max, openEveryMs } = this.#options;
    if (this.#lines.length >= Math.min(min, max)) return;
    this.#timer = clock.setTimer(() => {
      this.#open();
      this.#openMin();
    }, openEveryMs);
  }
}
