/**
 * What Prometheus reads. Parts count in plain numbers; prom-client sees them only when somebody asks (a child of its counters costs
 * 160 ns a count). Labels are bounded: `bot` is a configured name, `method` a name of the Bot API; never a chat, never a user.
 */
import { Counter, Registry } from "prom-client";
import { createProcessMetrics } from "./process-metrics.ts";
import type { AttemptResult } from "../pipeline-options.ts";
import type { CallOutcome } from "../telegram/call-error.ts";
import type { FloodKind } from "../telegram/flood-call.ts";
import type { FloodReason } from "../telegram/flood-port.ts";
import { addCallGauges, type CallStatus } from "./call-gauges.ts";
import { BotCounts, type BotMetrics, type Counts, zeroCalls } from "./counts.ts";
import { PlainHistogram, type Series } from "./plain-histogram.ts";
import { addStatusGauges } from "./status-gauges.ts";
import type { Status, StatusSource } from "./status.ts";

/** Why a call is made again within its attempt. */
export type RetryReason = "unreachable" | "flood";

export interface Metrics {
  /** The counts of the bot of that configured name: ask once and keep them. */
  bot(name: string): BotMetrics;
  called(method: string, outcome: CallOutcome): void;
  /** A call is made again. */
  retried(why: RetryReason): void;
  /** A call's wait in flood control is over. */
  floodWaited(kind: FloodKind, reason: FloodReason, waitedMs: number): void;
  /** A finished send of an earlier attempt was not repeated. */
  remembered(): void;
  /** `writes` of the inbox became durable together in `ms`. */
  flushed(writes: number, ms: number): void;
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
  /** False: no histograms (`ENABLE_PERFORMANCE_MONITORING`). */
  readonly histograms: boolean;
}

/** Seconds; fine around what a healthy bot takes, and far enough for the 99th percentile of a bad day (deadline 30 s, waits of a minute). */
const secondsBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 120, 300,
];
const flushBuckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5, 30];

/** Distinct methods counted by name; the Bot API has about 180. */
const methodsMax = 200;
const methodForm = /^[a-zA-Z]{1,40}$/;

/** Owns its registry: two of them in one process do not meet. */
export function createMetrics({ version, source, calls: callStatus, histograms }: MetricsOptions): Metrics {
  const registry = new Registry();
  const bots = new Map<string, BotCounts>();
  const calls = new Map<string, Counts<CallOutcome>>();
  const retries: Counts<RetryReason> = { unreachable: 0, flood: 0 };
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
  const perBot = (name: string, help: string, countOf: (counts: BotCounts) => number): void =>
    counter(name, help, ["bot"], (into) => {
      for (const [bot, counts] of bots) into.inc({ bot }, countOf(counts));
    });
  const perBotAnd = (
    label: string,
    name: string,
    help: string,
    countsOf: (counts: BotCounts) => Counts<string>,
  ): void =>
    counter(name, help, ["bot", label], (into) => {
      for (const [bot, counts] of bots) fillNonZero(into, label, countsOf(counts), { bot });
    });

  perBot("updates_received_total", "Updates made durable in the inbox.", (counts) => counts.stored);
  perBot(
    "updates_duplicate_total",
    "Updates that Telegram delivered again and were ignored.",
    (counts) => counts.known,
  );
  perBotAnd("result", "attempts_total", "Runs of a handler by how they ended.", (counts) => counts.attempts);
  perBotAnd("outcome", "polls_total", "Calls of getUpdates by what they brought.", (counts) => counts.polls);
  counter("api_calls_total", "Calls to the Bot API by how they ended.", ["method", "outcome"], (into) => {
    for (const [method, counts] of calls) fillNonZero(into, "outcome", counts, { method });
  });
  perBotAnd(
    "whom",
    "api_too_many_requests_total",
    "Answers 429, by whom Telegram meant; `poll`: to the poller's own calls.",
    (counts) => ({ ...counts.refusals, poll: counts.polls.flood }),
  );
  perBot("append_failures_total", "Batches that could not be made durable.", (counts) => counts.failedAppends);
  counter("api_retries_total", "Calls made again within their attempt.", ["why"], (into) =>
    fillNonZero(into, "why", retries, {}),
  );
  counter("sends_remembered_total", "Finished sends of an earlier attempt that were not repeated.", [], (into) =>
    into.inc(remembered),
  );
  counter("inbox_writes_total", "Appends, marks and settles made durable.", [], (into) => into.inc(writes));

  const labelledHistogram = (name: string, help: string, buckets: readonly number[]): PlainHistogram | undefined =>
    histograms ? new PlainHistogram({ name: `botfleet_${name}`, help, buckets, registry }) : undefined;
  const histogram: (...given: Parameters<typeof labelledHistogram>) => Series | undefined = (...given) =>
    labelledHistogram(...given)?.series();
  const handlerTime = histogram("handler_seconds", "Time of a handler at work on one update.", secondsBuckets);
  const updateTime = histogram(
    "update_seconds",
    "From the receipt of an update to its end, all attempts.",
    secondsBuckets,
  );
  const floodWait = labelledHistogram(
    "flood_wait_seconds",
    "Waits in flood control, by what they were for when they began.",
    secondsBuckets,
  );
  const flushTime = histogram("inbox_flush_seconds", "Time until a group of writes was durable.", flushBuckets);
  const observe = histograms
    ? (result: AttemptResult, handlerMs: number, sinceReceiptMs: number): void => {
        if (result !== "expired") handlerTime?.count(handlerMs / 1_000);
        // An update that will be run again has not come to its end.
        if (result === "done" || result === "undeliverable" || result === "dead")
          updateTime?.count(Math.max(0, sinceReceiptMs) / 1_000);
      }
    : undefined;

  const callsOf = (method: string): Counts<CallOutcome> => {
    const name = methodForm.test(method) && calls.size < methodsMax ? method : "other";
    const counts = calls.get(name) ?? zeroCalls();
    calls.set(name, counts);
    return counts;
  };

  let status: Status | undefined;
  let calling: CallStatus | undefined;
  addStatusGauges(registry, () => (status ??= source.status()));
  addCallGauges(registry, () => (calling ??= callStatus()));
  const processMetrics = createProcessMetrics({ registry, version });
  return {
    bot(name) {
      const counts = bots.get(name) ?? new BotCounts(observe);
      bots.set(name, counts);
      return counts;
    },
    called(method, outcome) {
      (calls.get(method) ?? callsOf(method))[outcome]++;
    },
    retried: (why) => void retries[why]++,
    floodWaited: (kind, reason, waitedMs) => floodWait?.series({ kind, reason }).count(waitedMs / 1_000),
    remembered: () => void remembered++,
    flushed(count, ms) {
      writes += count;
      flushTime?.count(ms / 1_000);
    },
    text() {
      status = calling = undefined;
      return registry.metrics();
    },
    contentType: registry.contentType,
    stop: () => processMetrics.stop(),
  };
}

/** Series that never counted are left out: hundreds of bots would carry most of them for nothing. */
function fillNonZero(into: Counter, label: string, counts: Counts<string>, labels: Record<string, string>): void {
  for (const key in counts) {
    const count = counts[key];
    if (count !== undefined && count > 0) into.inc({ ...labels, [label]: key }, count);
  }
}
