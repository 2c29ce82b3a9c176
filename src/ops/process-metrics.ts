/** Gauges of the process itself. prom-client's own defaults report nonsense on Bun (a heap of 6.4 GB), so these are ours. */
import { readdirSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, Gauge, type Registry } from "prom-client";

export interface ProcessMetricsOptions {
  readonly registry: Registry;
  readonly version: string;
}

/** How often the delay of the event loop is sampled, ms; a shorter pause than this is not seen. */
const delaySampleMs = 20;
/** Pauses of the loop are reported as they were since the scrape before. */
const quantiles = [
  ["0.5", 50],
  ["0.99", 99],
] as const;

export function createProcessMetrics({ registry, version }: ProcessMetricsOptions): { stop(): void } {
  const delay = monitorEventLoopDelay({ resolution: delaySampleMs });
  delay.enable();
  const gauge = (name: string, help: string, labels: readonly string[], fill: (into: Gauge) => void): void => {
    const made: Gauge = new Gauge({
      name: `botfleet_${name}`,
      help,
      labelNames: labels,
      registers: [registry],
      collect: () => fill(made),
    });
  };
  gauge("build_info", "1; its labels say what runs.", ["version", "bun"], (into) =>
    into.set({ version, bun: Bun.version }, 1),
  );
  gauge("process_start_time_seconds", "Start of the process, seconds since 1970.", [], (into) =>
    into.set(performance.timeOrigin / 1_000),
  );
  gauge("process_resident_memory_bytes", "Resident memory.", [], (into) => into.set(process.memoryUsage.rss()));
  gauge("process_open_fds", "Open file descriptors.", [], (into) => {
    const open = countOpenFiles();
    if (open !== undefined) into.set(open);
  });
  gauge("event_loop_delay_seconds", "Delay of the event loop since the scrape before.", ["quantile"], (into) => {
    for (const [quantile, percent] of quantiles) into.set({ quantile }, seconds(delay.percentile(percent)));
    into.set({ quantile: "1" }, seconds(delay.max));
    delay.reset();
  });
  const cpu: Counter = new Counter({
    name: "botfleet_process_cpu_seconds_total",
    help: "CPU time, user and system.",
    registers: [registry],
    collect() {
      const { user, system } = process.cpuUsage();
      cpu.reset();
      cpu.inc((user + system) / 1_000_000);
    },
  });
  return { stop: () => delay.disable() };
}

/** Without a sample yet, the histogram answers NaN or a minimum beyond any time. */
function seconds(nanoseconds: number): number {
  return Number.isFinite(nanoseconds) && nanoseconds < 1e15 ? nanoseconds / 1e9 : 0;
}

/** Undefined where the system does not list them as Linux does. */
function countOpenFiles(): number | undefined {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return undefined;
  }
}
