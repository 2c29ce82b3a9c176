/**
 * The server of the second tier as plain data: what its scripts do, in one synchronous step each. Restarts, evictions and late calls are
 * the business of whoever calls it.
 */
import { documentOf } from "../../src/cache/documents.ts";
import type { Beat, Change, Fill, Key, Lease, Value } from "../../src/cache/server.ts";

export interface ModelLimits {
  readonly ttlMs: number;
  readonly absentMs: number;
  readonly leaseMs: number;
  readonly lostMs: number;
}

/** Where a planted bug takes hold. */
export interface ModelPlant {
  /** A fill is taken with whatever lease is there: `none` also where there is nothing. */
  readonly fills?: "any_lease" | "none";
  /** A write replaces whatever is there. */
  readonly writesBlindly?: boolean;
  /** A write also puts where nothing is. */
  readonly writesAnew?: boolean;
  /** A write leaves the lease and its least version alone. */
  readonly keepsLeases?: boolean;
  readonly keepsGenerationAfter?: "a_restart" | "a_death";
}

interface Held {
  readonly text: string;
  readonly untilMs: number;
}

const documentForm = /^d (\S+) (\d+) /;
const leaseForm = /^l (\S+) (\d+)$/;

export class ModelCache {
  readonly #limits: ModelLimits;
  readonly #now: () => number;
  readonly #plant: ModelPlant;
  #values = new Map<Key, Held>();
  #generation: string | undefined;
  #run = 1;
  #runOfGeneration = 0;
  /** When each was seen, and how often it was doubted since. */
  #senders = new Map<string, { at: number; doubted: number }>();
  onPublish: (text: string) => void = () => {};

  constructor(limits: ModelLimits, now: () => number, plant: ModelPlant = {}) {
    this.#limits = limits;
    this.#now = now;
    this.#plant = plant;
  }

  get generation(): string | undefined {
    return this.#generation;
  }

  value(key: Key): Value {
    const held = this.#values.get(key);
    if (held === undefined || held.untilMs <= this.#now()) return undefined;
    return held.text;
  }

  put(key: Key, text: string): void {
    this.#set(key, text, Infinity);
  }

  evict(key: Key): void {
    this.#values.delete(key);
  }

  evictRegistry(): void {
    this.#generation = undefined;
    this.#senders.clear();
  }

  /** What a snapshot holds; to be given to `restart`. */
  snapshot(): () => void {
    const values = new Map(this.#values);
    const senders = new Map([...this.#senders].map(([sender, seen]) => [sender, { ...seen }]));
    const [generation, runOfGeneration] = [this.#generation, this.#runOfGeneration];
    return () => {
      this.#values = new Map(values);
      this.#senders = new Map([...senders].map(([sender, seen]) => [sender, { ...seen }]));
      [this.#generation, this.#runOfGeneration] = [generation, runOfGeneration];
    };
  }

  restart(restore?: () => void): void {
    this.#run++;
    this.#values.clear();
    this.evictRegistry();
    restore?.();
  }

  get(keys: readonly Key[]): readonly Value[] {
    return keys.map((key) => this.value(key));
  }

  lease(keys: readonly Key[], token: string, isFresh: boolean): readonly Lease[] {
    const generation = this.#generation;
    return keys.map((key): Lease => {
      if (generation === undefined) return { kind: "refused" };
      const value = this.value(key);
      if (!isFresh && value !== undefined) {
        if (documentForm.exec(value)?.[1] === generation) return { kind: "held", value, generation };
        if (leaseForm.test(value)) return { kind: "refused" };
      }
      this.#set(key, `l ${token} 0`, this.#limits.leaseMs);
      return { kind: "granted", token, generation };
    });
  }

  fillIn(fills: readonly Fill[]): void {
    for (const { key, token, generation, version, row } of fills) {
      const value = this.value(key);
      const lease = leaseForm.exec(value ?? "");
      const isOurs = lease?.[1] === token || (this.#plant.fills !== undefined && lease !== null);
      if (!isOurs && !(this.#plant.fills === "none" && value === undefined)) continue;
      if (version < Number(lease?.[2] ?? 0)) this.#values.delete(key);
      else
        this.#set(
          key,
          documentOf(generation, version, row),
          version === 0 ? this.#limits.absentMs : this.#limits.ttlMs,
        );
    }
  }

  write(changes: readonly Change[], message: string): void {
    for (const { key, version, row } of changes) {
      const value = this.value(key) ?? "";
      const held = documentForm.exec(value);
      const lease = leaseForm.exec(value);
      if (version === 0) this.#values.delete(key);
      else if (held !== null) {
        if (Number(held[2]) < version || this.#plant.writesBlindly === true)
          this.#set(key, documentOf(held[1] ?? "", version, row), this.#limits.ttlMs);
      } else if (lease !== null) {
        const [, token = "", least] = lease;
        if (Number(least) < version && this.#plant.keepsLeases !== true)
          this.#set(key, `l ${token} ${version}`, (this.#values.get(key)?.untilMs ?? 0) - this.#now());
      } else if (value !== "") this.#values.delete(key);
      else if (this.#plant.writesAnew === true) {
        this.#set(key, documentOf(this.#generation ?? "", version, row), this.#limits.ttlMs);
      }
    }
    this.onPublish(message);
  }

  beat({ sender, message, candidate, replaces, dead }: Beat): string {
    const { keepsGenerationAfter } = this.#plant;
    const isElsewhere = this.#runOfGeneration !== this.#run && keepsGenerationAfter !== "a_restart";
    let isDue = this.#generation === undefined || isElsewhere || this.#generation === replaces;
    const now = this.#now();
    for (const each of dead) if (this.#senders.delete(each)) isDue = true;
    for (const [each, seen] of this.#senders) {
      const silentMs = now - seen.at;
      if (silentMs > this.#limits.lostMs * 6) this.#senders.delete(each);
      else if (silentMs > this.#limits.lostMs && seen.doubted === 0) seen.doubted = 1;
      else continue;
      if (keepsGenerationAfter !== "a_death") isDue = true;
    }
    if (isDue) {
      this.#generation = candidate;
      this.#runOfGeneration = this.#run;
    }
    this.#senders.set(sender, { at: now, doubted: 0 });
    this.onPublish(message + (this.#generation ?? ""));
    return this.#generation ?? "";
  }

  leave(sender: string, message: string): void {
    this.#senders.delete(sender);
    this.onPublish(message);
  }

  #set(key: Key, text: string, forMs: number): void {
    this.#values.set(key, { text, untilMs: this.#now() + forMs });
  }
}
