/**
 * Whether users can be written: `lost` from the first failure on until a write has reached a majority again, which is tried by itself. A write that
 * ended unknown leaves a doubt: until a later one has reached a majority, what is read may still be taken back by a fail-over, so nothing is read
 * before.
 */
import type { Timer } from "../clock.ts";
import { Fault, faultOf } from "../faults.ts";
import type { Document, Find } from "./mongodb-connection.ts";
import { codeOf, codes, isConflict, troubleOf, unavailable } from "./mongodb-errors.ts";
import { prepare, type PrepareOptions, reachMajority, users } from "./mongodb-prepare.ts";
import type { CommandEnd, MongoWatch } from "./mongodb-watch.ts";
import type { StoreState } from "./store.ts";

export interface ReachOptions extends PrepareOptions {
  readonly probeMs: number;
  readonly watch: MongoWatch | undefined;
}

/** `change` changes users. */
export type Asking = "read" | "change";

const advice = {
  unreachable:
    "MongoDB cannot be reached: updates wait until it can; look at the server, the network and MONGODB_URI, if that does not end by itself",
  credentials:
    "MongoDB refuses the user of MONGODB_URI: updates wait; grant it readWrite again, or correct the URI and start botfleet again",
} as const;

export class Reach {
  readonly #options: ReachOptions;
  readonly #listeners = new Set<(state: StoreState) => void>();
  readonly #asked = new Set<Promise<unknown>>();
  #state: StoreState = "ok";
  #isPrepared = false;
  /** Writes that ended unknown; those of them that a write which has reached a majority was begun after. */
  #unknowns = 0;
  #unknownsSettled = 0;
  #settling: Promise<void> | undefined;
  #probing: Timer | undefined;
  /** Why it is not prepared. */
  #told: string | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: ReachOptions) {
    this.#options = options;
  }

  /** Rejects with what takes an operator. Anything else is waited out: then it begins lost. */
  async open(): Promise<void> {
    try {
      await this.#prepare();
    } catch (error) {
      if (error instanceof Fault) {
        await this.#options.mongo.close();
        throw error;
      }
      this.#lose(error);
    }
  }

  /** Rejects with the fault of `run`; what is of MongoDB becomes `unavailable`. */
  ask<T>(collection: string, operation: string, asking: Asking, run: () => Promise<T>): Promise<T> {
    if (this.#stopped !== undefined) return Promise.reject(new Fault("unavailable", "the users are closed"));
    if (!this.#isPrepared) return Promise.reject(new Fault("unavailable", this.#told ?? advice.unreachable));
    const asked = this.#perform(collection, operation, asking, run);
    this.#asked.add(asked);
    const end = (): void => void this.#asked.delete(asked);
    asked.then(end, end);
    return asked;
  }

  /** For within `ask`. */
  async find(find: Find, collection: string = users): Promise<Document[]> {
    while (this.#unknowns > this.#unknownsSettled) await this.#settleDoubt();
    return await this.#options.mongo.find(collection, find);
  }

  onState(changed: (state: StoreState) => void): () => void {
    this.#listeners.add(changed);
    if (this.#state === "lost") changed("lost");
    return () => void this.#listeners.delete(changed);
  }

  /** Ends what is under way and closes. */
  stop(): Promise<void> {
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  async #close(): Promise<void> {
    this.#listeners.clear();
    this.#probing?.cancel();
    await Promise.allSettled(this.#asked);
    await this.#options.mongo.close();
  }

  async #perform<T>(collection: string, operation: string, asking: Asking, run: () => Promise<T>): Promise<T> {
    const { clock, watch } = this.#options;
    const startedAt = clock.monotonic();
    let end: CommandEnd = "ok";
    try {
      const result = await run();
      if (asking === "change" && this.#state === "lost") this.#found();
      return result;
    } catch (error) {
      end = "failed";
      throw this.#failed(error, asking);
    } finally {
      watch?.command(collection, operation, clock.monotonic() - startedAt, end);
    }
  }

  #failed(error: unknown, asking: Asking): Fault {
    const known = faultOf(error);
    // A document that is no user, or is too large.
    if (known !== undefined && known.code !== "unavailable") return known;
    const found = known ?? unavailable(`the users cannot be ${asking === "read" ? "read" : "written"}`, error);
    // To the pipeline, an unknown effect is a message that may have been sent: a read has none.
    const fault = asking === "read" ? new Fault(found.code, found.message, { cause: found }) : found;
    // What one query was refused, because it took too long or another transaction was there first, says nothing of the others.
    if (asking === "read" && codeOf(error) === codes.maxTimeExpired) return fault;
    if (isConflict(error)) return fault;
    if (asking === "change" && fault.effect === "unknown") this.#unknowns++;
    this.#lose(error);
    return fault;
  }

  #settleDoubt(): Promise<void> {
    this.#settling ??= this.#reachMajority().finally(() => (this.#settling = undefined));
    return this.#settling;
  }

  /** One that ends unknown meanwhile may be younger. */
  async #reachMajority(): Promise<void> {
    const unknowns = this.#unknowns;
    await reachMajority(this.#options.mongo);
    this.#unknownsSettled = Math.max(this.#unknownsSettled, unknowns);
  }

  async #prepare(): Promise<void> {
    try {
      await prepare(this.#options);
    } catch (error) {
      // Whoever repairs it may start the servers anew, as something that the driver takes for others.
      if (error instanceof Fault) await this.#options.mongo.reset();
      throw error;
    }
    this.#isPrepared = true;
  }

  #lose(error: unknown): void {
    if (this.#stopped !== undefined) return;
    const { clock, probeMs, log } = this.#options;
    const message = troubleOf(error) === "credentials" ? advice.credentials : advice.unreachable;
    if (this.#state === "ok") {
      log.error(message, { error });
      this.#change("lost");
    }
    this.#told = error instanceof Fault ? error.message : message;
    this.#probing ??= clock.setTimer(() => void this.#probe(), probeMs); // Never rejects.
  }

  async #probe(): Promise<void> {
    this.#probing = undefined;
    if (this.#state === "ok" || this.#stopped !== undefined) return;
    try {
      if (!this.#isPrepared) await this.#prepare();
      await this.#reachMajority();
      this.#found();
    } catch (error) {
      // An operator may repair it while we run; told once, as long as it is the same.
      if (error instanceof Fault && error.message !== this.#told) this.#options.log.error(error.message);
      this.#lose(error);
    }
  }

  #found(): void {
    if (this.#stopped !== undefined) return;
    this.#probing?.cancel();
    this.#probing = undefined;
    this.#options.log.info("the users can be written again");
    this.#change("ok");
  }

  #change(state: StoreState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }
}
