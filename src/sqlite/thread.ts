/** The event loop's end of a thread that owns a SQLite file: calls go there, answers come back. */
import { Fault, type FaultCode } from "../faults.ts";

/** What is posted to the thread. */
export interface Asked {
  readonly id: number;
  readonly call: string;
  readonly given: readonly unknown[];
}

/** What it posts back. */
export type Answer =
  | { readonly id: number; readonly result: unknown }
  | {
      readonly id: number;
      readonly message: string;
      /** Where it was a Fault. */
      readonly fault: FaultCode | undefined;
      /** No further call can succeed: the file is damaged, or a transaction can neither be ended nor undone. */
      readonly broken: boolean;
    };

export interface Thread {
  /** Calls are answered in the order in which they were asked. */
  ask<Result>(call: string, ...given: readonly unknown[]): Promise<Result>;
  /**
   * Resolves with the reason when the thread is lost, before the calls under way reject with it, as every later one does. Not for a thread
   * that was ended.
   */
  readonly broken: Promise<unknown>;
  /** Ends the thread. Afterwards every call rejects. */
  end(): void;
}

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

/** `what` the thread keeps, for messages: "the inbox". */
export function startThread(program: URL, what: string): Thread {
  const worker = new Worker(program.href);
  const { promise: broken, resolve: breakDown } = Promise.withResolvers<unknown>();
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  let lost: unknown;
  let isEnded = false;

  const lose = (reason: unknown): void => {
    lost ??= reason;
    // The thread of a file that was closed ends as well: nothing is lost by that. First of all, so that whoever's call ends knows why.
    if (!isEnded) breakDown(lost);
    for (const { reject } of waiting.values()) reject(lost);
    waiting.clear();
  };
  worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if ("result" in data) return call?.resolve(data.result as never);
    const error = data.fault === undefined ? new Error(data.message) : new Fault(data.fault, data.message);
    call?.reject(error);
    if (data.broken) lose(error);
  });
  worker.addEventListener("error", (event) => lose(new Error(`the thread of ${what} failed: ${event.message}`)));
  worker.addEventListener("close", () => lose(new Error(`the thread of ${what} has ended`)));

  return {
    broken,
    ask<Result>(call: string, ...given: readonly unknown[]): Promise<Result> {
      if (lost !== undefined) return Promise.reject(lost);
      return new Promise<Result>((resolve, reject) => {
        const id = ++lastId;
        waiting.set(id, { resolve, reject });
        worker.postMessage({ id, call, given } satisfies Asked, []);
      });
    },
    end() {
      isEnded = true;
      lost ??= new Error(`${what} is closed`);
      worker.terminate();
    },
  };
}
