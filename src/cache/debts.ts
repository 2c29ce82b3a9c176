/** Documents whose change the second tier has not been told, or may not have been: it is told when it can be, and not believed about them until then. */
import type { Key } from "./server.ts";

export class Debts {
  readonly #max: number;
  /** When each was owed last: what is owed again while it is being paid stays owed. */
  readonly #owed = new Map<Key, number>();
  #count = 0;
  /** How often more were owed than are remembered, and how many of those times are paid: until then all that the second tier holds is in doubt. */
  #overflows = 0;
  #overflowsPaid = 0;

  constructor(max: number) {
    this.#max = max;
  }

  get isEmpty(): boolean {
    return this.#owed.size === 0 && this.overflow === 0;
  }

  get size(): number {
    return this.#owed.size;
  }

  /** 0: none is unpaid. Another number each time that it happens. */
  get overflow(): number {
    return this.#overflows > this.#overflowsPaid ? this.#overflows : 0;
  }

  has(key: Key): boolean {
    return this.#owed.has(key) || this.overflow > 0;
  }

  owe(keys: readonly Key[]): void {
    for (const key of keys) {
      this.#owed.set(key, ++this.#count);
      if (this.#owed.size <= this.#max) continue;
      this.#owed.clear();
      this.#overflows++;
    }
  }

  /** At most `max` that are owed now, with what `pay` wants. */
  some(max: number): readonly (readonly [Key, number])[] {
    const some: (readonly [Key, number])[] = [];
    for (const each of this.#owed) {
      if (some.length >= max) break;
      some.push(each);
    }
    return some;
  }

  pay(paid: readonly (readonly [Key, number])[]): void {
    for (const [key, at] of paid) if (this.#owed.get(key) === at) this.#owed.delete(key);
  }

  /** Nobody believes any more what stood there when `overflow` was this. */
  payOverflow(overflow: number): void {
    this.#overflowsPaid = Math.max(this.#overflowsPaid, overflow);
  }
}
