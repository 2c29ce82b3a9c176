/**
 * The second tier: documents in a server that all instances share, over the tier below. It is never waited for beyond the deadline of a call, and
 * no failure of it reaches whoever asks: then the tier below is asked.
 *
 *     read ──► a document of this generation? ── yes ──► answered
 *               └ no ──► lease ──► tier below ──► answered, and filled in
 *
 * How this goes wrong, and what answers it:
 *
 *     a fill is older than what was written meanwhile      it has no lease any more (`server.ts`)
 *     a write is on its way                                the document is not believed here until it has arrived
 *     a write does not arrive, or late                     the document is owed: not believed here, deleted there when that is possible
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
import { type Kind, readDocument } from "./documents.ts";
import { groupCalls } from "./grouping.ts";
import type { Link } from "./link.ts";
import type { CacheServer, Fill, Key, Lease, Value } from "./server.ts";
import type { Tier } from "./tier.ts";

export interface SharedTierOptions<Id, Document> {
  readonly below: Tier<Id, Document>;
  readonly server: CacheServer;
  /** To this server, shared by the tiers of all kinds. */
  readonly link: Link;
  readonly kind: Kind<Id, Document>;
  /** Never used before: lower-case letters and digits. */
  readonly newName: () => string;
  /** Documents in one call. */
  readonly groupMax: number;
}

export interface SharedTier<Id, Document> extends Tier<Id, Document> {
  stats(): SharedStats;
}

/** Counts since the start, by document asked for. */
export interface SharedStats {
  readonly hits: number;
  readonly misses: number;
  /** Values that were no documents. */
  readonly damaged: number;
}

/** Until the link's first beat, and whenever it does not believe the server, the tier below is asked. */
export function createSharedTier<Id, Document>(options: SharedTierOptions<Id, Document>): SharedTier<Id, Document> {
  return new Shared(options);
}

type Granted = Extract<Lease, { readonly kind: "granted" }>;
type LeaseCall = (keys: readonly Key[]) => Promise<readonly Lease[]>;

class Shared<Id, Document> implements SharedTier<Id, Document> {
  readonly #below: Tier<Id, Document>;
  readonly #kind: Kind<Id, Document>;
  readonly #link: Link;
  readonly #get: (keys: readonly Key[]) => Promise<readonly Value[]>;
  readonly #lease: LeaseCall;
  readonly #leaseFresh: LeaseCall;
  readonly #fill: (fills: readonly Fill[]) => Promise<readonly Fill[]>;
  #hits = 0;
  #misses = 0;
  #damaged = 0;

  constructor({ below, server, link, kind, newName, groupMax }: SharedTierOptions<Id, Document>) {
    this.#below = below;
    this.#kind = kind;
    this.#link = link;
    this.#get = groupCalls((keys) => link.counted(() => server.get(keys)), groupMax);
    this.#lease = groupCalls((keys) => link.counted(() => server.lease(keys, newName(), false)), groupMax);
    this.#leaseFresh = groupCalls((keys) => link.counted(() => server.lease(keys, newName(), true)), groupMax);
    this.#fill = groupCalls((fills) => link.counted(() => server.fillIn(fills)).then(() => fills), groupMax);
  }

  held(): undefined {
    return undefined;
  }

  async read(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>> {
    const link = this.#link;
    if (!link.isBelieved) return this.#below.read(ids);
    const found = new Map<Id, Document>();
    const asked = ids.filter((id) => !this.#owes(id));
    const owed = asked.length === ids.length ? [] : ids.filter((id) => this.#owes(id));
    const keys = asked.map((id) => this.#kind.keyOf(id));
    const values = (keys.length === 0 ? undefined : await link.ask(() => this.#get(keys))) ?? [];
    const missing: Id[] = [];
    const damaged: Id[] = [];
    for (const [at, id] of asked.entries()) {
      // The generation of now: it may have changed since the question.
      const taken = this.#take(values[at], id, link.generation, found);
      if (taken !== "known") (taken === "damaged" ? damaged : missing).push(id);
    }
    const misses = owed.length + missing.length + damaged.length;
    this.#hits += ids.length - misses;
    this.#misses += misses;
    this.#damaged += damaged.length;
    await Promise.all([
      this.#readBelow(missing, found, this.#lease),
      // By its head it may look sound.
      this.#readBelow(damaged, found, this.#leaseFresh),
      this.#readUnkept(owed, found),
    ]);
    return found;
  }

  async readFresh(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>> {
    const keys = ids.map((id) => this.#kind.keyOf(id));
    const leases = this.#link.isBelieved ? await this.#link.ask(() => this.#leaseFresh(keys)) : undefined;
    const found = await this.#below.readFresh(ids);
    this.#fillIn(ids, leases ?? [], found);
    return found;
  }

  stored(documents: readonly Document[]): void {
    this.#below.stored(documents);
    const { keyOf, idIn, versionIn, rowOf } = this.#kind;
    this.#link.tell(
      documents.map((document) => {
        const [key, row] = [keyOf(idIn(document)), rowOf(document)];
        // What is too large to stand there only takes away what stood there.
        return row === undefined ? { key, version: 0, row: "" } : { key, version: versionIn(document), row };
      }),
    );
  }

  forget(ids: readonly Id[]): void {
    this.#below.forget(ids);
    this.#link.tell(ids.map((id) => ({ key: this.#kind.keyOf(id), version: 0, row: "" })));
  }

  stats(): SharedStats {
    return { hits: this.#hits, misses: this.#misses, damaged: this.#damaged };
  }

  #owes(id: Id): boolean {
    return this.#link.owesAny && this.#link.owes(this.#kind.keyOf(id));
  }

  /** `known`: the value answers the question; then the document, if there is one, is in `into`. */
  #take(value: Value, id: Id, generation: string, into: Map<Id, Document>): "known" | "unknown" | "damaged" {
    const found = readDocument(value, id, generation, this.#kind);
    switch (found.kind) {
      case "document":
        into.set(id, found.document);
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

  async #readBelow(ids: readonly Id[], into: Map<Id, Document>, leaseOf: LeaseCall): Promise<void> {
    if (ids.length === 0) return;
    const keys = ids.map((id) => this.#kind.keyOf(id));
    const leases = (await this.#link.ask(() => leaseOf(keys))) ?? [];
    const missing: Id[] = [];
    const left: Lease[] = [];
    for (const [at, id] of ids.entries()) {
      const lease = leases[at] ?? { kind: "refused" };
      const isHeld = lease.kind === "held" && !this.#owes(id);
      if (isHeld && this.#take(lease.value, id, lease.generation, into) === "known") continue;
      missing.push(id);
      left.push(lease);
    }
    if (missing.length === 0) return;
    const found = await this.#below.read(missing);
    for (const [id, document] of found) into.set(id, document);
    this.#fillIn(missing, left, found);
  }

  async #readUnkept(ids: readonly Id[], into: Map<Id, Document>): Promise<void> {
    if (ids.length === 0) return;
    for (const [id, document] of await this.#below.read(ids)) into.set(id, document);
  }

  /** One that gets lost is a miss more. */
  #fillIn(ids: readonly Id[], leases: readonly Lease[], found: ReadonlyMap<Id, Document>): void {
    const { keyOf, versionIn, rowOf } = this.#kind;
    const isGranted = (lease: Lease | undefined): lease is Granted => lease?.kind === "granted";
    const fills = ids.flatMap((id, at): Fill[] => {
      const lease = leases[at];
      if (!isGranted(lease)) return [];
      const document = found.get(id);
      const { token, generation } = lease;
      const filling = { key: keyOf(id), token, generation };
      if (document === undefined) return [{ ...filling, version: 0, row: "" }];
      const row = rowOf(document);
      return row === undefined ? [] : [{ ...filling, version: versionIn(document), row }];
    });
    const [first] = fills;
    if (first === undefined) return;
    this.#link.hears(first.generation);
    this.#link.fly(this.#link.ask(() => this.#fill(fills)));
  }
}
