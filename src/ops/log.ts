/**
 * The log as JSON lines:
 *
 *     {"level":"warn","time":"2026-01-31T12:00:00.000Z","bot":"shop","msg":"poll failed","error":{"name":"Fault","code":"unavailable",…}}
 */
import pino from "pino";
import type { Log, LogFields, LogLevel } from "../log.ts";
import type { LineOutput } from "./lines.ts";
import { toFields, toText, type PlainFields } from "./fields.ts";
import type { Redact } from "./redact.ts";

export interface LogOptions {
  /** Lines below this level are not written and cost nothing. */
  readonly level: LogLevel;
  readonly redact: Redact;
  readonly output: Pick<LineOutput, "write">;
  /** Wall-clock ms. */
  readonly now: () => number;
}

const ranks: Readonly<Record<LogLevel, number>> = { trace: 0, debug: 1, info: 2, warn: 3, error: 4, fatal: 5 };
/** Names that a line has anyway; JSON with one key twice is read differently by every reader. */
const taken = new Set(["level", "time", "msg"]);

/** Every text that reaches `output` has been redacted. Never throws. Errors are written as name, code, message, stack and cause. */
export function createLog({ level, redact, output, now }: LogOptions): Log {
  const lines = pino(
    {
      level,
      base: null,
      formatters: { level: (label) => ({ level: label }) },
      timestamp: () => `,"time":"${new Date(now()).toISOString()}"`,
    },
    output,
  );
  const plainOf = (fields: LogFields): PlainFields => {
    const plain = Object.entries(toFields(fields, redact));
    return Object.fromEntries(plain.map(([key, value]) => [taken.has(key) ? `${key}_` : key, value]));
  };
  const write = (
    at: "debug" | "info" | "warn" | "error",
    bound: PlainFields,
    message: string,
    fields: LogFields | undefined,
  ): void => {
    if (ranks[at] < ranks[level]) return;
    lines[at](fields === undefined ? bound : { ...bound, ...plainOf(fields) }, toText(message, redact));
  };
  const logWith = (bound: PlainFields): Log => ({
    debug: (message, fields) => write("debug", bound, message, fields),
    info: (message, fields) => write("info", bound, message, fields),
    warn: (message, fields) => write("warn", bound, message, fields),
    error: (message, fields) => write("error", bound, message, fields),
    child: (fields) => logWith({ ...bound, ...plainOf(fields) }),
  });
  return logWith({});
}
