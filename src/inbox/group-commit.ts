/**
 * Puts the writes of all bots that come within `groupMaxMs` (outcomes alone: `settleMaxMs`) into one transaction, because a transaction
 * costs many times what a row does. One commit is in flight at a time; the next group gathers meanwhile. Each write ends when its commit is durable.
 *
 *     ok ── commit fails ──► failing ── commit succeeds ──► ok          any ── the store breaks ──► broken, for good
 *
 * A failed commit refuses its appends (Telegram still has them) and keeps the rest, which is tried again every `writeRetryMs`, alone:
 * where the disk is full for new bodies there may be room to settle. While nothing is kept, an empty group tells when writing works again.
 */
import type { Clock, Timer } from "../clock.ts";
import { Fault } from "../faults.ts";
import { type Seq, toSeq } from "../ids.ts";
import { type Encoded, freshEntry } from "./encoding.ts";
import type { Appended, Entry } from "./inbox.ts";
import type { Committed, DeathWrite, Group, InboxStore, LetterResult, LetterWrite, MarkWrite } from "./store.ts";

export interface GroupLimits {
  /** Longest wait of a write that somebody waits for, ms. */
  readonly groupMaxMs: number;
  /** Longest wait of an outcome: nobody waits for it, and until it is written a crash repeats its update; ms. */
  readonly settleMaxMs: number;
  readonly groupMaxWrites: number;
  readonly writeRetryMs: number;
}

export interface GroupCommitOptions {
  readonly commit: InboxStore["commit"];
  readonly clock: Clock;
  readonly limits: GroupLimits;
  /** After each successful commit, before its writes resolve: what it stored, in rising seq. */
  readonly onCommitted: (stored: readonly Entry[], settledBelow: Seq, writes: number, ms: number) => void;
  /** After each failed one, before its appends reject. */
  readonly onFailed: (error: unknown) => void;
}

interface Waiting {
  /** False once the claim under which the write was made is lost: then it is left out. */
  readonly valid: () => boolean;
  readonly reject: (fault: Fault) => void;
}

interface Append extends Waiting {
  readonly kind: "append";
  readonly encoded: Encoded;
  readonly resolve: (appended: Appended) => void;
}

/** Writes that a failed commit keeps. */
type Kept = Waiting &
  (
    | { readonly kind: "done"; readonly seq: Seq; readonly resolve: () => void }
    | { readonly kind: "death"; readonly write: DeathWrite; readonly resolve: () => void }
    | { readonly kind: "marks"; readonly writes: readonly MarkWrite[]; readonly resolve: () => void }
    | {
        readonly kind: "letter";
        readonly write: LetterWrite;
        /** A commit that held it failed, and may have been applied all the same. */
        wasTried: boolean;
        readonly resolve: (end: LetterResult["kind"]) => void;
      }
  );

export type Write = Append | Kept;

interface Batch {
  readonly kept: readonly Kept[];
  readonly appends: readonly Append[];
}

export class GroupCommit {
  readonly #options: GroupCommitOptions;
  #kept: Kept[] = [];
  #appends: Append[] = [];
  #size = 0;
  /** When what waits must be written at the latest, monotonic ms. */
  #dueAt = Infinity;
  /** When `#timer` fires. */
  #timerAt = Infinity;
  #inFlight: { readonly batch: Batch; readonly ended: Promise<void> } | undefined;
  #timer: Timer | undefined;
  #condition: "ok" | "failing" | "stopping" | "closed" = "ok";
  #closedBecause: unknown;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  isFailing(): boolean {
    return this.#condition === "failing" || this.#closedBecause !== undefined;
  }

  add(write: Write): void {
    if (this.#condition === "closed") return write.reject(this.#closedFault(write));
    this.#dueAt = Math.min(this.#dueAt, this.#options.clock.monotonic() + this.#waitMs(write));
    if (write.kind === "append") this.#appends.push(write);
    else this.#kept.push(write);
    this.#size += sizeOf(write);
    this.#schedule();
  }

  /** Writes what waits. What cannot be written now rejects. True where nothing was left. */
  async stop(): Promise<boolean> {
    if (this.#condition === "closed") return false;
    this.#condition = "stopping";
    this.#timer?.cancel();
    await this.#inFlight?.ended;
    let isWritten = true;
    while (isWritten && this.#size > 0) isWritten = await this.#commit();
    this.#close(undefined);
    return isWritten;
  }

  /** The store is gone: everything that waits or comes later rejects. */
  break(reason: unknown): void {
    if (this.#condition !== "closed") this.#close(reason);
  }

  #schedule(): void {
    if (this.#inFlight !== undefined || (this.#condition !== "ok" && this.#condition !== "failing")) return;
    const { clock, limits } = this.#options;
    if (this.#condition === "failing") {
      this.#timer ??= clock.setTimer(() => this.#start(), limits.writeRetryMs);
      return;
    }
    if (this.#size === 0) return;
    const waitMs = this.#dueAt - clock.monotonic();
    if (waitMs <= 0 || this.#size >= limits.groupMaxWrites) {
      this.#start();
    } else if (this.#dueAt < this.#timerAt) {
      this.#timer?.cancel();
      this.#timerAt = this.#dueAt;
      this.#timer = clock.setTimer(() => this.#start(), waitMs);
    }
  }

  #waitMs(write: Write): number {
    const { groupMaxMs, settleMaxMs } = this.#options.limits;
    return write.kind === "done" || write.kind === "death" ? settleMaxMs : groupMaxMs;
  }

  #start(): void {
    void this.#commit().then(() => this.#schedule()); // Never rejects: both ends of a commit are handled within.
  }

  /** False where it failed. Never rejects for a fault of the store. */
  async #commit(): Promise<boolean> {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = Infinity;
    const { clock, commit } = this.#options;
    const batch = this.#take();
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    const flight = { batch, ended };
    this.#inFlight = flight;
    const startedAt = clock.monotonic();
    const result = await commit(groupOf(batch, clock.now())).then(
      (committed) => ({ committed }),
      (error: unknown) => ({ error }),
    );
    // Broken meanwhile: its writes have been rejected.
    if (this.#inFlight !== flight) return false;
    this.#inFlight = undefined;
    if ("error" in result) this.#failed(batch, result.error);
    else this.#succeeded(batch, result.committed, clock.monotonic() - startedAt);
    end();
    return !("error" in result);
  }

  #succeeded(batch: Batch, committed: Committed, ms: number): void {
    if (this.#condition === "failing") this.#condition = "ok";
    const writes = [...batch.kept, ...batch.appends].reduce((sum, write) => sum + sizeOf(write), 0);
    this.#options.onCommitted(storedBy(batch, committed), committed.settledBelow, writes, ms);
    resolveAll(batch, committed);
  }

  #failed({ kept, appends }: Batch, error: unknown): void {
    if (this.#condition === "ok") this.#condition = "failing";
    this.#kept = [...kept, ...this.#kept];
    for (const write of kept) {
      this.#size += sizeOf(write);
      if (write.kind === "letter") write.wasTried = true;
    }
    this.#options.onFailed(error);
    for (const append of appends) append.reject(refused(error));
  }

  /** What the next transaction writes; writes whose claim is lost reject and are left out. */
  #take(): Batch {
    const { groupMaxWrites } = this.#options.limits;
    let size = 0;
    const upTo = (from: readonly Write[]): number => {
      let count = 0;
      for (; count < from.length && size < groupMaxWrites; count++) size += sizeOf(from[count]);
      return count;
    };
    const kept = this.#kept.splice(0, upTo(this.#kept));
    const alone = this.#condition === "failing" && kept.length > 0;
    const appends = alone ? [] : this.#appends.splice(0, upTo(this.#appends));
    this.#size -= size;
    // What a full group left behind is due at once.
    this.#dueAt = this.#size > 0 ? this.#options.clock.monotonic() : Infinity;
    return { kept: kept.filter(isAllowed), appends: appends.filter(isAllowed) };
  }

  #close(reason: unknown): void {
    this.#condition = "closed";
    this.#closedBecause = reason;
    this.#timer?.cancel();
    const flying = this.#inFlight?.batch;
    this.#inFlight = undefined;
    const waiting = [...(flying?.kept ?? []), ...(flying?.appends ?? []), ...this.#kept, ...this.#appends];
    this.#kept = [];
    this.#appends = [];
    this.#size = 0;
    for (const write of waiting) write.reject(this.#closedFault(write));
  }

  #closedFault(write: Write): Fault {
    if (this.#closedBecause !== undefined && write.kind === "append") return refused(this.#closedBecause);
    const why = this.#closedBecause === undefined ? "has stopped" : "is broken; the process has to be started again";
    const code = write.kind === "append" ? "inbox_refused" : "unavailable";
    return new Fault(code, `the inbox ${why}`, { cause: this.#closedBecause });
  }
}

function sizeOf(write: Write | undefined): number {
  if (write?.kind === "append") return write.encoded.write.bodies.length + write.encoded.write.malformed.length;
  return write?.kind === "marks" ? write.writes.length : 1;
}

function isAllowed(write: Write): boolean {
  if (write.valid()) return true;
  write.reject(new Fault("inbox_fenced", "the claim was lost before the write; nothing was written"));
  return false;
}

function refused(cause: unknown): Fault {
  return new Fault("inbox_refused", `the inbox could not store the batch: ${String(cause)}`, { cause });
}

function groupOf({ kept, appends }: Batch, now: number): Group {
  const marks: MarkWrite[] = [];
  const done: Seq[] = [];
  const deaths: DeathWrite[] = [];
  const letters: LetterWrite[] = [];
  for (const write of kept) {
    if (write.kind === "done") done.push(write.seq);
    else if (write.kind === "death") deaths.push(write.write);
    else if (write.kind === "letter") letters.push(write.write);
    else marks.push(...write.writes);
  }
  return { now, marks, done, deaths, letters, appends: appends.map((append) => append.encoded.write) };
}

function storedBy({ appends }: Batch, committed: Committed): Entry[] {
  const entries: Entry[] = [];
  for (const letter of committed.letters) {
    if (letter.kind !== "retried") continue;
    const { seq, bot, lane } = letter;
    entries.push({ seq, bot, lane, attempts: 0, suspicion: "none", body: undefined });
  }
  appends.forEach(({ encoded }, at) => {
    const result = committed.appends[at];
    if (result === undefined) throw new RangeError("the store left an append unanswered");
    let seq: number = result.first;
    let nextKnown = 0;
    for (let place = 0; place < encoded.updates.length; place++) {
      if (result.known[nextKnown] === place) nextKnown++;
      else entries.push(freshEntry(encoded, place, toSeq(seq++)));
    }
  });
  return entries;
}

function resolveAll({ kept, appends }: Batch, committed: Committed): void {
  let letter = 0;
  for (const write of kept) {
    if (write.kind !== "letter") {
      write.resolve();
      continue;
    }
    const end = committed.letters[letter++]?.kind ?? "absent";
    const doneBefore = write.write.kind === "retry" ? "retried" : "dropped";
    write.resolve(end === "absent" && write.wasTried ? doneBefore : end);
  }
  appends.forEach(({ encoded, resolve }, at) => {
    const result = committed.appends[at];
    const known = result?.known.length ?? 0;
    resolve({ stored: encoded.updates.length - known, known, malformed: result?.buried ?? 0 });
  });
}
