/** Port: where parts write what an operator should read. One line an event; `ops/log.ts` writes them as JSON. */

/** Least severe level that is written, from the wordiest to the quietest. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal";

/** What belongs to an event: plain data, and errors as they were caught (written as name, code, message; redacted). */
export type LogFields = Readonly<Record<string, unknown>>;

/** Never throws and never waits. The message is fixed text that can be searched for; what varies goes into the fields. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A log whose every line also carries `fields`; a field given with the line wins. */
  child(fields: LogFields): Log;
}
