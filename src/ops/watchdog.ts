/** Ends the process when its event loop is blocked for good: a thread of its own watches the heartbeat. */
import { Worker } from "node:worker_threads";
import type { Log } from "../log.ts";
import type { WatchdogOrder } from "./watchdog-worker.ts";

export interface WatchdogOptions {
  /** Element 0 changes as long as the event loop moves; see heartbeat.ts. */
  readonly beats: Int32Array<SharedArrayBuffer>;
  /** How long the event loop may stand still, ms. Time in which the watching thread did not run either does not count. */
  readonly maxMs: number;
  readonly log: Log;
}

export interface Watchdog {
  /** Resolves once the thread watches (false: it could not be started, which has been logged). */
  readonly watching: Promise<boolean>;
  stop(): Promise<void>;
}

/** Checks in the time that is allowed: the end comes late by at most one of them. */
const checks = 20;

/**
 * When the limit is passed, one line goes to stderr and the process ends with exit code 1 (SIGKILL where no C library can be
 * reached). The thread keeps no process alive.
 */
export function startWatchdog({ beats, maxMs, log }: WatchdogOptions): Watchdog {
  const order: WatchdogOrder = { beats, maxMs, checkMs: Math.max(1, Math.floor(maxMs / checks)) };
  const worker = new Worker(new URL("./watchdog-worker.ts", import.meta.url), { workerData: order });
  worker.unref();
  const watching = new Promise<boolean>((resolve) => {
    worker.once("message", () => resolve(true));
    worker.on("error", (error) => {
      log.error("the watchdog has ended; a blocked event loop will not end the process", { error });
      resolve(false);
    });
  });
  return {
    watching,
    async stop() {
      await worker.terminate();
    },
  };
}
