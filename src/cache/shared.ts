/**
 * The second tier: users in a server that all instances share, over the tier below. It is never waited for beyond the deadline of a call, and
 * no failure of it reaches whoever asks: then the tier below is asked.
 *
 *     read ──► a document of this generation? ── yes ──► answered
 *               └ no ──► lease ──► tier below ──► answered, and filled in
 *
 * How this goes wrong, and what answers it:
 *
 *     a fill is older than what was written meanwhile      it has no lease any more (`server.ts`)
 *     a write does not arrive, or late                     the user is owed: not believed here, deleted there when that is possible
 *     this process dies owing, or before it has written    its beats end without a goodbye: the generation changes
 *     the server restarts, empty or with what it had once  the generation changes
 *     the server is full                                   a document that cannot be replaced is deleted; without room for a generation nothing is believed
 *     a message is lost                                    its number is missed (`hearing.ts`): the first tier checks what it holds
 *     nothing is heard while the server answers            the first tier checks each second, and listening begins anew
 *     the server hangs or is gone                          the breaker opens: nobody waits; the first tier checks what it holds when it is back
 *
 * What is left: an instance that cannot reach the server while others can, and dies before it can again, may leave documents there that are
 * old until their life time is over. A write that is made from one conflicts and heals it.
 */
import type { UserId } from "../ids.ts";
import type { UserCheck } from "../users/check-user.ts";
import type { User } from "../users/user.ts";
import { readDocument } from "./documents.ts";
import { groupCalls } from "./grouping.ts";
import { Link, type LinkOptions, type LinkStats } from "./link.ts";
import { pack } from "./packing.ts";
import type { Fill, Lease, Value } from "./server.ts";
import type { Tier } from "./tier.ts";

export interface SharedTierOptions extends LinkOptions {
  readonly below: Tier;
  readonly check: UserCheck;
}

export interface SharedTier extends Tier {
  /** Begins to beat and to listen; until the first answer the tier below is asked. */
  start(): void;
  stats(): SharedStats;
  /** Brings what was told to the server and says goodbye. */
  stop(): Promise<void>;
}

/** Counts since the start, by user asked for. */
export interface SharedStats extends LinkStats {
  readonly hits: number;
  readonly misses: number;
  /** Documents that were no documents. */
  readonly damaged: number;
}

export function createSharedTier(options: SharedTierOptions): SharedTier {
  return new Shared(options);
}

type Granted = Extract<Lease, { readonly kind: "granted" }>;

class Shared implements SharedTier {
  readonly #below: Tier;
  readonly #check: UserCheck;
  readonly #link: Link;
  readonly #get: (ids: readonly UserId[]) => Promise<readonly Value[]>;
  readonly #lease: (ids: readonly UserId[]) => Promise<readonly Lease[]>;
  readonly #leaseFresh: (ids: readonly UserId[]) => Promise<readonly Lease[]>;
  readonly #fill: (fills: readonly Fill[]) => Promise<readonly Fill[]>;
  #hits = 0;
  #misses = 0;
  #damaged = 0;

  constructor(options: SharedTierOptions) {
    const { below, server, check, limits, newName } = options;
    const link = new Link(options);
    this.#below = below;
    this.#check = check;
    this.#link = link;
    const max = limits.groupMaxUsers;
    this.#get = groupCalls((ids) => link.counted(() => server.get(ids)), max);
    this.#lease = groupCalls((ids) => link.counted(() => server.lease(ids, newName(), false)), max);
    this.#leaseFresh = groupCalls((ids) => link.counted(() => server.lease(ids, newName(), true)), max);
    this.#fill = groupCalls((fills) => link.counted(() => server.fillIn(fills)).then(() => fills), max);
  }

  start(): void {
    this.#link.start();
  }

  held(): undefined {
    return undefined;
  }

  async read(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>> {
    const link = this.#link;
    if (!link.isBelieved) return this.#below.read(ids);
    const users = new Map<UserId, User>();
    const asked = ids.filter((id) => !link.owes(id));
    const owed = asked.length === ids.length ? [] : ids.filter((id) => link.owes(id));
    const values = (asked.length === 0 ? undefined : await link.ask(() => this.#get(asked))) ?? [];
    const missing: UserId[] = [];
    const damaged: UserId[] = [];
    for (const [at, id] of asked.entries()) {
      // The generation of now: it may have changed since the question.
      const taken = this.#take(values[at], id, link.generation, users);
      if (taken !== "known") (taken === "damaged" ? damaged : missing).push(id);
    }
    const misses = owed.length + missing.length + damaged.length;
    this.#hits += ids.length - misses;
    this.#misses += misses;
    this.#damaged += damaged.length;
    await Promise.all([
      this.#readBelow(missing, users, this.#lease),
      // By its head it may look sound.
      this.#readBelow(damaged, users, this.#leaseFresh),
      this.#readUnkept(owed, users),
    ]);
    return users;
  }

  async readFresh(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>> {
    const leases = this.#link.isBelieved ? await this.#link.ask(() => this.#leaseFresh(ids)) : undefined;
    const found = await this.#below.readFresh(ids);
    this.#fillIn(ids, leases ?? [], found);
    return found;
  }

  stored(users: readonly User[]): void {
    this.#below.stored(users);
    this.#link.tell(users.map((user) => ({ id: user.telegramId, version: user.version, row: pack(user) })));
  }

  forget(ids: readonly UserId[]): void {
    this.#below.forget(ids);
    this.#link.tell(ids.map((id) => ({ id, version: 0, row: "" })));
  }

  stats(): SharedStats {
    return { ...this.#link.stats(), hits: this.#hits, misses: this.#misses, damaged: this.#damaged };
  }

  stop(): Promise<void> {
    return this.#link.stop();
  }

  /** `known`: the value answers the question; then the user, if there is one, is among `users`. */
  #take(value: Value, id: UserId, generation: string, users: Map<UserId, User>): "known" | "unknown" | "damaged" {
    const found = readDocument(value, id, generation, this.#check);
    switch (found.kind) {
      case "user":
        users.set(id, found.user);
        return "known";
      case "absent":
        return "known";
      case "damaged":
        return "damaged";
      case "nothing":
      case "old":
        return "unknown";
    }
  }

  async #readBelow(
    ids: readonly UserId[],
    users: Map<UserId, User>,
    leaseOf: (ids: readonly UserId[]) => Promise<readonly Lease[]>,
  ): Promise<void> {
    if (ids.length === 0) return;
    const leases = (await this.#link.ask(() => leaseOf(ids))) ?? [];
    const missing: UserId[] = [];
    const left: Lease[] = [];
    for (const [at, id] of ids.entries()) {
      const lease = leases[at] ?? { kind: "refused" };
      const isHeld = lease.kind === "held" && !this.#link.owes(id);
      if (isHeld && this.#take(lease.value, id, lease.generation, users) === "known") continue;
      missing.push(id);
      left.push(lease);
    }
    if (missing.length === 0) return;
    const found = await this.#below.read(missing);
    for (const [id, user] of found) users.set(id, user);
    this.#fillIn(missing, left, found);
  }

  async #readUnkept(ids: readonly UserId[], users: Map<UserId, User>): Promise<void> {
    if (ids.length === 0) return;
    for (const [id, user] of await this.#below.read(ids)) users.set(id, user);
  }

  /** One that gets lost is a miss more. */
  #fillIn(ids: readonly UserId[], leases: readonly Lease[], found: ReadonlyMap<UserId, User>): void {
    const isGranted = (lease: Lease | undefined): lease is Granted => lease?.kind === "granted";
    const fills = ids.flatMap((id, at): Fill[] => {
      const lease = leases[at];
      if (!isGranted(lease)) return [];
      const user = found.get(id);
      return [{ ...lease, id, version: user?.version ?? 0, row: user === undefined ? "" : pack(user) }];
    });
    const [first] = fills;
    if (first === undefined) return;
    this.#link.hears(first.generation);
    this.#link.fly(this.#link.ask(() => this.#fill(fills)));
  }
}
