/**
 * The first tier: documents in the memory of this process, over the tier below.
 *
 *     read ──► held? ── yes ──► answered
 *               └ no ──► somebody asks already? ── yes ──► same answer
 *                            └ no ──► asks the tier below ──► kept, unless the user was stored or forgotten meanwhile
 *
 * How this goes wrong, and what answers it: an answer from below that is older than what was written while it was on its way → it is
 * given to those who asked before, and not kept; whoever asks after the write asks anew; an entry that was evicted does not matter, because
 * that is remembered by the question, not by the entry; a user that does not exist yet → remembered for seconds alone, and forgotten when
 * it is stored; the tier below fails → all who wait for the answer are told, nothing is kept; another instance stores a user → what is older is
 * dropped, and an older answer on its way is not kept, nor is an older one of this instance's own that was being stored meanwhile; what another instance said may not have been heard → everything held is in doubt: it is
 * asked for below at its next look, and serves only where nobody can answer. Doubts are counted, and an entry bears the count of the time at
 * which it was asked for: an answer that was on its way is in doubt too.
 */
import { LRUCache } from "lru-cache";
import { Entries } from "./entries.ts";
import type { Clock } from "../clock.ts";
import type { UserId } from "../ids.ts";
import type { User } from "../users/user.ts";
import type { HeldEntry, Holding, Versioned } from "./holding.ts";
import { lifeTimes } from "./life-times.ts";
import type { Tier } from "./tier.ts";

export interface MemoryTierOptions<Id = UserId, Document = User> {
  readonly below: Tier<Id, Document>;
  readonly clock: Clock;
  readonly limits: MemoryTierLimits;
}

export interface MemoryTierLimits {
  /** Documents held at a time. */
  readonly heldMax: number;
  /** Of documents that can be large: about what those held take together, far above the largest. */
  readonly heldMaxBytes?: number;
  /** How long one is held without being written, ms. */
  readonly ttlMs: number;
  /** How long it is held that there is none, ms. */
  readonly absentMs: number;
  readonly absentMax: number;
}

export interface MemoryTier<Id = UserId, Document = User> extends Tier<Id, Document> {
  /** Another instance has stored it; `version` 0: not known which. */
  changed(id: Id, version: number): void;
  /** Some change may not have been told: everything held must be checked. Cheap, however much is held. */
  doubt(): void;
  stats(): TierStats;
}

/** Counts since the start, by document. */
export interface TierStats {
  readonly hits: number;
  readonly misses: number;
  /** Dropped for others that were looked at later. */
  readonly evictions: number;
  /** Held now. */
  readonly held: number;
  /** About what they take. */
  readonly bytes: number;
}

/** A question to the tier below, for one document. */
interface Fill<Id, Document> {
  readonly found: Promise<ReadonlyMap<Id, Document>>;
  /** The doubt at the time of the question. */
  readonly doubt: number;
  /** It was stored or forgotten after the question: its answer may be old. */
  isOld: boolean;
}

export function createMemoryTier(options: MemoryTierOptions): MemoryTier {
  return new Memory(new Entries(), options);
}

/** A first tier of other documents. */
export function createMemoryTierOf<Id extends {}, Document extends Versioned, Held extends HeldEntry>(
  holding: Holding<Id, Document, Held>,
  options: MemoryTierOptions<Id, Document>,
): MemoryTier<Id, Document> {
  return new Memory(holding, options);
}

class Memory<Id extends {}, Document extends Versioned, Held extends HeldEntry> implements MemoryTier<Id, Document> {
  readonly #below: Tier<Id, Document>;
  readonly #held: LRUCache<Id, Held>;
  readonly #holding: Holding<Id, Document, Held>;
  readonly #absent: LRUCache<Id, true>;
  readonly #fills = new Map<Id, Fill<Id, Document>>();
  /** How often everything has been in doubt. */
  #doubt = 0;
  #hits = 0;
  #misses = 0;
  #evictions = 0;

  constructor(holding: Holding<Id, Document, Held>, { below, clock, limits }: MemoryTierOptions<Id, Document>) {
    this.#holding = holding;
    this.#below = below;
    const perf = lifeTimes(clock);
    this.#held = new LRUCache({
      max: limits.heldMax,
      ttl: limits.ttlMs,
      ...perf,
      ...(limits.heldMaxBytes === undefined
        ? {}
        : { maxSize: limits.heldMaxBytes, sizeCalculation: ({ bytes = 1 }: Held) => bytes }),
      // Evicted, deleted or replaced.
      dispose: (entry, _id, why) => {
        if (why === "evict") this.#evictions++;
        this.#holding.drop(entry);
      },
    });
    this.#absent = new LRUCache({ max: limits.absentMax, ttl: limits.absentMs, ...perf });
  }

  held(id: Id): Document | undefined {
    const entry = this.#held.get(id);
    if (entry === undefined || entry.doubt !== this.#doubt) return undefined;
    this.#hits++;
    return this.#holding.documentOf(entry);
  }

  async read(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>> {
    const documents = new Map<Id, Document>();
    const awaited = new Map<Id, Fill<Id, Document>>();
    const missing: Id[] = [];
    for (const id of ids) {
      const document = this.held(id);
      if (document !== undefined) {
        documents.set(id, document);
        continue;
      }
      if (this.#absent.has(id)) continue;
      this.#misses++;
      const fill = this.#fills.get(id);
      if (fill === undefined) missing.push(id);
      else awaited.set(id, fill);
    }
    // Awaited below, question by question.
    if (missing.length > 0) void this.#ask(missing, this.#below.read(missing), awaited);
    for (const [id, { found }] of awaited) {
      const document = await found.then(
        (answer) => answer.get(id),
        (error: unknown) => this.#doubtful(id, error),
      );
      if (document !== undefined) documents.set(id, document);
    }
    return documents;
  }

  async readFresh(ids: readonly Id[]): Promise<ReadonlyMap<Id, Document>> {
    for (const id of ids) this.#forget(id);
    return this.#ask(ids, this.#below.readFresh(ids), new Map());
  }

  stored(documents: readonly Document[]): void {
    for (const document of documents) this.#stored(document);
    this.#below.stored(documents);
  }

  forget(ids: readonly Id[]): void {
    for (const id of ids) this.#forget(id);
    this.#below.forget(ids);
  }

  changed(id: Id, version: number): void {
    if (version === 0) return this.#forget(id);
    // Whatever its version: once it is out of `fills`, nobody could tell it of the next change.
    this.#outdate(id);
    this.#absent.delete(id);
    const held = this.#held.peek(id);
    if (held !== undefined && held.version < version) this.#held.delete(id);
  }

  doubt(): void {
    this.#doubt++;
    this.#absent.clear();
  }

  stats(): TierStats {
    const held = this.#held.size;
    const bytes = this.#holding.bytes(held);
    return { hits: this.#hits, misses: this.#misses, evictions: this.#evictions, held, bytes };
  }

  /** Keeps what `asked` brings, and puts the questions into `fills` meanwhile. */
  #ask(
    ids: readonly Id[],
    asked: Promise<ReadonlyMap<Id, Document>>,
    fills: Map<Id, Fill<Id, Document>>,
  ): Promise<ReadonlyMap<Id, Document>> {
    const own = new Map<Id, Fill<Id, Document>>();
    const found = asked.then(
      (documents) => {
        for (const [id, fill] of own) this.#filled(id, fill, documents.get(id));
        return documents;
      },
      (error: unknown) => {
        for (const [id, fill] of own) this.#end(id, fill);
        throw error;
      },
    );
    // Whoever waits for several questions hears of the first that fails; the others' failures are told to their own askers.
    found.catch(() => {});
    for (const id of ids) {
      const fill = { found, doubt: this.#doubt, isOld: false };
      own.set(id, fill);
      fills.set(id, fill);
      this.#fills.set(id, fill);
    }
    return found;
  }

  #filled(id: Id, fill: Fill<Id, Document>, document: Document | undefined): void {
    this.#end(id, fill);
    if (fill.isOld) return;
    if (document !== undefined) return this.#keep(document, fill.doubt);
    this.#held.delete(id);
    if (fill.doubt === this.#doubt) this.#absent.set(id, true);
  }

  #end(id: Id, fill: Fill<Id, Document>): void {
    if (this.#fills.get(id) === fill) this.#fills.delete(id);
  }

  /** What is on its way is old; whoever asks from now on asks anew. */
  #outdate(id: Id): void {
    const fill = this.#fills.get(id);
    if (fill === undefined) return;
    fill.isOld = true;
    this.#fills.delete(id);
  }

  #forget(id: Id): void {
    this.#outdate(id);
    this.#held.delete(id);
    this.#absent.delete(id);
  }

  /**
   * Kept only in the place of what it was made from: if that is gone, another instance may have stored a newer one and said so while this one
   * was on its way, and it would be said no more.
   */
  #stored(document: Document): void {
    const id = this.#holding.idOf(document);
    const { version } = document;
    this.#outdate(id);
    const before = this.#held.peek(id);
    if (before?.version === version - 1) return this.#keep(document, before.doubt);
    if (this.#absent.has(id)) return this.#keep(document, this.#doubt);
    this.#absent.delete(id);
    if (before !== undefined && before.version < version) this.#held.delete(id);
  }

  /** Where nobody can answer, what is in doubt is better than nothing. */
  #doubtful(id: Id, error: unknown): Document {
    const entry = this.#held.get(id);
    if (entry === undefined) throw error;
    return this.#holding.documentOf(entry);
  }

  #keep(document: Document, doubt: number): void {
    const id = this.#holding.idOf(document);
    const before = this.#held.peek(id);
    if (before !== undefined && before.version > document.version) return;
    const isSame = before?.version === document.version;
    this.#absent.delete(id);
    this.#held.set(id, this.#holding.of(document, isSame ? Math.max(doubt, before.doubt) : doubt));
  }
}
