/** The gauges that are read from the status: what waits, what is at work, which bot is in which state. */
import { Gauge, type Registry } from "prom-client";
import type { Status } from "./status.ts";

/** `status` is asked by each gauge: it answers the same object throughout one scrape. */
export function addStatusGauges(registry: Registry, status: () => Status): void {
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
