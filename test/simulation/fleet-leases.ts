/** The leases of a simulated fleet: the real ones over the model of their store, each call late, lost or done after it was given up. */
import { limits } from "../../config/limits.ts";
import type { BotId } from "../../src/ids.ts";
import type { Claim, Holder, Leases, Tenure } from "../../src/leases/leases.ts";
import { createMemoryLeaseServer, createMemoryLeaseStore } from "../../src/leases/memory.ts";
import { SharedLeases } from "../../src/leases/shared.ts";
import type { LeaseStore } from "../../src/leases/store.ts";
import type { Process } from "./process.ts";
import type { Wires } from "./redis-wires.ts";
import type { Scheduler } from "./scheduler.ts";

/** Planted bugs. */
export interface LeasesPlant {
  /** After a lapse claims go on without a look at what stands in Redis. */
  readonly resumesUnasked?: boolean;
  /** Validity counts from the answer to a renewal, not from its sending. */
  readonly countsFromAnswer?: boolean;
  readonly ttlMs?: number;
}

export interface LeasesWorldOptions {
  readonly scheduler: Scheduler;
  readonly wires: Wires;
  readonly bots: readonly BotId[];
  readonly partitions: number;
  readonly plant: LeasesPlant;
  /** Chance that a message is lost. */
  readonly messageLoss: () => number;
  /** A renewal has been done; its answer is on its way. */
  readonly onRenewed: (process: Process) => void;
  /** The token that stood there was given back by its owner, or another one took its place before. */
  readonly onGiven: (name: string, token: string) => void;
  readonly onTakenOver: (name: string, token: string) => void;
}

export interface LeasesWorld {
  /** Token that stands in Redis; `""` where there is none. */
  present(name: string): string;
  /** Of a new life. */
  join(process: Process): Leases;
  /** Times that claims were held and could not be confirmed in time. */
  lapses(): number;
  /** From now on nothing moves but what has no living owner. */
  calm(): void;
}

export function sharedLeases(options: LeasesWorldOptions): LeasesWorld {
  const { scheduler, wires, bots, partitions, plant, messageLoss, onGiven, onRenewed, onTakenOver } = options;
  const server = createMemoryLeaseServer(() => scheduler.nowMs);
  const joined: SharedLeases[] = [];
  let before = new Map<string, string>();

  /** Tells what an effect on the records was. */
  async function noted<T>(effect: () => Promise<T>): Promise<T> {
    const result = await effect();
    const { claims } = server.records;
    for (const [name, token] of before) {
      const now = claims.get(name);
      if (now === undefined) onGiven(name, token);
      else if (now !== token) onTakenOver(name, token);
    }
    before = new Map(claims);
    return result;
  }

  function storeOf(process: Process, onAnswered: () => void): LeaseStore {
    const inner = createMemoryLeaseStore(server);
    const tell = (run: () => void): void => {
      if (!scheduler.chance(messageLoss())) scheduler.at(scheduler.between(0, 20), run, process);
    };
    return {
      ...inner,
      start: ({ onChanged, onTold, onUsable }) =>
        inner.start({
          onChanged: (member) => tell(() => onChanged(member)),
          onTold: (member, text) => tell(() => onTold(member, text)),
          onUsable,
        }),
      async renew(beat) {
        const renewal = await wires.call(process, "write", () => {
          onRenewed(process);
          return inner.renew(beat);
        });
        onAnswered();
        return plant.resumesUnasked === true && beat.seen !== undefined ? { ...renewal, claims: undefined } : renewal;
      },
      take: (taking) => wires.call(process, "write", () => noted(() => inner.take(taking))),
      give: (member, claims) => wires.call(process, "write", () => noted(() => inner.give(member, claims))),
      leave: (member, claims) => wires.call(process, "write", () => noted(() => inner.leave(member, claims))),
    };
  }

  return {
    present: (name) => server.records.claims.get(name) ?? "",
    join(process) {
      let renewedAtMs = -Infinity;
      const leases = new SharedLeases({
        store: storeOf(process, () => (renewedAtMs = process.clock.monotonic())),
        bots,
        partitions,
        clock: process.clock,
        newName: () => Math.floor(scheduler.random() * 2 ** 32).toString(36),
        host: "host",
        version: "1",
        limits: { ...limits.leases, ttlMs: plant.ttlMs ?? limits.leases.ttlMs },
      });
      joined.push(leases);
      if (plant.countsFromAnswer !== true) return leases;
      const isFresh = (): boolean => process.clock.monotonic() < renewedAtMs + limits.leases.giveUpMs;
      return withClaims(leases, (claim) => ({ ...claim, valid: () => !claim.lost() && isFresh() }));
    },
    lapses: () => joined.reduce((sum, leases) => sum + leases.counts().lapses, 0),
    calm() {},
  };
}

/** Leases whose holder is handed other claims than theirs. */
export function withClaims(leases: Leases, other: <C extends Claim>(claim: C) => C): Leases {
  return withHolder(leases, (holder) => ({
    bot: (claim) => holder.bot(other(claim)),
    partition: (claim) => holder.partition(other(claim)),
  }));
}

export function withHolder(leases: Leases, other: (holder: Holder) => Holder): Leases {
  return {
    start: (holder) => leases.start(other(holder)),
    doubt: () => leases.doubt(),
    stop: () => leases.stop(),
  };
}

/** A holder that is told of each claim, and whose tenures are others. */
export function holderWith(
  holder: Holder,
  changes: {
    readonly claim: <C extends Claim>(name: string, claim: C) => C;
    readonly tenure: (tenure: Tenure, claim: Claim) => Tenure;
  },
): Holder {
  return {
    bot: (claim) => changes.tenure(holder.bot(changes.claim(`b${claim.bot}`, claim)), claim),
    partition: (claim) => changes.tenure(holder.partition(changes.claim(`p${claim.partition}`, claim)), claim),
  };
}
