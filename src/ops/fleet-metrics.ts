/** What the fleet looks like from this instance. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { FleetStatus } from "./status.ts";

/** Times since the start. */
export interface LeaseMeasure {
  readonly taken: number;
  readonly given: number;
  readonly lost: number;
  readonly lapses: number;
}

/** Each is asked once for a scrape, and answers undefined where there is no fleet. */
export function addFleetMetrics(
  registry: Registry,
  leases: () => LeaseMeasure | undefined,
  fleet: () => FleetStatus | undefined,
): void {
  const gauge = (name: string, help: string, labelNames: readonly string[], fill: (into: Gauge) => void): void => {
    const made: Gauge = new Gauge({
      name: `botfleet_${name}`,
      help,
      labelNames,
      registers: [registry],
      collect() {
        made.reset();
        if (labelNames.length === 0) made.remove();
        fill(made);
      },
    });
  };
  const changes: Counter = new Counter({
    name: "botfleet_lease_changes_total",
    help: "Claims on bots and partitions, by what became of them; `lapses`: times that none could be confirmed.",
    labelNames: ["what"],
    registers: [registry],
    collect() {
      changes.reset();
      for (const [what, count] of Object.entries(leases() ?? {})) changes.inc({ what }, count);
    },
  });
  gauge("instances", "Instances of the fleet that this one sees, by state.", ["state"], (into) => {
    for (const { state } of fleet()?.instances ?? []) into.inc({ state });
  });
  const own = () => {
    const seen = fleet();
    return seen?.instances.find(({ id }) => id === seen.self);
  };
  gauge("bots_owned", "Bots that this instance polls.", [], (into) => {
    const instance = own();
    if (instance !== undefined) into.set(instance.bots);
  });
  gauge("partitions_owned", "Partitions of the inbox whose updates this instance handles.", [], (into) => {
    const instance = own();
    if (instance !== undefined) into.set(instance.partitions);
  });
  gauge(
    "partition_backlog_updates",
    "Unsettled updates in a partition of the inbox, in the whole fleet.",
    ["partition"],
    (into) => {
      for (const { number, backlog } of fleet()?.partitions ?? []) {
        if (backlog !== undefined) into.set({ partition: String(number) }, backlog);
      }
    },
  );
}
