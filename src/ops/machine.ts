/** Does this machine let botfleet open what its bots need? Asked once at the start; the answers are text for the operator. */
import { readFileSync } from "node:fs";

export interface MachineOptions {
  /** Bots that are configured: each keeps one request waiting at Telegram. */
  readonly bots: number;
  /** Handlers at work side by side: each may have one request under way. */
  readonly slots: number;
  /** Files kept aside for the sidecar, databases and files. */
  readonly filesReserved: number;
  /** The value of `BUN_CONFIG_MAX_HTTP_REQUESTS`. */
  readonly httpRequests: string | undefined;
  /** Soft limit of open files; undefined where it is not known or there is none. */
  readonly openFiles: number | undefined;
}

export interface MachineReport {
  /** It will not work: polls alone take more than there is. */
  readonly faults: readonly string[];
  /** It works until many handlers call out at once; then calls wait for each other. */
  readonly warnings: readonly string[];
}

/** What Bun allows at once when nothing is set. */
const httpRequestsDefault = 256;

export function checkMachine({ bots, slots, filesReserved, httpRequests, openFiles }: MachineOptions): MachineReport {
  const faults: string[] = [];
  const warnings: string[] = [];
  const check = (has: number, least: number, best: number, text: (needed: number) => string): void => {
    if (has < least) faults.push(text(best));
    else if (has < best) warnings.push(text(best));
  };
  const allowed = Number(httpRequests ?? httpRequestsDefault);
  const needs = `${bots} bots and ${slots} handlers at once`;
  check(Number.isInteger(allowed) && allowed > 0 ? allowed : httpRequestsDefault, bots + 1, bots + slots, (needed) => {
    const now = httpRequests === undefined ? `is not set, which means ${httpRequestsDefault}` : `is ${httpRequests}`;
    return `BUN_CONFIG_MAX_HTTP_REQUESTS ${now}; ${needs} need ${needed}. Set it to ${needed} in the environment before Bun starts.`;
  });
  if (openFiles !== undefined) {
    check(openFiles, bots + filesReserved, bots + slots + filesReserved, (needed) => {
      const how = `ulimit -n ${needed} (systemd: LimitNOFILE=${needed}; Docker: --ulimit nofile=${needed})`;
      return `at most ${openFiles} files may be open; ${needs} need ${needed}. Raise it: ${how}.`;
    });
  }
  return { faults, warnings };
}

/** The soft limit of open files of this process, from Linux' own list; undefined elsewhere, or where it is unlimited. */
export function openFilesOf(
  readLimits: () => string = () => readFileSync("/proc/self/limits", "utf8"),
): number | undefined {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readLimits())?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
