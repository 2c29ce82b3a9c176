/**
 * What Prometheus reads. Parts count in plain numbers; prom-client sees them only when somebody asks (a child of its counters costs
 * 160 ns a count). Labels are bounded: `bot` is a configured name, `method` a name of the Bot API; never a chat, never a user.
 */
import { Counter, Registry } from "prom-client";
import { addBotCounters, fillNonZero } from "./bot-counters.ts";
import { createProcessMetrics } from "./process-metrics.ts";
import type { CallOutcome } from "../telegram/call-error.ts";
import type { FloodKind } from "../telegram/flood-call.ts";
import type { FloodReason } from "../telegram/flood-port.ts";
import { addCacheMetrics, type CacheStatus } from "./cache-metrics.ts";
import { addCallGauges, type CallStatus } from "./call-gauges.ts";
import { BotCounts, type BotMetrics, type Counts, zeroCalls } from "./counts.ts";
import { type AskedTier, createHistograms } from "./histograms.ts";
import { addStatusGauges } from "./status-gauges.ts";
import { addFleetMetrics, type LeaseMeasure } from "./fleet-metrics.ts";
import { createMongodbMetrics, type MongodbMeasure } from "./mongodb-metrics.ts";
import type { Status, StatusSource } from "./status.ts";

/** Why a call is made again within its attempt. */
export type RetryReason = "unreachable" | "flood";

/** What was refused: updates that were polled, or the end of one that was handled. */
export type FencedWrite = "append" | "outcome";

export interface Metrics {
  /** The counts of the bot of that configured name: ask once and keep them. */
  bot(name: string): BotMetrics;
  /** `ms`: with all its tries and waits. */
  called(method: string, outcome: CallOutcome, ms: number): void;
  /** A call is made again. */
  retried(why: RetryReason): void;
  /** A call's wait in flood control is over. */
  floodWaited(kind: FloodKind, reason: FloodReason, waitedMs: number): void;
  /** A finished send of an earlier attempt was not repeated. */
  remembered(): void;
  /** A write to the inbox was refused because another instance has the claim now. */
  fenced(what: FencedWrite): void;
  /** `writes` of the inbox became durable together in `ms`. */
  flushed(writes: number, ms: number): void;
  /** A tier of users was asked, and answered or failed in `ms`. */
  tierAsked(tier: AskedTier, ms: number): void;
  readonly mongodb: MongodbMeasure;
  /** The text format of Prometheus. */
  text(): Promise<string>;
  readonly contentType: string;
  /** Ends the measuring of the event loop. */
  stop(): void;
}

export interface MetricsOptions {
  readonly version: string;
  /** Asked once for each scrape: where the gauges come from. */
  readonly source: StatusSource;
  /** The same for calls to Telegram; undefined before there are clients. */
  readonly calls: () => CallStatus | undefined;
  /** The same for the tiers of users; undefined where no module uses them. */
  readonly cache: () => CacheStatus | undefined;
  /** The same for the leases; undefined where there is no fleet. */
  readonly leases: () => LeaseMeasure | undefined;
  /** False: no histograms (`ENABLE_PERFORMANCE_MONITORING`). */
  readonly histograms: boolean;
  /** From when on an operation of MongoDB is slow, ms. */
  readonly slowMs: number;
  /** Wall-clock ms. */
  readonly now: () => number;
}

/** Distinct methods counted by name; the Bot API has about 180. */
const methodsMax = 200;
const methodForm = /^[a-zA-Z]{1,40}$/;

/** Owns its registry: two of them in one process do not meet. */
export function createMetrics(options: MetricsOptions): Metrics {
  const { version, source, calls: callStatus, cache: cacheStatus, leases, histograms, slowMs, now } = options;
  const registry = new Registry();
  const bots = new Map<string, BotCounts>();
  const calls = new Map<string, Counts<CallOutcome>>();
  const retries: Counts<RetryReason> = { unreachable: 0, flood: 0 };
  const fenced: Counts<FencedWrite> = { append: 0, outcome: 0 };
  let remembered = 0;
  let writes = 0;

  const counter = (name: string, help: string, labels: readonly string[], fill: (into: Counter) => void): void => {
    const made: Counter = new Counter({
      name: `botfleet_${name}`,
      help,
      labelNames: labels,
      registers: [registry],
      collect() {
        made.reset();
        fill(made);
      },
    });
  };
  addBotCounters(registry, bots);
  counter("api_calls_total", "Calls to the Bot API by how they ended.", ["method", "outcome"], (into) => {
    for (const [method, counts] of calls) fillNonZero(into, "outcome", counts, { method });
  });
  counter("api_retries_total", "Calls made again within their attempt.", ["why"], (into) =>
    fillNonZero(into, "why", retries, {}),
  );
  counter("sends_remembered_total", "Finished sends of an earlier attempt that were not repeated.", [], (into) =>
    into.inc(remembered),
  );
  counter("inbox_fenced_writes_total", "Writes refused because another instance has the claim now.", ["what"], (into) =>
    fillNonZero(into, "what", fenced, {}),
  );
  counter("inbox_writes_total", "Appends, marks and settles made durable.", [], (into) => into.inc(writes));
  const observed = histograms ? createHistograms(registry, now) : undefined;

  const callsOf = (method: string): Counts<CallOutcome> => {
    const name = methodForm.test(method) && calls.size < methodsMax ? method : "other";
    const counts = calls.get(name) ?? zeroCalls();
    calls.set(name, counts);
    return counts;
  };

  let status: Status | undefined;
  let calling: CallStatus | undefined;
  let caching: CacheStatus | undefined;
  addStatusGauges(registry, () => (status ??= source.status()), now);
  addCallGauges(registry, () => (calling ??= callStatus()));
  const mongodb = createMongodbMetrics(registry, histograms, slowMs);
  addCacheMetrics(registry, () => (caching ??= cacheStatus()));
  addFleetMetrics(registry, leases, () => (status ??= source.status()).fleet);
  const processMetrics = createProcessMetrics({ registry, version });
  return {
    bot(name) {
      const counts = bots.get(name) ?? new BotCounts(observed);
      bots.set(name, counts);
      return counts;
    },
    called(method, outcome, ms) {
      (calls.get(method) ?? callsOf(method))[outcome]++;
      observed?.called(ms);
    },
    retried: (why) => void retries[why]++,
    floodWaited: (kind, reason, waitedMs) => observed?.floodWaited(kind, reason, waitedMs),
    remembered: () => void remembered++,
    fenced: (what) => void fenced[what]++,
    flushed(count, ms) {
      writes += count;
      observed?.flushed(ms);
    },
    tierAsked: (tier, ms) => observed?.tierAsked(tier, ms),
    mongodb,
    text() {
      status = calling = caching = undefined;
      return registry.metrics();
    },
    contentType: registry.contentType,
    stop: () => processMetrics.stop(),
  };
}
