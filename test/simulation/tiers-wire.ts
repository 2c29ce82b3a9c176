/** The way between one instance and the server of the second tier, on virtual time: slow, lossy, late, cut, or deaf without anybody noticing. */
import { Fault } from "../../src/faults.ts";
import type { CacheListener, CacheServer } from "../../src/cache/server.ts";
import type { ModelCache } from "../support/model-cache.ts";
import type { Process } from "./process.ts";
import type { Scheduler } from "./scheduler.ts";

export interface WirePerils {
  /** Chances of a call: it never gets there; it gets there after its deadline, whenever; its answer is lost. */
  readonly lost: number;
  readonly late: number;
  readonly unanswered: number;
  /** Chances of a published message: the listening connection breaks; it stays open and nothing comes any more; this one is lost. */
  readonly cut: number;
  readonly deaf: number;
  readonly dropped: number;
  readonly stepMaxMs: number;
}

export const calm: WirePerils = { lost: 0, late: 0, unanswered: 0, cut: 0, deaf: 0, dropped: 0, stepMaxMs: 3 };

const deadlineMs = 100;
const lateMaxMs = 20_000;

export interface WireOptions {
  readonly scheduler: Scheduler;
  readonly process: Process;
  readonly model: ModelCache;
  readonly perils: () => WirePerils;
  /** The server answers nobody: hung, killed, or out of reach. */
  readonly isDown: () => boolean;
  /** Calls keep their order, as on one connection. */
  readonly isOrdered: boolean;
}

export class Wire implements CacheServer {
  readonly #options: WireOptions;
  #listener: CacheListener | undefined;
  /** Which listening connection: messages of an older one are lost. */
  #connection = 0;
  #isDeaf = false;
  #heardLastMs = 0;
  #calledLastMs = 0;

  constructor(options: WireOptions) {
    this.#options = options;
  }

  get: CacheServer["get"] = (keys) => this.#call(() => this.#options.model.get(keys));
  lease: CacheServer["lease"] = (keys, token, isFresh) =>
    this.#call(() => this.#options.model.lease(keys, token, isFresh));
  fillIn: CacheServer["fillIn"] = (fills) => this.#call(() => this.#options.model.fillIn(fills));
  write: CacheServer["write"] = (changes, message) => this.#call(() => this.#options.model.write(changes, message));
  beat: CacheServer["beat"] = (beat) => this.#call(() => this.#options.model.beat(beat));
  leave: CacheServer["leave"] = (sender, message) => this.#call(() => this.#options.model.leave(sender, message));

  listen(listener: CacheListener): void {
    this.#listener = listener;
    this.cut();
  }

  relisten(): void {
    this.cut();
  }

  /** The listening connection ends, and another one begins when it can. */
  cut(): void {
    const { scheduler, process, isDown } = this.#options;
    this.#connection = 0;
    const listen = (): void => {
      if (isDown()) return void scheduler.at(200, listen, process);
      this.#connection = scheduler.steps + 1;
      this.#isDeaf = false;
      this.#listener?.onListening();
    };
    scheduler.at(scheduler.between(1, 500), listen, process);
  }

  /** All its connections end. */
  break(): void {
    this.cut();
    this.#listener?.onInterrupted();
  }

  /** What was published is on its way to this instance. */
  hear(text: string): void {
    const { scheduler, process, perils } = this.#options;
    const connection = this.#connection;
    if (connection === 0) return;
    if (scheduler.chance(perils().cut)) return this.cut();
    if (scheduler.chance(perils().deaf)) this.#isDeaf = true;
    if (this.#isDeaf || scheduler.chance(perils().dropped)) return;
    const atMs = Math.max(this.#heardLastMs, scheduler.nowMs + scheduler.between(0, perils().stepMaxMs));
    this.#heardLastMs = atMs + 0.001;
    scheduler.at(
      atMs - scheduler.nowMs,
      () => {
        if (this.#connection === connection) this.#listener?.onMessage(text);
      },
      process,
    );
  }

  stop(): Promise<void> {
    this.#listener = undefined;
    return Promise.resolve();
  }

  #call<T>(effect: () => T): Promise<T> {
    const { scheduler, process, perils, isDown } = this.#options;
    const { lost, late, unanswered, stepMaxMs } = perils();
    return new Promise((resolve, reject) => {
      scheduler.at(deadlineMs, () => reject(new Fault("unavailable", "no answer in time")), process);
      if (scheduler.chance(lost)) return;
      const isLate = scheduler.chance(late);
      const arrive = (): void => {
        // What waits in a hung server is done when it goes on.
        if (isDown()) return void (scheduler.chance(0.5) && scheduler.at(scheduler.between(0, lateMaxMs), arrive));
        const answer = effect();
        if (isLate || scheduler.chance(unanswered)) return;
        scheduler.at(scheduler.between(0, stepMaxMs), () => resolve(answer), process);
      };
      const inMs = scheduler.between(0, isLate ? lateMaxMs : stepMaxMs);
      if (!this.#options.isOrdered) return void scheduler.at(inMs, arrive);
      const atMs = Math.max(this.#calledLastMs, scheduler.nowMs + inMs);
      if (!isLate) this.#calledLastMs = atMs + 0.001;
      scheduler.at(atMs - scheduler.nowMs, arrive);
    });
  }
}
