/**
 * The way from simulated processes to a Redis: calls are late, lost on the way there or back, and stand in the server's buffer after their
 * caller has given them up; for a time the server is out of reach for one process, or for all.
 */
import type { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

/** Chances of one call. */
export interface Losses {
  /** It never arrives: an error. */
  readonly lost: number;
  /** It is done, its answer never comes: an error. */
  readonly unanswered: number;
  /** An error; done up to `lateMaxMs` later. */
  readonly late: number;
}

export interface WiresOptions {
  readonly scheduler: Scheduler;
  /** Without an answer a call is given up after this, ms. */
  readonly callMaxMs: number;
  readonly lateMaxMs: number;
  /** Chance that a call is with the network already when its process stands still or dies, and arrives all the same. */
  readonly outlives: number;
}

const noLosses: Losses = { lost: 0, unanswered: 0, late: 0 };

export class Wires {
  /** Of calls that write, and of those that only read. */
  losses: { readonly write: Losses; readonly read: Losses } = { write: noLosses, read: noLosses };
  private readonly options: WiresOptions;
  private readonly cutUntilMs = new Map<Process, number>();
  private hungUntilMs = 0;
  private slowUntilMs = 0;

  constructor(options: WiresOptions) {
    this.options = options;
  }

  /** For everybody: what is sent meanwhile is done when it goes on, or never. */
  hang(ms: number): void {
    this.hungUntilMs = Math.max(this.hungUntilMs, this.options.scheduler.nowMs + ms);
  }

  /** For one process: it cannot connect. */
  cut(process: Process, ms: number): void {
    this.cutUntilMs.set(process, this.options.scheduler.nowMs + ms);
  }

  /** Ways take seconds. */
  slow(ms: number): void {
    this.slowUntilMs = Math.max(this.slowUntilMs, this.options.scheduler.nowMs + ms);
  }

  /** All troubles end. */
  mend(): void {
    this.losses = { write: noLosses, read: noLosses };
    this.cutUntilMs.clear();
    this.slowUntilMs = 0;
    this.hungUntilMs = 0;
  }

  call<T>(process: Process, kind: "read" | "write", effect: () => T | Promise<T>): Promise<T> {
    const { scheduler, callMaxMs, lateMaxMs, outlives } = this.options;
    return new Promise((resolve, reject) => {
      if (process.isDead) return;
      const fate = this.fate(kind);
      const answer = (settle: () => void): void => {
        const arrived = (): void => {
          deadline.cancel();
          settle();
        };
        scheduler.at(this.wayMs(process), arrived, process);
      };
      const arrive = (): void => {
        if (scheduler.nowMs < this.hungUntilMs) {
          if (scheduler.chance(0.5)) scheduler.at(this.hungUntilMs - scheduler.nowMs + this.wayMs(process), arrive);
          return;
        }
        Promise.resolve()
          .then(effect)
          .then(
            (value) => answer(() => (fate === "unanswered" ? reject(lostAnswer()) : resolve(value))),
            (error: unknown) => answer(() => reject(error)),
          );
      };
      const deadline = process.clock.setTimer(() => reject(new Error("no answer in time")), callMaxMs);
      const isCut = scheduler.nowMs < (this.cutUntilMs.get(process) ?? 0);
      if (isCut || fate === "lost" || fate === "late") {
        answer(() => reject(new Error("connection lost")));
        if (!isCut && fate === "late") scheduler.at(scheduler.between(0, lateMaxMs), arrive);
        return;
      }
      scheduler.at(this.wayMs(process), arrive, scheduler.chance(outlives) ? undefined : process);
    });
  }

  private fate(kind: "read" | "write"): keyof Losses | "ok" {
    const { lost, unanswered, late } = this.losses[kind];
    const drawn = this.options.scheduler.random();
    if (drawn < lost) return "lost";
    if (drawn < lost + unanswered) return "unanswered";
    return drawn < lost + unanswered + late ? "late" : "ok";
  }

  private wayMs(process: Process): number {
    const { scheduler } = this.options;
    return scheduler.nowMs < this.slowUntilMs ? scheduler.between(0, 2_500) : process.wayMs();
  }
}

function lostAnswer(): Error {
  return new Error("the answer was lost");
}
