/**
 * Sessions of bots, so that an update that runs again finds what its first run found, and no change is lost.
 *
 *     read ──► tier, storage ──► value, or what was there before this very update (versions.ts)
 *     write ──► compare and set on the version that was read ──► stored: the update may settle
 *
 * How this can end or be interrupted:
 *
 *     write: stored, then the process dies       the replay finds its own write in the past of the session, reads what was before and writes over it
 *     write: stored, answered by an error        the attempt ends as by an outage; the tier forgets the session; the replay as above
 *     a whole row of updates comes again         each reads what was before its own write; only the last one writes
 *     another update wrote it since the read     the attempt ends as by an outage and runs again on the new value: neither change is lost
 *     the attempt is given up at its deadline    what is on its way belongs to the update: its next attempt reads what was before
 *     two writes of one session at a time        they go one after the other
 *     written outside of any update meanwhile    that stays: the updates that wrote before it, run again, leave it (`isFollowed`)
 *     the handler goes on when it has ended      what it does then belongs to no update
 *     a stored one is damaged                    who reads it is told (`session_invalid`), which counts as the handler's fault; the others are read
 *     deleted, then the process dies             the empty session stands until its updates are settled
 *     an update of another instance's inbox      what it wrote is told apart from it for `othersMaxMs`: nobody here knows when it is settled, if ever
 *     the inbox is lost, and numbers anew        what an earlier one left of "later" updates of the lane is settled, as its own never are: left out
 *     too many updates that may come again       those that are settled are dropped by asking; if that is not enough, the update waits (`unavailable`)
 *     a tier holds an old one                    its write conflicts, and it is read again from storage
 */
import DataLoader from "dataloader";
import type { Attempt, AttemptScope } from "../attempts.ts";
import type { Tier } from "../cache/tier.ts";
import { backoffMs, type Clock, type Random, sleep } from "../clock.ts";
import { Fault, faultOf } from "../faults.ts";
import type { BotId } from "../ids.ts";
import type {
  PastValue,
  Session,
  SessionEntry,
  SessionStore,
  SessionWrite,
  SessionWritten,
} from "../storage/session-store.ts";
import { Emptied, type EmptiedLimits, type EmptiedOptions } from "./emptied.ts";
import type { SessionStorage } from "./port.ts";
import { Replays, type ReplaysLimits, type ReplaysOptions } from "./replays.ts";
import { valueFor, withValue } from "./versions.ts";

export interface SessionLimits extends EmptiedLimits, ReplaysLimits {
  /** Longest time a write waits for others to be written with it, ms. */
  readonly groupMaxMs: number;
  /** Sessions in one write. */
  readonly groupMaxSessions: number;
  /** Characters of a session as JSON. */
  readonly valueMaxChars: number;
  /** Characters of a module's own key. */
  readonly keyMaxChars: number;
  /** Updates remembered with a session after which it is asked which of them may still come again. */
  readonly pastCheckAt: number;
  /** Updates remembered with a session that may come again; beyond it further ones wait. */
  readonly pastMax: number;
  /** First and longest wait after a conflict outside of any update, ms. */
  readonly conflictFirstMs: number;
  readonly conflictCapMs: number;
}

export interface SessionsOptions extends Omit<EmptiedOptions, "mayComeAgain">, ReplaysOptions {
  readonly clock: Clock;
  readonly store: Pick<SessionStore, "writeSessions" | "emptied" | "removeSessions">;
  readonly tier: Tier<string, Session>;
  readonly scope: AttemptScope;
  readonly random: Random;
  readonly limits: SessionLimits;
  /** Unique to each write in the whole fleet. */
  readonly newWriter: () => string;
}

export interface Sessions {
  /** Those of `bot` under `name`, apart from those under other names. Throws `module_invalid` for a name that is none. */
  of<Value>(bot: BotId, name?: string): SessionStorage<Value>;
  /** Begins to take away what was deleted. */
  start(): void;
  /** Resolves when what was begun is stored. */
  stop(): Promise<void>;
}

export function createSessions(options: SessionsOptions): Sessions {
  return new StoredSessions(options);
}

interface Seen {
  /** The one that the next write of the attempt replaces. */
  readonly session: Session | undefined;
  /** By this attempt: it reads its own words. */
  readonly isWritten: boolean;
}

/** A write that waits for others to be made with it. */
interface Asked {
  readonly write: SessionWrite;
  /** Asked again when it is made: its instance may have stood still meanwhile. */
  readonly mayAct: () => boolean;
}

const unclaimed = "whether the update is still this instance's is not known";
const nameForm = /^[a-z0-9_]{0,40}$/;

class StoredSessions implements Sessions {
  readonly #options: SessionsOptions;
  readonly #writes: DataLoader<Asked, SessionWritten>;
  /** What each attempt has read or written, by key. */
  readonly #seen = new WeakMap<Attempt, Map<string, Seen>>();
  /** The last write of each key that is on its way. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #replays: Replays;
  readonly #emptied: Emptied;

  constructor(options: SessionsOptions) {
    this.#options = options;
    const { clock, limits } = options;
    this.#replays = new Replays(options);
    this.#emptied = new Emptied({ ...options, mayComeAgain: this.#replays.mayComeAgain });
    this.#writes = new DataLoader<Asked, SessionWritten>((writes) => this.#writeAll(writes), {
      cache: false,
      maxBatchSize: limits.groupMaxSessions,
      batchScheduleFn: (write) => void clock.setTimer(write, limits.groupMaxMs),
    });
  }

  of<Value>(bot: BotId, name = ""): SessionStorage<Value> {
    if (!nameForm.test(name)) {
      const words = "a name of sessions holds at most 40 of a-z, 0-9 and _";
      throw new Fault("module_invalid", `Bot ${bot}: ${words}, unlike ${JSON.stringify(name.slice(0, 80))}.`);
    }
    const keyOf = (key: string): string => `${bot}:${name}:${this.#checkedKey(key)}`;
    return {
      read: async (key) => {
        const text = await this.#read(keyOf(key));
        return text === undefined ? undefined : (JSON.parse(text) as Value);
      },
      write: async (key, value) => this.#write(keyOf(key), this.#textOf(value)),
      delete: async (key) => this.#write(keyOf(key), undefined),
    };
  }

  start(): void {
    this.#emptied.start();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#turns.values(), this.#emptied.stop()]);
  }

  async #read(key: string): Promise<string | undefined> {
    const attempt = this.#attempt();
    if (attempt === undefined) return (await this.#stored(key))?.value;
    // As an effect, so that an outage is known for one whatever the handler makes of it.
    const { session, isWritten } = await attempt.effect(() => this.#look(attempt, key), "storage");
    return isWritten ? session?.value : valueFor(session, entryOf(attempt));
  }

  #write(key: string, value: string | undefined): Promise<void> {
    const attempt = this.#attempt();
    if (attempt === undefined) return this.#inTurn(key, () => this.#overwrite(key, value));
    return attempt.effect(() => this.#inTurn(key, () => this.#replace(attempt, key, value)), "storage");
  }

  /** A bot's own timer may fire long after its update was settled: it belongs to none then. */
  #attempt(): Attempt | undefined {
    const attempt = this.#options.scope.current();
    return attempt?.isOver === true && !attempt.revoked ? undefined : attempt;
  }

  async #replace(attempt: Attempt, key: string, value: string | undefined): Promise<void> {
    const { session: before } = await this.#look(attempt, key);
    const session = await this.#next(before, key, value, attempt);
    if (session !== undefined && !(await this.#store(before, session, () => attempt.mayAct()))) {
      this.#seen.get(attempt)?.delete(key);
      throw new Fault("unavailable", "another update has changed the session meanwhile: this one runs again");
    }
    this.#seenBy(attempt).set(key, { session: session ?? before, isWritten: true });
  }

  /** Outside of any update the last one wins. */
  async #overwrite(key: string, value: string | undefined): Promise<void> {
    const { clock, random, limits } = this.#options;
    for (let conflicts = 0; ; conflicts++) {
      const before = await this.#stored(key);
      const session = await this.#next(before, key, value, undefined);
      if (session === undefined || (await this.#store(before, session, () => true))) return;
      await sleep(clock, backoffMs(conflicts, limits.conflictFirstMs, limits.conflictCapMs, random));
    }
  }

  async #next(
    before: Session | undefined,
    key: string,
    value: string | undefined,
    attempt: Attempt | undefined,
  ): Promise<Session | undefined> {
    const { clock, limits } = this.#options;
    const entry = attempt === undefined ? undefined : entryOf(attempt);
    const isCrowded = (before?.past.length ?? 0) >= limits.pastCheckAt;
    const open = isCrowded ? await this.#replays.open(before?.past ?? []) : undefined;
    const mayComeAgain = (one: PastValue): boolean => this.#replays.mayComeAgain(one) && open?.has(one) !== false;
    const session = withValue(before, { key, value, entry, now: clock.now(), mayComeAgain });
    if (session !== undefined && session.past.length > limits.pastMax)
      throw new Fault("unavailable", "too many updates that changed the session are not settled yet");
    return session;
  }

  /** False: another version is stored. */
  async #store(before: Session | undefined, session: Session, mayAct: () => boolean): Promise<boolean> {
    const { tier } = this.#options;
    try {
      const end = await this.#writes.load({ write: { session, expectedVersion: before?.version ?? 0 }, mayAct });
      if (end === "stored") tier.stored([session]);
      // Not only forgotten: a tier that did not hear of that would go on to answer what is old.
      else await tier.readFresh([session.key]);
      return end === "stored";
    } catch (error) {
      // What took effect is not known: the tiers must not show what was there before.
      tier.forget([session.key]);
      throw withoutEffect(error);
    }
  }

  async #writeAll(asked: readonly Asked[]): Promise<readonly (SessionWritten | Fault)[]> {
    const { store, newWriter } = this.#options;
    // What another owner of the partition stored since it was read has another version, but for what was deleted and taken away again while this waited.
    const allowed = asked.filter(({ mayAct }) => mayAct());
    const writes = allowed.map(({ write }) => write);
    const written = writes.length === 0 ? [] : await store.writeSessions(writes, newWriter());
    const ends = new Map(allowed.map((each, at) => [each, written[at]]));
    return asked.map((each) => ends.get(each) ?? new Fault("unavailable", unclaimed));
  }

  async #stored(key: string): Promise<Session | undefined> {
    const { tier } = this.#options;
    return tier.held(key) ?? (await tier.read([key])).get(key);
  }

  /** The same throughout an attempt, so that it does not mix what two other updates wrote. */
  async #look(attempt: Attempt, key: string): Promise<Seen> {
    const seen = this.#seenBy(attempt);
    const known = seen.get(key);
    if (known !== undefined) return known;
    const stored = await this.#stored(key);
    const session = stored === undefined ? undefined : await this.#replays.ofThisInbox(stored, entryOf(attempt));
    // Another look of the same attempt may have been faster, and a write have followed it.
    const first = seen.get(key) ?? { session, isWritten: false };
    seen.set(key, first);
    return first;
  }

  #seenBy(attempt: Attempt): Map<string, Seen> {
    let seen = this.#seen.get(attempt);
    if (seen === undefined) this.#seen.set(attempt, (seen = new Map()));
    return seen;
  }

  /** Begins `work` when the writes of this key that were begun before have ended. */
  async #inTurn(key: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work);
    const ended = turn.catch(() => {});
    this.#turns.set(key, ended);
    try {
      await turn;
    } finally {
      if (this.#turns.get(key) === ended) this.#turns.delete(key);
    }
  }

  #textOf(value: unknown): string | undefined {
    const text = JSON.stringify(value) as string | undefined;
    const { valueMaxChars } = this.#options.limits;
    if (text === undefined || text.length <= valueMaxChars) return text;
    throw new Error(
      `a session of ${text.length} characters is more than the ${valueMaxChars} that are kept: store less in it`,
    );
  }

  #checkedKey(key: string): string {
    const { keyMaxChars } = this.#options.limits;
    if (key.length <= keyMaxChars) return key;
    throw new Error(`a key of ${key.length} characters is more than the ${keyMaxChars} a session's may have`);
  }
}

/** Whether it took effect need not be known: the next attempt finds it. To the pipeline, an unknown effect would be a message that may be sent twice. */
function withoutEffect(error: unknown): unknown {
  const fault = faultOf(error);
  return fault?.effect === "unknown" ? new Fault(fault.code, fault.message, { cause: fault }) : error;
}

function entryOf({ lane, partition, seq }: Attempt): SessionEntry {
  return { lane, partition, seq };
}
