/** The thread that owns the SQLite file: everything that waits for the disk happens here, nothing on the event loop. */
import { Fault } from "../faults.ts";
import { isDamage, suspectDamage } from "../sqlite/damage.ts";
import { Place } from "../sqlite/place.ts";
import type { Answer } from "../sqlite/thread.ts";
import type { OpenOptions, Opened, Request } from "./sqlite-protocol.ts";
import { openSound } from "./sqlite-salvage.ts";
import type { SqliteStore } from "./sqlite-store.ts";

declare const self: Worker;

let opened: { readonly store: SqliteStore; readonly place: Place; readonly options: OpenOptions } | undefined;

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  const told = attempt(data);
  tell(told);
  // After the answer: nobody waits for it but the next commit.
  if (data.call === "commit") foldLog("message" in told);
});

function tell(told: Answer): void {
  self.postMessage(told, []);
}

function attempt(request: Request): Answer {
  try {
    return { id: request.id, result: answer(request) };
  } catch (error) {
    return failed(request.id, error);
  }
}

function answer(request: Request): unknown {
  if (request.call === "open") return open(...request.given);
  if (opened === undefined) throw new Error("the inbox file is not open");
  const { store, place, options } = opened;
  if (request.call === "close") return store.close(...request.given);
  if (request.call === "abandon") return store.abandon();
  place.recheck();
  switch (request.call) {
    case "commit": {
      const committed = store.commit(...request.given);
      place.check();
      if (options.fsyncDelayMs > 0) block(options.fsyncDelayMs);
      return committed;
    }
    case "unsettled":
      return store.unsettled(request.given[0], request.given[1]);
    case "bodies":
      return store.bodies(...request.given);
    case "stillUnsettled":
      return store.stillUnsettled(...request.given);
    case "letters":
      return store.letters(...request.given);
    case "letterCounts":
      return store.letterCounts();
    case "backlog":
      return store.backlog();
  }
}

function open(options: OpenOptions): Opened {
  const { store, salvaged } = openSound(options);
  opened = { store, place: new Place(options.path), options };
  return { salvaged };
}

/** `now`: however short the log is. After a failed commit it may be the log that found no room; folded, it starts anew. */
function foldLog(now: boolean): void {
  try {
    opened?.store.checkpoint(now);
  } catch {
    // The log stays as it is and is folded after a later commit; a disk that is full or failing shows in that commit.
  }
}

function failed(id: number, error: unknown): Answer {
  const isDamaged = isDamage(error);
  if (isDamaged && opened !== undefined) suspectDamage(opened.options.path);
  return {
    id,
    message: error instanceof Error ? error.message : String(error),
    fault: error instanceof Fault ? error.code : undefined,
    broken: isDamaged || opened?.store.isStuck() === true,
  };
}

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
