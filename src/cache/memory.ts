/**
 * The first tier: users in the memory of this process, over the tier below.
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
import { Entries, type Entry } from "./entries.ts";
import type { Clock } from "../clock.ts";
import type { UserId } from "../ids.ts";
import type { User } from "../users/user.ts";
import { lifeTimes } from "./life-times.ts";
import type { Tier } from "./tier.ts";

export interface MemoryTierOptions {
  readonly below: Tier;
  readonly clock: Clock;
  readonly limits: {
    /** Users held at a time. */
    readonly usersMax: number;
    /** How long a user is held without being written, ms. */
    readonly ttlMs: number;
    /** How long it is held that a user does not exist, ms. */
    readonly absentMs: number;
    readonly absentMax: number;
  };
}

export interface MemoryTier extends Tier {
  /** Another instance has stored the user; `version` 0: not known which. */
  changed(id: UserId, version: number): void;
  /** Some change may not have been told: everything held must be checked. Cheap, however much is held. */
  doubt(): void;
  stats(): TierStats;
}

/** Counts since the start, by user. */
export interface TierStats {
  readonly hits: number;
  readonly misses: number;
  /** Dropped for others that were looked at later. */
  readonly evictions: number;
  /** Held now. */
  readonly users: number;
  /** About what they take. */
  readonly bytes: number;
}

type Found = ReadonlyMap<UserId, User>;

/** A question to the tier below, for one user. */
interface Fill {
  readonly found: Promise<Found>;
  /** The doubt at the time of the question. */
  readonly doubt: number;
  /** The user was stored or forgotten after the question: its answer may be old. */
  isOld: boolean;
}

export function createMemoryTier(options: MemoryTierOptions): MemoryTier {
  return new Memory(options);
}

class Memory implements MemoryTier {
  readonly #below: Tier;
  readonly #held: LRUCache<UserId, Entry>;
  readonly #entries = new Entries();
  readonly #absent: LRUCache<UserId, true>;
  readonly #fills = new Map<UserId, Fill>();
  /** How often everything has been in doubt. */
  #doubt = 0;
  #hits = 0;
  #misses = 0;
  #evictions = 0;

  constructor({ below, clock, limits }: MemoryTierOptions) {
    this.#below = below;
    const perf = lifeTimes(clock);
    this.#held = new LRUCache({
      max: limits.usersMax,
      ttl: limits.ttlMs,
      ...perf,
      // Evicted, deleted or replaced.
      dispose: (entry, _id, why) => {
        if (why === "evict") this.#evictions++;
        this.#entries.drop(entry);
      },
    });
    this.#absent = new LRUCache({ max: limits.absentMax, ttl: limits.absentMs, ...perf });
  }

  held(id: UserId): User | undefined {
    const entry = this.#held.get(id);
    if (entry === undefined || entry.doubt !== this.#doubt) return undefined;
    this.#hits++;
    return this.#entries.userOf(entry);
  }

  async read(ids: readonly UserId[]): Promise<Found> {
    const users = new Map<UserId, User>();
    const awaited = new Map<UserId, Fill>();
    const missing: UserId[] = [];
    for (const id of ids) {
      const user = this.held(id);
      if (user !== undefined) {
        users.set(id, user);
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
      const user = await found.then(
        (answer) => answer.get(id),
        (error: unknown) => this.#doubtful(id, error),
      );
      if (user !== undefined) users.set(id, user);
    }
    return users;
  }

  async readFresh(ids: readonly UserId[]): Promise<Found> {
    for (const id of ids) this.#forget(id);
    return this.#ask(ids, this.#below.readFresh(ids), new Map());
  }

  stored(users: readonly User[]): void {
    for (const user of users) this.#stored(user);
    this.#below.stored(users);
  }

  forget(ids: readonly UserId[]): void {
    for (const id of ids) this.#forget(id);
    this.#below.forget(ids);
  }

  changed(id: UserId, version: number): void {
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
    const users = this.#held.size;
    const bytes = this.#entries.bytes(users);
    return { hits: this.#hits, misses: this.#misses, evictions: this.#evictions, users, bytes };
  }

  /** Keeps what `asked` brings, and puts the questions into `fills` meanwhile. */
  #ask(ids: readonly UserId[], asked: Promise<Found>, fills: Map<UserId, Fill>): Promise<Found> {
    const own = new Map<UserId, Fill>();
    const found = asked.then(
      (users) => {
        for (const [id, fill] of own) this.#filled(id, fill, users.get(id));
        return users;
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

  #filled(id: UserId, fill: Fill, user: User | undefined): void {
    this.#end(id, fill);
    if (fill.isOld) return;
    if (user !== undefined) return this.#keep(user, fill.doubt);
    this.#held.delete(id);
    if (fill.doubt === this.#doubt) this.#absent.set(id, true);
  }

  #end(id: UserId, fill: Fill): void {
    if (this.#fills.get(id) === fill) this.#fills.delete(id);
  }

  /** What is on its way is old; whoever asks from now on asks anew. */
  #outdate(id: UserId): void {
    const fill = this.#fills.get(id);
    if (fill === undefined) return;
    fill.isOld = true;
    this.#fills.delete(id);
  }

  #forget(id: UserId): void {
    this.#outdate(id);
    this.#held.delete(id);
    this.#absent.delete(id);
  }

  /**
   * Kept only in the place of what it was made from: if that is gone, another instance may have stored a newer one and said so while this one
   * was on its way, and it would be said no more.
   */
  #stored(user: User): void {
    const { telegramId: id, version } = user;
    this.#outdate(id);
    const before = this.#held.peek(id);
    if (before?.version === version - 1) return this.#keep(user, before.doubt);
    if (version === 1 && this.#absent.has(id)) return this.#keep(user, this.#doubt);
    this.#absent.delete(id);
    if (before !== undefined && before.version < version) this.#held.delete(id);
  }

  /** Where nobody can answer, what is in doubt is better than nothing. */
  #doubtful(id: UserId, error: unknown): User {
    const entry = this.#held.get(id);
    if (entry === undefined) throw error;
    return this.#entries.userOf(entry);
  }

  #keep(user: User, doubt: number): void {
    const id = user.telegramId;
    const before = this.#held.peek(id);
    if (before !== undefined && before.version > user.version) return;
    const isSame = before?.version === user.version;
    this.#absent.delete(id);
    this.#held.set(id, this.#entries.of(user, isSame ? Math.max(doubt, before.doubt) : doubt));
  }
}
