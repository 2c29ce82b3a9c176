/** A priority queue whose elements can leave it from anywhere: each knows its place. */
export interface Ranked {
  /** The least comes first. Only changed while it is in no heap. */
  rank: number;
  /** Place in its heap; the heap's. */
  place: number;
}

export class Heap<T extends Ranked> {
  private readonly items: T[] = [];

  get size(): number {
    return this.items.length;
  }

  get first(): T | undefined {
    return this.items[0];
  }

  add(item: T): void {
    this.rise(item, this.items.length);
  }

  /** It must be in this heap. */
  delete(item: T): void {
    const last = this.items.pop();
    if (last === undefined || last === item) return;
    this.sink(last, item.place);
    this.rise(last, last.place);
  }

  private rise(item: T, from: number): void {
    const { items } = this;
    let at = from;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = items[up] as T;
      if (parent.rank <= item.rank) break;
      this.put(parent, at);
      at = up;
    }
    this.put(item, at);
  }

  private sink(item: T, from: number): void {
    const { items } = this;
    let at = from;
    for (;;) {
      let down = 2 * at + 1;
      if (down >= items.length) break;
      if (down + 1 < items.length && (items[down + 1] as T).rank < (items[down] as T).rank) down++;
      const child = items[down] as T;
      if (child.rank >= item.rank) break;
      this.put(child, at);
      at = down;
    }
    this.put(item, at);
  }

  private put(item: T, at: number): void {
    this.items[at] = item;
    item.place = at;
  }
}
