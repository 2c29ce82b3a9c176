/** Bytes that arrive in pieces. */

/** Grows by doubling: the cost of all pieces, however small, is that of two copies. */
export class Bytes {
  #buffer: Buffer | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Appends `piece` from `from` up to but without `to`. `expected`: bytes there will be in all, where that is known. */
  append(piece: Buffer, from: number, to: number, expected = 0): void {
    const needed = this.#length + to - from;
    let buffer = this.#buffer;
    if (buffer === undefined || buffer.length < needed) {
      // What a server announces is not reserved at once beyond a size that costs nothing.
      const size = Math.max(needed, 2 * (buffer?.length ?? 128), Math.min(expected, reserveMaxBytes));
      const grown = Buffer.allocUnsafe(expected > 0 ? Math.min(size, Math.max(needed, expected)) : size);
      buffer?.copy(grown, 0, 0, this.#length);
      buffer = grown;
      this.#buffer = grown;
    }
    piece.copy(buffer, this.#length, from, to);
    this.#length = needed;
  }

  /** Valid until the next `append`. */
  view(): Buffer {
    return (this.#buffer ?? Buffer.alloc(0)).subarray(0, this.#length);
  }

  clear(): void {
    this.#buffer = undefined;
    this.#length = 0;
  }
}

const reserveMaxBytes = 256 * 1024;
