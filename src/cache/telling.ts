/**
 * What this instance tells of changed documents: gathered until all that is ready has run, and what fails is owed. One promise for all of them,
 * since this is done for each update.
 */
import type { Debts } from "./debts.ts";
import { afterAllThatIsReady } from "./grouping.ts";
import type { Change, Key } from "./server.ts";

export interface TellingOptions {
  /** Writes and publishes; rejects where that may not have been done. */
  readonly publish: (changes: readonly Change[]) => Promise<void>;
  /** Whether it would be in vain. */
  readonly isOff: () => boolean;
  readonly debts: Debts;
  /** Documents in one call. */
  readonly groupMax: number;
}

export class Telling {
  readonly #options: TellingOptions;
  #waiting: Change[] = [];
  readonly #writing = new Set<Promise<void>>();
  /** How many changes of each are on their way. */
  readonly #telling = new Map<Key, number>();

  constructor(options: TellingOptions) {
    this.#options = options;
  }

  tell(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const { isOff, debts } = this.#options;
    if (isOff()) return debts.owe(changes.map(({ key }) => key));
    for (const { key } of changes) this.#telling.set(key, (this.#telling.get(key) ?? 0) + 1);
    if (this.#waiting.length === 0) this.#begin();
    this.#waiting.push(...changes);
  }

  get isTelling(): boolean {
    return this.#telling.size > 0;
  }

  /** A change of it is on its way: what stands there may be older. */
  tells(key: Key): boolean {
    return this.#telling.has(key);
  }

  /** Resolves when what was told so far is there, or owed. */
  async ended(): Promise<void> {
    await Promise.all(this.#writing);
  }

  #begin(): void {
    const writing = afterAllThatIsReady()
      .then(() => this.#write())
      .finally(() => this.#writing.delete(writing));
    this.#writing.add(writing);
  }

  async #write(): Promise<void> {
    const all = this.#waiting;
    this.#waiting = [];
    const { groupMax } = this.#options;
    const writes: Promise<void>[] = [];
    for (let from = 0; from < all.length; from += groupMax)
      writes.push(this.#writeSome(all.slice(from, from + groupMax)));
    await Promise.all(writes);
  }

  /** Never rejects. */
  async #writeSome(changes: readonly Change[]): Promise<void> {
    const { publish, isOff, debts } = this.#options;
    try {
      if (isOff()) debts.owe(changes.map(({ key }) => key));
      else await publish(changes);
    } catch {
      // Counted where it failed.
      debts.owe(changes.map(({ key }) => key));
    }
    for (const { key } of changes) {
      const others = (this.#telling.get(key) ?? 1) - 1;
      if (others > 0) this.#telling.set(key, others);
      else this.#telling.delete(key);
    }
  }
}
