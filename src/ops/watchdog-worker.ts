/** The thread of the watchdog: a program of its own, the one file that works when it is loaded. */
import { dlopen } from "bun:ffi";
import { write } from "node:fs";
import { isMainThread, parentPort, workerData } from "node:worker_threads";

export interface WatchdogOrder {
  readonly beats: Int32Array<SharedArrayBuffer>;
  readonly maxMs: number;
  readonly checkMs: number;
}

/** A stderr whose reader stands still must not keep a dead process alive, ms. */
const farewellMaxMs = 500;

/** `process.exit` in a thread of Bun ends only the thread; `_exit` of the C library ends the process, as exit code 1. */
function exitOf(): () => void {
  const cpu = process.arch === "arm64" ? "aarch64" : "x86_64";
  const libraries =
    process.platform === "darwin" ? ["libSystem.B.dylib"] : ["libc.so.6", `libc.musl-${cpu}.so.1`, "libc.so"];
  for (const library of libraries) {
    try {
      const { symbols } = dlopen(library, { _exit: { args: ["i32"], returns: "void" } });
      return () => symbols["_exit"](1);
    } catch {
      // Another system's name for it: the next one is tried, and at the end there is SIGKILL.
    }
  }
  return () => process.kill(process.pid, "SIGKILL");
}

function watch({ beats, maxMs, checkMs }: WatchdogOrder): void {
  // Found before it is needed: opening a library later could fail on a machine in trouble.
  const exit = exitOf();
  let seen = Atomics.load(beats, 0);
  let stalledMs = 0;
  let checkedAt = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    // Time without this thread (SIGSTOP, a sleeping laptop, a starved machine) is time without the other one: no fault of a handler.
    const passedMs = Math.min(now - checkedAt, checkMs);
    checkedAt = now;
    const beat = Atomics.load(beats, 0);
    stalledMs = beat === seen ? stalledMs + passedMs : 0;
    seen = beat;
    if (stalledMs <= maxMs) return;
    clearInterval(timer);
    write(2, farewell(stalledMs), exit);
    setTimeout(exit, farewellMaxMs);
  }, checkMs);
  parentPort?.postMessage("watching", []);
}

function farewell(stalledMs: number): string {
  const line = {
    level: "error",
    time: new Date().toISOString(),
    stalledMs: Math.round(stalledMs),
    msg:
      "the event loop stood still: a handler computes without pause; the process ends with exit code 1. Which update it was cannot be " +
      "told from outside: those in work are in the inbox, and after the restart they are handled again with care, in the end one at a time",
  };
  return `${JSON.stringify(line)}\n`;
}

if (!isMainThread) watch(workerData as WatchdogOrder);
