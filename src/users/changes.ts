/**
 * Brings operations on users to storage: those of one user fold into one document, documents of many users go in one call, and each is stored
 * only if nobody else has stored it meanwhile.
 *
 *     waiting ──► read (tiers) ──► fold ──► write ──► stored    every outcome is told
 *        ▲                                    ├────► conflict  read from storage, fold again
 *        └────────────────────────────────────┴────► taken     one by one: the refused one is told so, or gets another code
 *
 * How each step can end or be interrupted:
 *
 *     read fails                  its operations reject; nothing was written
 *     document in a tier is old   the write conflicts; it is read from storage and folded again
 *     write: applied, then the process dies      the replay finds the operation among the applied ones: same outcome, no second effect
 *     write: applied, answered by an error       the operations reject, the tiers forget the user; the replay as above
 *     write: not applied, answered by an error   the same; the replay does it
 *     two instances write one user               one of them conflicts and folds on what the other stored; waits grow and are spread
 *     taken, in a fold of several                nobody knows whose: they are folded one at a time
 *     claim lost meanwhile        looked at after reading and before writing: what the new owner stored since is a conflict, and looked at again
 *     too many applied ones       those whose updates are settled are dropped by asking; if that is not enough, the operations wait (`unavailable`)
 *     stop                        what waits is written; what comes later rejects
 */
import { backoffMs, type Clock, type Random, type Timer } from "../clock.ts";
import { Fault, faultOf, isOutage } from "../faults.ts";
import type { UserId } from "../ids.ts";
import type { UserStore, Write, Written } from "../storage/store.ts";
import type { ChangeLimits, Line, Pending } from "./change-lines.ts";
import type { Folded } from "./folding.ts";
import { takenOutcome } from "./operations.ts";
import type { Outcome } from "./outcome.ts";
import { type Round, Rounds, type RoundsOptions } from "./rounds.ts";

export interface ChangesOptions extends RoundsOptions {
  readonly store: Pick<UserStore, "write">;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: ChangeLimits;
  /** A new referral code. */
  readonly newCode: () => string;
  /** Unique to each write in the whole fleet. */
  readonly newWriter: () => string;
}

export class Changes {
  readonly #options: ChangesOptions;
  readonly #rounds: Rounds;
  readonly #lines = new Map<UserId, Line>();
  /** Lines with something to fold, not busy. */
  readonly #ready = new Set<Line>();
  #pending = 0;
  #flights = 0;
  #timer: Timer | undefined;
  #isStopping = false;
  #onIdle: (() => void) | undefined;

  constructor(options: ChangesOptions) {
    this.#options = options;
    this.#rounds = new Rounds(options);
  }

  /** Resolves with the outcome once it is stored. Rejects with `unavailable`: then it may have been stored or not. */
  add(id: UserId, operation: Omit<Folded, "isTaken">): Promise<Outcome> {
    if (this.#isStopping)
      return Promise.reject(new Fault("unavailable", "users are not changed any more: botfleet stops"));
    if (this.#pending >= this.#options.limits.pendingMax) {
      return Promise.reject(new Fault("unavailable", "too many changes of users wait to be stored"));
    }
    return new Promise((resolve, reject) => {
      this.#pending++;
      const line = this.#lines.get(id) ?? { id, pending: [], isBusy: false, conflicts: 0, isStale: false, single: 0 };
      this.#lines.set(id, line);
      line.pending.push({ ...operation, isTaken: false, resolve, reject });
      this.#wake(line);
    });
  }

  /** Writes what waits; resolves when nothing does. */
  stop(): Promise<void> {
    this.#isStopping = true;
    return new Promise((resolve) => {
      this.#onIdle = resolve;
      this.#fly();
      this.#checkIdle();
    });
  }

  #wake(line: Line): void {
    if (line.isBusy || line.pending.length === 0) return;
    this.#ready.add(line);
    const { clock, limits } = this.#options;
    if (this.#ready.size >= limits.groupMaxUsers || this.#isStopping) this.#fly();
    else this.#timer ??= clock.setTimer(() => this.#fly(), limits.groupMaxMs);
  }

  #fly(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { limits } = this.#options;
    while (this.#ready.size > 0 && this.#flights < limits.writesMax) {
      const lines: Line[] = [];
      for (const line of this.#ready) {
        if (lines.length >= limits.groupMaxUsers) break;
        this.#ready.delete(line);
        line.isBusy = true;
        lines.push(line);
      }
      this.#flights++;
      void this.#land(this.#write(lines));
    }
  }

  async #land(flight: Promise<void>): Promise<void> {
    await flight;
    this.#flights--;
    this.#fly();
    this.#checkIdle();
  }

  /** Never rejects: whatever fails is told to the operations. */
  async #write(lines: readonly Line[]): Promise<void> {
    let rounds: readonly Round[] = [];
    try {
      rounds = await this.#rounds.of(lines);
      const { appliedMax } = this.#options.limits;
      const busy = new Set(rounds.filter(({ user }) => (user?.applied.length ?? 0) > appliedMax));
      const writing = rounds.filter((round) => round.user !== undefined && !busy.has(round));
      const written = writing.length === 0 ? [] : await this.#store(writing);
      const ends = new Map<Round, Written | "unanswered">(
        writing.map((round, at) => [round, written[at] ?? "unanswered"]),
      );
      for (const round of rounds) this.#end(round, busy.has(round) ? "busy" : (ends.get(round) ?? "stored"));
    } catch (error) {
      const fault = faultOf(error);
      if (lines.length > 1 && (fault === undefined || !isOutage(fault))) return this.#writeParted(lines);
      // What took effect is not known: the tiers must not show what was there before.
      this.#options.tier.forget(lines.map(({ id }) => id));
      const inRounds = new Map(rounds.map(({ line, operations }) => [line, operations]));
      for (const line of lines) this.#fail(line, inRounds.get(line) ?? line.pending, error);
    }
  }

  /** One of the lines fails for a reason of its own (its document is damaged or too large, say): the others go on without it. Never rejects. */
  async #writeParted(lines: readonly Line[]): Promise<void> {
    const { tier } = this.#options;
    // Should it have been the write: what of it took effect is found by reading again.
    tier.forget(lines.map(({ id }) => id));
    const read = await Promise.allSettled(lines.map(({ id }) => tier.readFresh([id])));
    const sound = lines.filter((_, at) => read[at]?.status === "fulfilled");
    // Where all of them can be read, which one it is shows only in the write.
    const isTogether = sound.length < lines.length;
    if (isTogether && sound.length > 0) await this.#write(sound);
    for (const line of lines) if (!isTogether || !sound.includes(line)) await this.#write([line]);
  }

  #store(writing: readonly Round[]): Promise<readonly Written[]> {
    const writes = writing.flatMap(({ before, user }): Write[] => (user === undefined ? [] : [{ user, before }]));
    return this.#options.store.write(writes, this.#options.newWriter());
  }

  #end(round: Round, end: Written | "busy" | "unanswered"): void {
    const { line, operations, user, outcomes } = round;
    const { tier, limits } = this.#options;
    switch (end) {
      case "stored":
        if (user !== undefined) tier.stored([user]);
        line.conflicts = 0;
        line.isStale = false;
        this.#settle(line, operations);
        for (const [at, { resolve, reject }] of operations.entries()) {
          const outcome = outcomes[at];
          if (outcome !== undefined) resolve(outcome);
          else
            reject(
              new Fault("unavailable", "whether the update is still this instance's is not known", {
                effect: "not_done",
              }),
            );
        }
        return this.#release(line);
      case "conflict":
        line.isStale = true;
        tier.forget([line.id]);
        return this.#again(
          line,
          backoffMs(line.conflicts++, limits.conflictFirstMs, limits.conflictCapMs, this.#options.random),
        );
      case "taken":
        this.#taken(line, operations);
        return this.#again(line, 0);
      case "busy":
        return this.#fail(
          line,
          operations,
          new Fault("unavailable", "too many updates of this user are not settled yet"),
        );
      case "unanswered":
        tier.forget([line.id]);
        return this.#fail(line, operations, new Fault("unavailable", "the store left a write unanswered"));
    }
  }

  #taken(line: Line, operations: readonly Pending[]): void {
    const [only, ...others] = operations;
    if (only === undefined || others.length > 0) {
      line.single = operations.length;
      return;
    }
    const isAnswer = takenOutcome(only.operation) !== undefined;
    const applying = isAnswer ? only.applying : { ...only.applying, code: this.#options.newCode() };
    line.pending[0] = { ...only, isTaken: isAnswer, applying };
  }

  #again(line: Line, waitMs: number): void {
    if (waitMs === 0 || this.#isStopping) return this.#release(line);
    this.#options.clock.setTimer(() => this.#release(line), waitMs);
  }

  #settle(line: Line, operations: readonly Pending[]): void {
    line.pending = line.pending.slice(operations.length);
    line.single = Math.max(0, line.single - operations.length);
    this.#pending -= operations.length;
  }

  #fail(line: Line, operations: readonly Pending[], error: unknown): void {
    line.isStale = true;
    const fault = foundAgain(faultOf(error) ?? new Fault("unavailable", "users cannot be stored", { cause: error }));
    const failed = [...operations];
    this.#settle(line, failed);
    for (const { reject } of failed) reject(fault);
    this.#release(line);
  }

  #release(line: Line): void {
    line.isBusy = false;
    if (line.pending.length === 0) this.#lines.delete(line.id);
    else this.#wake(line);
    this.#checkIdle();
  }

  #checkIdle(): void {
    if (this.#pending === 0 && this.#flights === 0) this.#onIdle?.();
  }
}

/** Whether it took effect need not be known: a replay finds it. To the pipeline, an unknown effect would be a message that may be sent twice. */
function foundAgain(fault: Fault): Fault {
  return fault.effect === "unknown" ? new Fault(fault.code, fault.message, { cause: fault }) : fault;
}
