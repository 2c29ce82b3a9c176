/** Deadlines of thousands of calls on one timer: a timer wheel whose slots are one tick wide. */
import type { Clock, Timer } from "../clock.ts";

export interface DeadlinesOptions {
  readonly clock: Clock;
  /** Width of a slot, ms. */
  readonly tickMs: number;
}

export interface Deadlines {
  /** Calls `expire` once, `maxMs` to `maxMs + tickMs` from now. Returns how to call it off; idempotent. `expire` must not throw. */
  add(maxMs: number, expire: () => void): () => void;
}

/** No timer runs while nothing is due. */
export function createDeadlines({ clock, tickMs }: DeadlinesOptions): Deadlines {
  const slots = new Map<number, Set<() => void>>();
  let timer: Timer | undefined;
  let timerTick = Infinity;

  function arm(tick: number): void {
    timer?.cancel();
    timerTick = tick;
    timer = clock.setTimer(fire, Math.max(0, tick * tickMs - clock.monotonic()));
  }

  function fire(): void {
    timer = undefined;
    timerTick = Infinity;
    const nowTick = Math.floor(clock.monotonic() / tickMs);
    let next = Infinity;
    const due: (() => void)[] = [];
    for (const [tick, slot] of slots) {
      if (tick > nowTick) {
        next = Math.min(next, tick);
        continue;
      }
      slots.delete(tick);
      due.push(...slot);
      slot.clear();
    }
    if (next !== Infinity) arm(next);
    for (const expire of due) expire();
  }

  function slotAt(tick: number): Set<() => void> {
    const known = slots.get(tick);
    if (known !== undefined) return known;
    const slot = new Set<() => void>();
    slots.set(tick, slot);
    if (tick < timerTick) arm(tick);
    return slot;
  }

  return {
    add(maxMs, expire) {
      const tick = Math.ceil((clock.monotonic() + maxMs) / tickMs);
      const slot = slotAt(tick);
      slot.add(expire);
      return () => {
        if (!slot.delete(expire) || slot.size > 0 || !slots.delete(tick) || slots.size > 0) return;
        timer?.cancel();
        timer = undefined;
        timerTick = Infinity;
      };
    },
  };
}
