/** What MongoDB costs: its connections, the waits for them, and its commands. */
import { Counter, Gauge, type Registry } from "prom-client";
import { PlainHistogram } from "./plain-histogram.ts";

/** Counted by the store, read when somebody asks. */
export interface MongodbMeasure {
  readonly pool: PoolNumbers;
  /** Set by whoever asks the server now and then; undefined where it does not answer. */
  queries: QueryNumbers | undefined;
  /** A connection was waited for. */
  checkedOut(ms: number): void;
  /** `operation`: one of the store's own words. */
  command(collection: string, operation: string, ms: number, end: "ok" | "failed"): void;
}

export interface PoolNumbers {
  open: number;
  checkedOut: number;
  waiting: number;
  timeouts: number;
  failures: number;
}

/** Of the whole server since its start; undefined where it does not count them. */
export interface QueryNumbers {
  readonly examined: number | undefined;
  readonly returned: number | undefined;
}

/** Seconds. */
const buckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** `slowMs`: from when on a command is counted as slow. `histograms`: false leaves the times out. */
export function createMongodbMetrics(registry: Registry, histograms: boolean, slowMs: number): MongodbMeasure {
  const pool: PoolNumbers = { open: 0, checkedOut: 0, waiting: 0, timeouts: 0, failures: 0 };
  const failed = new Map<string, number>();
  const slow = new Map<string, number>();
  const ofCommand = ["collection", "operation"];
  const registers = [registry];
  const connections: Gauge = new Gauge({
    name: "botfleet_mongodb_connections",
    help: "Connections to MongoDB: `open` in all, `checked_out` of them at work; `waiting`: commands that wait for one.",
    labelNames: ["state"],
    registers,
    collect() {
      connections.set({ state: "open" }, pool.open);
      connections.set({ state: "checked_out" }, pool.checkedOut);
      connections.set({ state: "waiting" }, pool.waiting);
    },
  });
  const checkouts: Counter = new Counter({
    name: "botfleet_mongodb_checkout_failures_total",
    help: "Commands that got no connection: none was free in time, or none could be opened.",
    labelNames: ["why"],
    registers,
    collect() {
      checkouts.reset();
      checkouts.inc({ why: "timeout" }, pool.timeouts);
      checkouts.inc({ why: "unreachable" }, pool.failures);
    },
  });
  const counter = (name: string, help: string, counts: ReadonlyMap<string, number>): void => {
    const made: Counter = new Counter({
      name: `botfleet_mongodb_${name}`,
      help,
      labelNames: ofCommand,
      registers,
      collect() {
        made.reset();
        for (const [key, times] of counts) made.inc(labelsOf(key), times);
      },
    });
  };
  counter("failures_total", "Operations that MongoDB did not do, or not knowably.", failed);
  counter("slow_total", `Operations of MongoDB that took over ${slowMs} ms.`, slow);
  const documents: Counter = new Counter({
    name: "botfleet_mongodb_documents_total",
    help: "Documents of queries, of the whole server: `examined` by them and `returned`. More examined than returned: an index is missing.",
    labelNames: ["what"],
    registers,
    collect() {
      documents.reset();
      const { queries } = measure;
      for (const [what, value] of Object.entries(queries ?? {}))
        if (value !== undefined) documents.inc({ what }, value);
    },
  });
  const observed = histograms ? timed(registry) : undefined;
  const measure: MongodbMeasure = {
    pool,
    queries: undefined,
    checkedOut: (ms) => observed?.checkout(ms),
    command(collection, operation, ms, end) {
      observed?.command(collection, operation, ms);
      if (end === "failed") count(failed, collection, operation);
      if (ms > slowMs) count(slow, collection, operation);
    },
  };
  return measure;
}

function timed(registry: Registry) {
  const checkout = new PlainHistogram({
    name: "botfleet_mongodb_checkout_seconds",
    help: "Waits for a connection to MongoDB.",
    buckets,
    registry,
  }).series();
  const commands = new PlainHistogram({
    name: "botfleet_mongodb_seconds",
    help: "Time of an operation of MongoDB, of as many users as it was given, with its wait for a connection.",
    buckets,
    registry,
  });
  return {
    checkout: (ms: number) => checkout.count(ms / 1_000),
    command: (collection: string, operation: string, ms: number) =>
      commands.series({ collection, operation }).count(ms / 1_000),
  };
}

function count(counts: Map<string, number>, collection: string, operation: string): void {
  const key = `${collection}\n${operation}`;
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function labelsOf(key: string): { readonly collection: string; readonly operation: string } {
  const [collection = "", operation = ""] = key.split("\n");
  return { collection, operation };
}
