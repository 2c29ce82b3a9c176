/** Writes lines to a file descriptor without ever holding up the event loop or the end of the process. */
import { write as writeFile } from "node:fs";
import type { Clock } from "../clock.ts";

export interface LineOutput {
  /** Takes one line, its newline included. Never throws; drops the line (and counts it) when the reader is too slow or gone. */
  write(line: string): void;
  /** Resolves when everything taken so far is written, or was dropped. A reader that stands still keeps it waiting: race it. */
  flushed(): Promise<void>;
}

export interface LineOutputOptions {
  /** 1 for stdout. */
  readonly descriptor: number;
  /** Lines kept for a slow reader, characters; beyond it lines are dropped. */
  readonly bufferMaxChars: number;
  /** The line that tells the reader, once it reads again, how many it missed. */
  readonly droppedLine: (count: number) => string;
  readonly clock: Clock;
  /** As `fs.write`; tests hand in their own. */
  readonly writeBytes?: WriteBytes;
}

export type WriteBytes = (
  descriptor: number,
  bytes: Uint8Array,
  done: (error: { readonly code?: string } | null, written: number) => void,
) => void;

/** Wait before a descriptor that takes nothing just now is tried again, ms. */
const againMs = 20;

/**
 * One write at a time, on the thread pool: a pipe whose reader stands still blocks that thread and nobody else, and everything
 * that arrives meanwhile shares the next write. pino's own destination blocks the process at exit in that case.
 */
export function createLineOutput(options: LineOutputOptions): LineOutput {
  const { descriptor, bufferMaxChars, droppedLine, clock } = options;
  const writeBytes: WriteBytes = options.writeBytes ?? ((fd, bytes, done) => writeFile(fd, bytes, done));
  let waiting: string[] = [];
  let waitingChars = 0;
  let dropped = 0;
  let writing = false;
  let idle: (() => void)[] = [];

  const next = (): void => {
    if (waiting.length === 0) {
      writing = false;
      for (const resolve of idle) resolve();
      idle = [];
      return;
    }
    writing = true;
    if (dropped > 0) waiting.push(droppedLine(dropped));
    dropped = 0;
    const bytes = Buffer.from(waiting.join(""));
    waiting = [];
    waitingChars = 0;
    writeAll(bytes);
  };

  const writeAll = (rest: Uint8Array): void => {
    writeBytes(descriptor, rest, (error, written) => {
      // A descriptor that somebody made non-blocking: its reader is slow, not gone.
      if (error?.code === "EAGAIN") clock.setTimer(() => writeAll(rest), againMs);
      // EPIPE and the like: the reader is gone; what it would have read is dropped, and botfleet goes on.
      else if (error === null && written < rest.length) writeAll(rest.subarray(written));
      else next();
    });
  };

  return {
    write(line) {
      if (waitingChars + line.length > bufferMaxChars) {
        dropped++;
        return;
      }
      waiting.push(line);
      waitingChars += line.length;
      if (!writing) next();
    },
    flushed: () => (writing ? new Promise((resolve) => idle.push(resolve)) : Promise.resolve()),
  };
}
