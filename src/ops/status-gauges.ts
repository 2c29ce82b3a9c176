/** The gauges that are read from the status: what waits, what is at work, which bot is in which state. */
import { Gauge, type Registry } from "prom-client";
import type { Status } from "./status.ts";

/** `status` is asked by each gauge: it answers the same object throughout one scrape. `now`: wall-clock ms. */
export function addStatusGauges(registry: Registry, status: () => Status, now: () => number): void {
  const gauge = (name: string, help: string, labels: readonly string[], fill: (into: Gauge) => void): void => {
    const made: Gauge = new Gauge({
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
  gauge("backlog_updates", "Unsettled updates.", ["bot"], (into) => {
    for (const bot of status().bots) into.set({ bot: bot.name }, bot.backlog);
  });
  gauge(
    "oldest_update_age_seconds",
    "Since the receipt of the oldest unsettled update; 0 without one.",
    ["bot"],
    (into) => {
      const at = now();
      for (const { name: bot, oldestReceivedAt } of status().bots) {
        into.set({ bot }, oldestReceivedAt === undefined ? 0 : Math.max(0, at - oldestReceivedAt) / 1_000);
      }
    },
  );
  gauge("last_poll_timestamp_seconds", "When Telegram last answered a poll, seconds since 1970.", ["bot"], (into) => {
    for (const { name: bot, lastPollAt } of status().bots) {
      if (lastPollAt !== undefined) into.set({ bot }, lastPollAt / 1_000);
    }
  });
  gauge("bot_state", "1 for the state a bot is in.", ["bot", "state"], (into) => {
    for (const bot of status().bots) into.set({ bot: bot.name, state: bot.state }, 1);
  });
  gauge("handlers_in_work", "Handlers at work.", [], (into) => into.set(status().pipeline.inWork));
  gauge("handlers_waiting", "Handlers that wait in flood control.", [], (into) => into.set(status().pipeline.waiting));
  gauge("dead_letters", "Updates given up, kept until an operator decides.", [], (into) =>
    into.set(status().inbox.deadLetters),
  );
  gauge("inbox_state", "1 for the state the inbox is in.", ["state"], (into) =>
    into.set({ state: status().inbox.state }, 1),
  );
}
