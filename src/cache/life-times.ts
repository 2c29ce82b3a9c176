/** How lru-cache tells the time. */
import type { Clock } from "../clock.ts";

/**
 * Options of an LRUCache with a life time. `ttlResolution`: else it would read the clock once and again only after a timer of its own. Never 0,
 * because that is its word for an entry without a life time.
 */
export function lifeTimes(clock: Clock): { readonly ttlResolution: number; readonly perf: { now(): number } } {
  return { ttlResolution: 0, perf: { now: () => clock.monotonic() + 1 } };
}
