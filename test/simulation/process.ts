/** One life of a simulated botfleet process: its timers and connections end with it, and any of its steps may be its last. */
import type { Clock } from "../../src/clock.ts";
import type { Life, Scheduler } from "./scheduler.ts";

export interface Perils {
  /** Chance that a step is the process' last one. */
  crash: number;
  /** Longest time a step takes, ms; a few take fifty times as long. */
  readonly stepMaxMs: number;
  /** Chance that a request is with the network already when the process dies or stands still, and arrives all the same. Default 0. */
  readonly outlives?: number;
}

export class Process implements Life {
  isDead = false;
  pausedUntilMs = 0;
  readonly clock: Clock;
  /** Requests under way: the other side sees them close when the process dies. */
  readonly connections = new Set<AbortController>();
  private readonly scheduler: Scheduler;
  private readonly perils: Perils;
  private readonly onCrash: () => void;

  constructor(scheduler: Scheduler, perils: Perils, onCrash: () => void) {
    this.scheduler = scheduler;
    this.perils = perils;
    this.onCrash = onCrash;
    this.clock = scheduler.clock(this);
  }

  /**
   * Something outside: it takes time, the process may die before it takes effect, and after that before it learns of it. What a dead
   * process waits for never comes.
   */
  async io<T>(effect: () => T | Promise<T>): Promise<T> {
    const { outlives } = this.perils;
    if (outlives !== undefined && this.scheduler.chance(outlives)) await this.sent();
    else await this.step();
    const result = await effect();
    await this.step();
    return result;
  }

  step(): Promise<void> {
    const { scheduler } = this;
    const ms = this.wayMs();
    return new Promise((resolve) => {
      if (this.isDead) return;
      scheduler.at(
        ms,
        () => {
          if (scheduler.chance(this.perils.crash)) this.crash();
          else resolve();
        },
        this,
      );
    });
  }

  /** Stands still for so long: clocks and everybody else go on. */
  pause(ms: number): void {
    this.pausedUntilMs = Math.max(this.pausedUntilMs, this.scheduler.nowMs + ms);
  }

  crash(): void {
    if (this.isDead) return;
    this.end();
    this.onCrash();
  }

  /** Nothing of it happens any more. */
  end(): void {
    this.isDead = true;
    for (const connection of this.connections) connection.abort();
    this.connections.clear();
  }

  /** How long a way out or back takes, ms. */
  wayMs(): number {
    const { scheduler } = this;
    const longest = scheduler.chance(0.02) ? this.perils.stepMaxMs * 50 : this.perils.stepMaxMs;
    return scheduler.between(0, longest);
  }

  private sent(): Promise<void> {
    return new Promise((resolve) => {
      if (!this.isDead) this.scheduler.at(this.wayMs(), resolve);
    });
  }
}
