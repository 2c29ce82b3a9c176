/** The SQLite store behind promises: calls go to the worker, answers come back. */
import { Fault } from "../faults.ts";
import type { Answer, OpenOptions, Opened, Request } from "./sqlite-protocol.ts";
import type { Salvaged } from "./sqlite-salvage.ts";
import type { InboxStore } from "./store.ts";

export interface SqliteWorker {
  readonly store: InboxStore;
  readonly salvaged: Salvaged | undefined;
  /** Closes the file without recording an end, as the death of the process would, and ends the thread. */
  abandon(): Promise<void>;
  /** Ends the thread. Afterwards every call rejects. */
  end(): void;
}

interface Waiting {
  readonly resolve: (result: never) => void;
  readonly reject: (error: unknown) => void;
}

/** Starts the worker and has it open the file. Rejects as `openSound` throws, with the thread ended. */
export async function connectWorker(options: OpenOptions): Promise<SqliteWorker> {
  const worker = new Worker(new URL("./sqlite-worker.ts", import.meta.url).href);
  const { promise: broken, resolve: breakDown } = Promise.withResolvers<unknown>();
  const waiting = new Map<number, Waiting>();
  let lastId = 0;
  let lost: unknown;
  let isEnded = false;

  const lose = (reason: unknown): void => {
    lost ??= reason;
    for (const { reject } of waiting.values()) reject(lost);
    waiting.clear();
    // The thread of an inbox that was closed ends as well: nothing is lost by that.
    if (!isEnded) breakDown(lost);
  };
  worker.addEventListener("message", ({ data }: MessageEvent<Answer>) => {
    const call = waiting.get(data.id);
    waiting.delete(data.id);
    if ("result" in data) return call?.resolve(data.result as never);
    const error = data.fault === undefined ? new Error(data.message) : new Fault(data.fault, data.message);
    call?.reject(error);
    if (data.broken) lose(error);
  });
  worker.addEventListener("error", (event) => lose(new Error(`the inbox thread failed: ${event.message}`)));
  worker.addEventListener("close", () => lose(new Error("the inbox thread has ended")));

  function ask<Result>(call: Request["call"], ...given: readonly unknown[]): Promise<Result> {
    if (lost !== undefined) return Promise.reject(lost);
    return new Promise<Result>((resolve, reject) => {
      const id = ++lastId;
      waiting.set(id, { resolve, reject });
      worker.postMessage({ id, call, given }, []);
    });
  }

  const end = (): void => {
    isEnded = true;
    lost ??= new Error("the inbox is closed");
    worker.terminate();
  };
  const abandon = async (): Promise<void> => {
    await ask("abandon");
    end();
  };
  const store: InboxStore = {
    commit: (group) => ask("commit", group),
    unsettled: (after, max) => ask("unsettled", after, max),
    bodies: (seqs) => ask("bodies", seqs),
    letters: (filter) => ask("letters", filter),
    letterCounts: () => ask("letterCounts"),
    backlog: () => ask("backlog"),
    close: (clean) => ask("close", clean),
    broken,
  };
  try {
    const { salvaged } = await ask<Opened>("open", options);
    return { store, salvaged, abandon, end };
  } catch (error) {
    end();
    throw error;
  }
}
