/** A timer of the event loop that says: still moving. `/health` reads it in the same thread, the watchdog from another one. */
import type { Clock, Timer } from "../clock.ts";

export interface Heartbeat {
  /** Monotonic ms of the last beat. */
  lastBeatAt(): number;
  /** Number of beats in element 0 (it wraps around), shared between threads. */
  readonly beats: Int32Array<SharedArrayBuffer>;
  stop(): void;
}

export function createHeartbeat({ clock, everyMs }: { readonly clock: Clock; readonly everyMs: number }): Heartbeat {
  const beats = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  let lastBeatAt = clock.monotonic();
  let timer: Timer;
  const beat = (): void => {
    lastBeatAt = clock.monotonic();
    Atomics.add(beats, 0, 1);
    timer = clock.setTimer(beat, everyMs);
  };
  timer = clock.setTimer(beat, everyMs);
  return { lastBeatAt: () => lastBeatAt, beats, stop: () => timer.cancel() };
}
