/** The SQLite store behind promises: calls go to the worker, answers come back. */
import { startThread } from "../sqlite/thread.ts";
import type { OpenOptions, Opened, Request } from "./sqlite-protocol.ts";
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

/** Starts the worker and has it open the file. Rejects as `openSound` throws, with the thread ended. */
export async function connectWorker(options: OpenOptions): Promise<SqliteWorker> {
  const thread = startThread(new URL("./sqlite-worker.ts", import.meta.url), "the inbox");
  const end = (): void => thread.end();
  const ask = <Result>(call: Request["call"], ...given: readonly unknown[]): Promise<Result> =>
    thread.ask(call, ...given);
  const abandon = async (): Promise<void> => {
    await ask("abandon");
    end();
  };
  const store: InboxStore = {
    commit: (group) => ask("commit", group),
    unsettled: (after, max) => ask("unsettled", after, max),
    bodies: (seqs) => ask("bodies", seqs),
    stillUnsettled: (seqs) => ask("stillUnsettled", seqs),
    letters: (filter) => ask("letters", filter),
    letterCounts: () => ask("letterCounts"),
    backlog: () => ask("backlog"),
    close: (clean) => ask("close", clean),
    broken: thread.broken,
  };
  try {
    const { salvaged } = await ask<Opened>("open", options);
    return { store, salvaged, abandon, end };
  } catch (error) {
    end();
    throw error;
  }
}
