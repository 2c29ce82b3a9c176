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
import { type Append, type Batch, groupOf, type Kept, resolveAll, sizeOf, storedBy, type Write } from "./batch.ts";
import type { Entry } from "./inbox.ts";
import type { Committed, InboxStore } from "./store.ts";

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
  /** Of the store. */
  readonly partitions: number;
  readonly clock: Clock;
  readonly limits: GroupLimits;
  /** After each successful commit, before its writes resolve. `stored` and `settledBelow` by partition, the entries in rising seq. */
  readonly onCommitted: (
    stored: readonly (readonly Entry[])[],
    settledBelow: Committed["settledBelow"],
    writes: number,
    ms: number,
  ) => void;
  /** After each failed one, before its appends reject. */
  readonly onFailed: (error: unknown) => void;
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
    if (this.#isClosed()) return write.reject(this.#closedFault(write));
    this.#dueAt = Math.min(this.#dueAt, this.#options.clock.monotonic() + this.#waitMs(write));
    if (write.kind === "append") this.#appends.push(write);
    else this.#kept.push(write);
    this.#size += sizeOf(write);
    this.#schedule();
  }

  /** Writes what waits. What cannot be written now rejects. True where nothing was left. */
  async stop(): Promise<boolean> {
    if (this.#isClosed()) return false;
    this.#condition = "stopping";
    this.#timer?.cancel();
    await this.#inFlight?.ended;
    let isWritten = true;
    while (isWritten && this.#size > 0) isWritten = await this.#commit();
    if (!this.#isClosed()) this.#close(undefined);
    return isWritten && this.#closedBecause === undefined;
  }

  /** The store is gone: everything that waits or comes later rejects. */
  break(reason: unknown): void {
    if (!this.#isClosed()) this.#close(reason);
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
    // Else broken meanwhile: its writes have been rejected.
    const isCurrent = this.#inFlight === flight;
    if (isCurrent) {
      this.#inFlight = undefined;
      if ("error" in result) this.#failed(batch, result.error);
      else this.#succeeded(batch, result.committed, clock.monotonic() - startedAt);
    }
    end();
    return isCurrent && !("error" in result);
  }

  #succeeded(batch: Batch, committed: Committed, ms: number): void {
    if (this.#condition === "failing") this.#condition = "ok";
    const writes = [...batch.kept, ...batch.appends].reduce((sum, write) => sum + sizeOf(write), 0);
    const { partitions, onCommitted } = this.#options;
    onCommitted(storedBy(batch, committed, partitions), committed.settledBelow, writes, ms);
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

  #isClosed(): boolean {
    return this.#condition === "closed";
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

function isAllowed(write: Write): boolean {
  if (write.valid()) return true;
  write.reject(new Fault("inbox_fenced", "the claim was lost before the write; nothing was written"));
  return false;
}

function refused(cause: unknown): Fault {
  return new Fault("inbox_refused", `the inbox could not store the batch: ${String(cause)}`, { cause });
}
