/** What the tiers of users tell: how often each knew, what it holds, and whether Redis is asked at all. */
import { Counter, Gauge, type Registry } from "prom-client";

/** Counts since the start, by user asked for. */
export interface CacheStatus {
  readonly memory: {
    readonly hits: number;
    readonly misses: number;
    readonly evictions: number;
    readonly held: number;
    readonly bytes: number;
  };
  /** Undefined where there is no second tier. */
  readonly redis: RedisStatus | undefined;
}

export interface RedisStatus {
  readonly hits: number;
  readonly misses: number;
  readonly damaged: number;
  readonly failures: number;
  readonly doubts: number;
  readonly owed: number;
  readonly breaker: "closed" | "open";
  readonly connections: number;
  readonly callsInFlight: number;
  /** Of its whole server, as last asked; undefined before. */
  readonly server: { readonly keys: number; readonly bytes: number; readonly evictions: number } | undefined;
}

type Kind = typeof Counter | typeof Gauge;
type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | undefined];

/** `status` is asked by each: it answers the same object throughout one scrape, and undefined where no module uses users. */
export function addCacheMetrics(registry: Registry, status: () => CacheStatus | undefined): void {
  const add = (kind: Kind, name: string, help: string, labelNames: readonly string[], of: SamplesOf): void => {
    const made: Counter | Gauge = new kind({
      name: `botfleet_cache_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        const now = status();
        made.reset();
        // Without labels prom-client shows a 0 that nobody measured.
        if (labelNames.length === 0) made.remove();
        if (now === undefined) return;
        for (const [labels, value] of of(now)) if (value !== undefined) made.inc(labels, value);
      },
    });
  };
  const perTier = (kind: Kind, name: string, help: string, of: PerTier): void =>
    add(kind, name, help, ["tier"], ({ memory, redis }) => [
      [{ tier: "memory" }, of.memory(memory)],
      [{ tier: "redis" }, redis && of.redis(redis)],
    ]);
  const ofRedis = (kind: Kind, name: string, help: string, of: (redis: RedisStatus) => number): void =>
    add(kind, name, help, [], ({ redis }) => [[{}, redis && of(redis)]]);

  perTier(Counter, "hits_total", "Users that a tier knew.", { memory: ({ hits }) => hits, redis: ({ hits }) => hits });
  perTier(Counter, "misses_total", "Users for whom the tier below was asked.", {
    memory: ({ misses }) => misses,
    redis: ({ misses }) => misses,
  });
  perTier(Counter, "evictions_total", "Dropped for lack of room; `redis`: of its whole server.", {
    memory: ({ evictions }) => evictions,
    redis: ({ server }) => server?.evictions,
  });
  perTier(Gauge, "entries", "Users held; `redis`: keys of its whole database.", {
    memory: ({ held }) => held,
    redis: ({ server }) => server?.keys,
  });
  perTier(Gauge, "bytes", "What they take, about; `redis`: memory of its whole server.", {
    memory: ({ bytes }) => bytes,
    redis: ({ server }) => server?.bytes,
  });
  ofRedis(Gauge, "breaker_open", "1 while Redis is not asked: calls fail.", ({ breaker }) =>
    Number(breaker === "open"),
  );
  ofRedis(Counter, "failures_total", "Calls to Redis that failed or took too long.", ({ failures }) => failures);
  ofRedis(
    Counter,
    "doubts_total",
    "Times that users in memory had to be checked: a heartbeat was missed, or Redis was away.",
    ({ doubts }) => doubts,
  );
  ofRedis(Counter, "damaged_total", "Values in Redis that were no users, and were replaced.", ({ damaged }) => damaged);
  ofRedis(Gauge, "owed_users", "Users whose change Redis has not been told yet.", ({ owed }) => owed);
  ofRedis(Gauge, "connections", "Connections to Redis that can be used.", ({ connections }) => connections);
  ofRedis(Gauge, "calls_in_flight", "Calls to Redis not answered yet.", ({ callsInFlight }) => callsInFlight);
}

type SamplesOf = (status: CacheStatus) => readonly Sample[];

interface PerTier {
  readonly memory: (memory: CacheStatus["memory"]) => number | undefined;
  readonly redis: (redis: RedisStatus) => number | undefined;
}
