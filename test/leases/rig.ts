/** Members of a fleet over a lease store in memory, on a clock that a test moves. */
import type { Clock } from "../../src/clock.ts";
import { toBotId } from "../../src/ids.ts";
import type { Claim, Holder, Tenure } from "../../src/leases/leases.ts";
import { createMemoryLeaseServer, createMemoryLeaseStore, type MemoryLeaseServer } from "../../src/leases/memory.ts";
import { SharedLeases, type SharedLeasesOptions } from "../../src/leases/shared.ts";
import type { LeaseStore } from "../../src/leases/store.ts";
import { FakeClock } from "../support/fake-clock.ts";

export const leaseLimits = { renewMs: 1_000, ttlMs: 5_000, giveUpMs: 4_000, lookMinMs: 10, infoMaxChars: 1_000 };

/**
 * How calls end: `up` at once; `down`: rejected, nothing done; `deaf`: done, and rejected; `slow`: done at once, answered with `deliver`.
 * Messages are lost while it is not `up`.
 */
export type WireState = "up" | "down" | "deaf" | "slow";

export class Wire implements LeaseStore {
  state: WireState = "up";
  /** Of the calls that follow, by name; the others as `state` says. */
  readonly states = new Map<string, WireState>();
  readonly calls: string[] = [];
  readonly #store: LeaseStore;
  #waiting: (() => void)[] = [];

  constructor(store: LeaseStore) {
    this.#store = store;
  }

  start: LeaseStore["start"] = (events) => {
    const isHeard = (): boolean => this.state === "up";
    this.#store.start({
      onChanged: (member) => isHeard() && events.onChanged(member),
      onTold: (member, text) => isHeard() && events.onTold(member, text),
      onUsable: events.onUsable,
    });
  };
  renew: LeaseStore["renew"] = (beat) => this.#call("renew", () => this.#store.renew(beat));
  take: LeaseStore["take"] = (taking) => this.#call("take", () => this.#store.take(taking));
  give: LeaseStore["give"] = (member, claims) => this.#call("give", () => this.#store.give(member, claims));
  leave: LeaseStore["leave"] = (member, claims) => this.#call("leave", () => this.#store.leave(member, claims));
  tell: LeaseStore["tell"] = (member, text) => this.#store.tell(member, text);
  stop: LeaseStore["stop"] = () => this.#store.stop();

  deliver(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  async #call<T>(name: string, run: () => Promise<T>): Promise<T> {
    this.calls.push(name);
    const state = this.states.get(name) ?? this.state;
    if (state === "down") throw new Error("down");
    const answer = await run();
    if (state === "deaf") throw new Error("deaf");
    if (state === "slow") await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return answer;
  }
}

/** What a holder was given, and what it was told, by name (`b7`, `p0`). */
export class Held implements Holder {
  readonly claims = new Map<string, Claim>();
  readonly events: string[] = [];
  /** Releases of these wait for `letGo`. */
  readonly busy = new Set<string>();
  readonly #releasing = new Map<string, () => void>();

  bot: Holder["bot"] = (claim) => this.#tenure(`b${claim.bot}`, claim);
  partition: Holder["partition"] = (claim) => this.#tenure(`p${claim.partition}`, claim);

  letGo(name: string): void {
    this.#releasing.get(name)?.();
  }

  valid(): string[] {
    return [...this.claims].flatMap(([name, claim]) => (claim.valid() ? [name] : [])).toSorted();
  }

  token(name: string): string {
    return this.claims.get(name)?.token ?? "";
  }

  #tenure(name: string, claim: Claim): Tenure {
    this.claims.set(name, claim);
    this.events.push(`${name} held`);
    return {
      changed: () => {
        this.events.push(`${name} ${claim.lost() ? "lost" : claim.valid() ? "valid" : "lapsed"}`);
      },
      release: async () => {
        this.events.push(`${name} released`);
        if (this.busy.has(name)) await new Promise<void>((resolve) => this.#releasing.set(name, resolve));
      },
    };
  }
}

export interface RigMember {
  readonly leases: SharedLeases;
  readonly wire: Wire;
  readonly held: Held;
  readonly told: string[];
  readonly warnings: string[];
}

export class LeaseRig {
  readonly clock = new FakeClock();
  readonly server: MemoryLeaseServer = createMemoryLeaseServer(() => this.clock.monotonic());
  #names = 0;

  /** Started. Ids rise: the first member's is the lowest. */
  join(options: Partial<SharedLeasesOptions> = {}): RigMember {
    const wire = new Wire(createMemoryLeaseStore(this.server));
    const held = new Held();
    const told: string[] = [];
    const warnings: string[] = [];
    const quiet = (): void => {};
    const log = { debug: quiet, info: quiet, warn: (line: string) => void warnings.push(line), error: quiet };
    const leases = new SharedLeases({
      store: wire,
      bots: [7, 8].map(toBotId),
      partitions: 4,
      clock: this.clock satisfies Clock,
      newName: () => `n${String(++this.#names).padStart(4, "0")}`,
      host: "here",
      version: "1.2.3",
      limits: leaseLimits,
      onTold: (member, text) => void told.push(`${member}: ${text}`),
      log: { ...log, child: () => ({ ...log, child: () => log as never }) },
      ...options,
    });
    leases.start(held);
    return { leases, wire, held, told, warnings };
  }

  /** Until nothing happens at once any more. */
  settle(): Promise<void> {
    return this.clock.advance(500);
  }

  tokens(): Record<string, string> {
    return Object.fromEntries(this.server.records.claims);
  }
}
