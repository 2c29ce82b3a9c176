/** The histograms: chosen so that p95 and p99 can be read up to a minute. None carries a bot, or hundreds of bots would make each 23 times as long. */
import type { Registry } from "prom-client";
import type { AttemptResult } from "../pipeline-options.ts";
import type { FloodKind } from "../telegram/flood-call.ts";
import type { FloodReason } from "../telegram/flood-port.ts";
import type { Update } from "../ids.ts";
import { PlainHistogram } from "./plain-histogram.ts";
import { dateOf } from "./update-date.ts";

export interface Histograms {
  attempt(result: AttemptResult, handlerMs: number, sinceReceiptMs: number, update: Update): void;
  called(ms: number): void;
  floodWaited(kind: FloodKind, reason: FloodReason, ms: number): void;
  appended(ms: number): void;
  flushed(ms: number): void;
  tierAsked(tier: AskedTier, ms: number): void;
}

/** Memory answers at once. */
export type AskedTier = "redis" | "storage";

/** Seconds; fine around what a healthy bot takes, and far enough for the 99th percentile of a bad day (deadline 30 s, waits of a minute). */
const secondsBuckets = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 120, 300,
];
/** For what ends within the deadline of a cache, and for the storage behind it. */
const tierBuckets = [
  0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
];
/** For what ends with the disk. */
const flushBuckets = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** `now`: wall-clock ms. */
export function createHistograms(registry: Registry, now: () => number): Histograms {
  const labelled = (name: string, help: string, buckets: readonly number[]): PlainHistogram =>
    new PlainHistogram({ name: `botfleet_${name}`, help, buckets, registry });
  const handler = labelled(
    "handler_seconds",
    "Time of a handler at work on one update, without its waits in flood control.",
    secondsBuckets,
  ).series();
  const update = labelled(
    "update_seconds",
    "From the receipt of an update to its end, with all attempts and waits.",
    secondsBuckets,
  ).series();
  const sinceDate = labelled(
    "update_since_date_seconds",
    "From the date that Telegram gives an update to its end: whole seconds, so up to 1 s too long; updates without a date are left out.",
    secondsBuckets,
  ).series();
  const call = labelled(
    "api_call_seconds",
    "Time of a call to the Bot API, with all its tries and waits.",
    secondsBuckets,
  ).series();
  const floodWait = labelled(
    "flood_wait_seconds",
    "Waits in flood control, by what they were for when they began.",
    secondsBuckets,
  );
  const append = labelled("inbox_append_seconds", "Time until a batch of updates was durable.", flushBuckets).series();
  const flush = labelled("inbox_flush_seconds", "Time that a transaction of the inbox took.", flushBuckets).series();
  const tiers = labelled("cache_read_seconds", "Time of a question to a tier of users below memory.", tierBuckets);
  return {
    attempt(result, handlerMs, sinceReceiptMs, handled) {
      if (result !== "expired") handler.count(handlerMs / 1_000);
      // An update that will be run again has not come to its end.
      if (result !== "done" && result !== "undeliverable" && result !== "dead") return;
      update.count(sinceReceiptMs / 1_000);
      const date = dateOf(handled);
      if (date !== undefined) sinceDate.count(Math.max(0, now() - date) / 1_000);
    },
    called: (ms) => call.count(ms / 1_000),
    floodWaited: (kind, reason, ms) => floodWait.series({ kind, reason }).count(ms / 1_000),
    appended: (ms) => append.count(ms / 1_000),
    flushed: (ms) => flush.count(ms / 1_000),
    tierAsked: (tier, ms) => tiers.series({ tier }).count(ms / 1_000),
  };
}
