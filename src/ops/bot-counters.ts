/** What is counted for each bot, as Prometheus reads it: filled from plain numbers when somebody asks. */
import { Counter, type Registry } from "prom-client";
import type { BotCounts } from "./counts.ts";

/** A bot that never met a rare event shows no series for it; of what an alert compares with (updates, 429s to come) there always is one. */
export function addBotCounters(registry: Registry, bots: ReadonlyMap<string, BotCounts>): void {
  const counter = (name: string, help: string, labelNames: readonly string[], fill: Fill): void => {
    const made: Counter = new Counter({
      name: `botfleet_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        made.reset();
        for (const [bot, counts] of bots) fill(made, bot, counts);
      },
    });
  };
  const updates = (name: string, help: string, of: (counts: BotCounts) => number): void =>
    counter(`updates_${name}_total`, help, ["bot"], (into, bot, counts) => into.inc({ bot }, of(counts)));
  const split = (name: string, help: string, label: string, of: (counts: BotCounts) => CountsOf): void =>
    counter(name, help, ["bot", label], (into, bot, counts) => fillNonZero(into, label, of(counts), { bot }));

  updates("received", "Updates made durable in the inbox.", ({ stored }) => stored);
  updates("duplicate", "Updates that Telegram delivered again and were ignored.", ({ known }) => known);
  updates("malformed", "What Telegram delivered and is no update: dead letters at once.", ({ malformed }) => malformed);
  updates("handled", "Updates whose handler came to its end.", ({ attempts }) => attempts.done);
  updates(
    "undeliverable",
    "Updates settled without a reply: Telegram refuses to write to their chat.",
    ({ attempts }) => attempts.undeliverable,
  );
  updates("retried", "Handler faults after which the update is tried again.", ({ attempts }) => attempts.retry);
  updates("dead", "Updates that became dead letters after their last attempt.", ({ attempts }) => attempts.dead);
  updates("expired", "Queries that waited too long to be answered.", ({ attempts }) => attempts.expired);
  split(
    "updates_postponed_total",
    "Attempts that do not count: cut short by an `outage`, or `kept` by a shutdown.",
    "why",
    ({ attempts: { outage, kept } }) => ({ outage, kept }),
  );
  split("polls_total", "Calls of the poller that ended, by what they brought.", "outcome", ({ polls }) => polls);
  split(
    "api_too_many_requests_total",
    "Answers 429, by whom Telegram meant; `poll`: a call of the poller.",
    "whom",
    ({ refusals, polls }) => ({ ...refusals, poll: polls.flood }),
  );
  counter("append_failures_total", "Batches that could not be made durable.", ["bot"], (into, bot, counts) =>
    into.inc({ bot }, counts.failedAppends),
  );
  counter("bot_events_total", "What the bot's module counts.", ["bot", "event"], (into, bot, { events }) => {
    for (const [event, count] of events) into.inc({ bot, event }, count);
  });
}

type CountsOf = Readonly<Record<string, number>>;
type Fill = (into: Counter, bot: string, counts: BotCounts) => void;

/** Series that never counted are left out: hundreds of bots would carry most of them for nothing. */
export function fillNonZero(into: Counter, label: string, counts: CountsOf, labels: Record<string, string>): void {
  for (const key in counts) {
    const count = counts[key];
    if (count !== undefined && count > 0) into.inc({ ...labels, [label]: key }, count);
  }
}
