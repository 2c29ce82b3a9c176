/**
 * Whether an open file of SQLite is still the one that the next start would open. SQLite goes on writing into one that was moved, deleted or
 * replaced, and what is stored there is gone with the process.
 */
import { statSync } from "node:fs";
import { Fault } from "../faults.ts";

export class Place {
  readonly #path: string;
  readonly #file: string | undefined;
  /** The write-ahead log is there from the first commit on. */
  #log: string | undefined;
  #isLost = false;

  /** For a file that is open. */
  constructor(path: string) {
    this.#path = path;
    this.#file = identityOf(path);
  }

  /** To be called when something was written, before that is told. Throws `unavailable`, naming the file and what to do. */
  check(): void {
    const log = identityOf(`${this.#path}-wal`);
    this.#log ??= log;
    this.#isLost = log !== this.#log || log === undefined || identityOf(this.#path) !== this.#file;
    if (!this.#isLost) return;
    const message =
      `${this.#path} or its -wal was moved, deleted or replaced while it was open: put both back where they were and all goes on, ` +
      "or restart botfleet to begin with what is there now";
    throw new Fault("unavailable", message);
  }

  /** To be called before anything is read or written: what was not told to be stored must not be read either. As `check`, where that has failed. */
  recheck(): void {
    if (this.#isLost) this.check();
  }
}

function identityOf(path: string): string | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats === undefined ? undefined : `${stats.dev}:${stats.ino}`;
}
