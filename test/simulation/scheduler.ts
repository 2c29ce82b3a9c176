/**
 * Virtual time in which everything that happens is one event of a queue, ordered by time and, where times are equal, by chance: the seed
 * decides every interleaving, and the same seed replays the same run.
 */
import type { Clock, Random, Timer } from "../../src/clock.ts";

/** A process that can die: nothing it had planned happens afterwards. */
export interface Life {
  isDead: boolean;
  /** While it stands still (SIGSTOP), what is due waits; then it happens in any order. Absent: never. */
  readonly pausedUntilMs?: number;
}

interface Event {
  dueMs: number;
  tie: number;
  readonly life: Life | undefined;
  readonly run: () => void;
  isCancelled: boolean;
}

/** A small generator with 32 bits of state (mulberry32): good enough to pick interleavings, and it replays. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class Scheduler {
  readonly random: Random;
  nowMs = 0;
  /** Events run so far: what a run that never settles is cut off by. */
  steps = 0;
  private readonly heap: Event[] = [];

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  /** The clock of one life: its timers never fire after its end. */
  clock(life?: Life): Clock {
    return {
      now: () => 1_700_000_000_000 + this.nowMs,
      monotonic: () => this.nowMs,
      setTimer: (run, ms) => this.at(Math.max(0, ms), run, life),
    };
  }

  at(inMs: number, run: () => void, life?: Life): Timer {
    const event: Event = { dueMs: this.nowMs + inMs, tie: this.random(), life, run, isCancelled: false };
    this.push(event);
    return {
      cancel: () => {
        event.isCancelled = true;
      },
    };
  }

  between(min: number, max: number): number {
    return min + this.random() * (max - min);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)] as T;
  }

  /** Runs events until `isDone` or until virtual time `untilMs`; false where it was not done by then. */
  async run(isDone: () => boolean, untilMs: number, maxSteps = 200_000): Promise<boolean> {
    await settled();
    while (!isDone()) {
      const event = this.heap[0];
      if (event === undefined || event.dueMs > untilMs || this.steps >= maxSteps) return false;
      this.pop();
      if (event.isCancelled || event.life?.isDead === true) continue;
      this.nowMs = Math.max(this.nowMs, event.dueMs);
      const pausedUntilMs = event.life?.pausedUntilMs ?? 0;
      if (pausedUntilMs > this.nowMs) {
        event.dueMs = pausedUntilMs;
        event.tie = this.random();
        this.push(event);
        continue;
      }
      this.steps++;
      event.run();
      await settled();
    }
    return true;
  }

  private push(event: Event): void {
    const heap = this.heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  private pop(): Event | undefined {
    const heap = this.heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.tie < b.tie);
}

/** Every microtask that is ready, and all that they make ready, has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
