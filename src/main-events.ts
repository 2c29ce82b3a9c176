/** Counts and tells what the pipeline does. */
import type { BotId } from "./ids.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./ops/metrics.ts";
import type { PipelineEvents } from "./pipeline-options.ts";

export interface PipelineEventsOptions {
  readonly log: Log;
  /** Of the configured bots. */
  readonly names: ReadonlyMap<BotId, string>;
  readonly metrics: Pick<Metrics, "bot" | "fenced" | "remembered">;
  /** Other instances append as well, of bots that only they are configured with perhaps; else the opening of the inbox has told of all that there are. */
  readonly isFleet: boolean;
  /** An update becomes a dead letter. */
  readonly onDeath: () => void;
}

export function createPipelineEvents({ log, names, metrics, isFleet, onDeath }: PipelineEventsOptions): PipelineEvents {
  const counts = new Map([...names].map(([id, name]) => [id, metrics.bot(name)]));
  const told = new Set<BotId>();
  return {
    onAttempt: (bot, result, handlerMs, sinceReceiptMs, update) =>
      counts.get(bot)?.attempt(result, handlerMs, sinceReceiptMs, update),
    onRemembered: () => metrics.remembered(),
    onUnconfigured(id) {
      if (!isFleet || told.has(id)) return;
      told.add(id);
      log.warn(
        "updates of a bot that this instance is not configured with wait in the inbox, for an instance that is or until it is configured here",
        { id },
      );
    },
    onFenced: () => metrics.fenced("outcome"),
    onTrouble: (bot, { kind, updateId, error }) => {
      const fields = { bot: names.get(bot), update: updateId, error };
      switch (kind) {
        case "retry":
          return log.warn("a handler failed; the update is tried again", fields);
        case "dead":
          onDeath();
          return log.error("an update became a dead letter", fields);
        case "undeliverable":
          return log.debug("an update was settled unanswered: its chat cannot be written to", fields);
        case "outage":
          return log.debug("an update waits: something it needs is unavailable", fields);
        case "inbox":
          return log.error("the inbox could not be read or written", fields);
      }
    },
  };
}
