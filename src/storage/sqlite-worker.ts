/** The thread that owns the file of the users: everything that waits for the disk happens here, nothing on the event loop. */
import { Fault, type FaultCode } from "../faults.ts";
import { isDamage, isSound, suspectDamage } from "../sqlite/damage.ts";
import { Place } from "../sqlite/place.ts";
import type { Answer } from "../sqlite/thread.ts";
import { format } from "./sqlite-format.ts";
import { type OpenOptions, type Request, writingCalls } from "./sqlite-protocol.ts";
import { openSqliteUsers, type SqliteUsers } from "./sqlite-users.ts";

declare const self: Worker;

type Call = Exclude<Request, { readonly call: "open" | "close" }>;

let opened: { readonly users: SqliteUsers; readonly place: Place; readonly options: OpenOptions } | undefined;

self.addEventListener("message", ({ data }: MessageEvent<Request>) => {
  const told = attempt(data);
  self.postMessage(told, []);
  // After the answer: nobody waits for it but the next call.
  if (writingCalls.has(data.call)) foldLog("message" in told);
});

function attempt(request: Request): Answer {
  try {
    return { id: request.id, result: answer(request) };
  } catch (error) {
    return failed(request.id, error);
  }
}

function answer(request: Request): unknown {
  if (request.call === "open") return open(...request.given);
  if (opened === undefined) throw new Error("the file of the users is not open");
  if (request.call === "close") return opened.users.close();
  const { place } = opened;
  place.recheck();
  const result = made(request, opened);
  if (writingCalls.has(request.call)) place.check();
  return result;
}

function made(request: Call, { users, options }: NonNullable<typeof opened>): unknown {
  switch (request.call) {
    case "read":
      return users.read(...request.given);
    case "find":
      return users.find(...request.given);
    case "ids":
      return users.ids(...request.given);
    case "histogram":
      return users.histogram();
    case "write":
      return slowed(users.write(...request.given), options);
    case "reward":
      return slowed(users.reward(...request.given), options);
    case "readSessions":
      return users.sessions.read(...request.given);
    case "writeSessions":
      return slowed(users.sessions.write(...request.given), options);
    case "emptied":
      return users.sessions.emptied(...request.given);
    case "removeSessions":
      return users.sessions.remove(...request.given);
    case "probe":
      return users.probe(...request.given);
  }
}

function open(options: OpenOptions): void {
  const { path } = options;
  try {
    if (!isSound(path, format)) throw damaged(path);
    const users = openSqliteUsers(options);
    opened = { users, place: new Place(path), options };
  } catch (error) {
    throw isDamage(error) ? damaged(path, error) : error;
  }
}

function damaged(path: string, cause?: unknown): Fault {
  const message =
    `the file of the users, ${path}, is damaged and was left as it is: salvage it with \`sqlite3 ${path} .recover | sqlite3 recovered.sqlite\`, ` +
    "or take a backup. Move it, its -wal and its -shm away before you put either in its place, or to begin without users";
  return new Fault("storage_damaged", message, { cause });
}

/** `now`: however short the log is. After a failed commit it may be the log that found no room; folded, it starts anew. */
function foldLog(now: boolean): void {
  try {
    opened?.users.checkpoint(now);
  } catch {
    // The log stays as it is and is folded after a later commit; a disk that is full or failing shows in that commit.
  }
}

/** What is wrong with the call, not with the disk. */
const mistakes = /^SQLITE_(?:ERROR|MISUSE|RANGE|MISMATCH|CONSTRAINT|TOOBIG)/;

function failed(id: number, error: unknown): Answer {
  const isDamaged = isDamage(error);
  if (isDamaged && opened !== undefined) suspectDamage(opened.options.path);
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const isOutage = opened !== undefined && code.startsWith("SQLITE_") && !mistakes.test(code);
  const fault: FaultCode | undefined = error instanceof Fault ? error.code : isOutage ? "unavailable" : undefined;
  return {
    id,
    message: error instanceof Error ? error.message : String(error),
    fault,
    broken: isDamaged || opened?.users.isStuck() === true,
  };
}

function slowed<T>(result: T, { fsyncDelayMs }: OpenOptions): T {
  if (fsyncDelayMs > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fsyncDelayMs);
  return result;
}
