/**
 * The users of a single process: SQLite in a worker thread, so that no fsync ever blocks the event loop. Longer than other files: every method of the
 * port, and the one way in which each of them may fail.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Clock, Timer } from "../clock.ts";
import { Fault } from "../faults.ts";
import { type BotId, toUserId, type UserId } from "../ids.ts";
import type { Log } from "../log.ts";
import { StallWatch } from "../sqlite/stall-watch.ts";
import { startThread, type Thread } from "../sqlite/thread.ts";
import { createUserCheck, invalidUser, type UserCheck } from "../users/check-user.ts";
import type { User } from "../users/user.ts";
import { soundSession, soundSessions } from "./check-session.ts";
import { Damaged } from "./damaged.ts";
import { type Calls, writingCalls } from "./sqlite-protocol.ts";
import { type Cell, documentSeparator, keyOf } from "./sqlite-rows.ts";
import type { Session, SessionStore, SessionWrite, SessionWritten } from "./session-store.ts";
import { sessionRowOf, storedIn } from "./sqlite-sessions.ts";
import { textOf } from "./sqlite-writes.ts";
import type {
  Page,
  PointsBucket,
  ReferralPage,
  Rewarded,
  Standing,
  StoreState,
  UserStore,
  Write,
  Written,
} from "./store.ts";

export interface SqliteUserStoreOptions {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly limits: SqliteUserLimits;
  readonly log?: Pick<Log, "info" | "error">;
  /** The store is lost for good (its file is damaged, its thread has ended): the process must end, so that the next start looks at the file. */
  readonly onBroken?: (reason: unknown) => void;
  /** For tests: time that every commit takes longer, as on a slow disk; ms. */
  readonly fsyncDelayMs?: number;
}

export interface SqliteUserLimits {
  /** Pages (of 4 KiB) of the write-ahead log after which it is folded into the database. */
  readonly checkpointPages: number;
  /** Memory for pages of the file, KiB. */
  readonly pageCacheKiB: number;
  /** Time between two tries to write while the store is lost, ms. */
  readonly probeMs: number;
  /** A call that takes longer means that the disk stands still: the store counts as lost, ms. */
  readonly answerMaxMs: number;
  /** Damaged users that are told. */
  readonly damagedToldMax: number;
}

export interface SqliteStorage extends UserStore, SessionStore {}

/**
 * Opens `users.sqlite` in `dataDir` (made where absent), which whoever calls holds the lock of. Rejects with `format_newer`, or with
 * `storage_damaged`: the message says what to do.
 */
export async function createSqliteUserStore(options: SqliteUserStoreOptions): Promise<SqliteStorage> {
  const { dataDir, limits, fsyncDelayMs = 0 } = options;
  mkdirSync(dataDir, { recursive: true });
  const thread = startThread(new URL("./sqlite-worker.ts", import.meta.url), "the users");
  const path = join(dataDir, "users.sqlite");
  try {
    await thread.ask("open", { path, ...limits, fsyncDelayMs });
  } catch (error) {
    thread.end();
    throw error instanceof Fault ? error : new Error(`the users in ${path} cannot be opened: ${String(error)}`);
  }
  return new SqliteUserStore(thread, options);
}

class SqliteUserStore implements SqliteStorage {
  readonly #thread: Thread;
  readonly #options: SqliteUserStoreOptions;
  readonly #check: UserCheck = createUserCheck();
  readonly #damaged: Damaged;
  readonly #listeners = new Set<(state: StoreState) => void>();
  readonly #stalls: StallWatch;
  #state: StoreState = "ok";
  #probing: Timer | undefined;
  #stopped: Promise<void> | undefined;
  #isBroken = false;

  constructor(thread: Thread, options: SqliteUserStoreOptions) {
    this.#thread = thread;
    this.#options = options;
    this.#damaged = new Damaged({ log: options.log, toldMax: options.limits.damagedToldMax });
    const { answerMaxMs } = options.limits;
    const onStall = (): void => this.#lose(new Error(`no answer within ${answerMaxMs} ms: the disk stands still`));
    this.#stalls = new StallWatch({ clock: options.clock, answerMaxMs, onStall });
    void thread.broken.then((reason) => this.#break(reason)); // Never rejects.
  }

  async read(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>> {
    const users = this.#users(await this.#ask("read", JSON.stringify(ids)));
    return new Map(users.map((user) => [user.telegramId, user]));
  }

  async write(writes: readonly Write[], _writer: string): Promise<readonly Written[]> {
    return writes.length === 0 ? [] : await this.#ask("write", textOf(writes));
  }

  async reward(referees: readonly UserId[], points: number, at: number): Promise<readonly Rewarded[]> {
    return await this.#ask("reward", referees, points, at);
  }

  async idOfCode(code: string): Promise<UserId | undefined> {
    const [id] = await this.#ask("ids", "ofCode", [keyOf(code)]);
    return id === undefined ? undefined : toUserId(id);
  }

  async byWallet(address: string): Promise<User | undefined> {
    return this.#users(await this.#ask("find", "byWallet", [keyOf(address)]))[0];
  }

  async byDevice(deviceFingerprint: string, ipAddress: string, max: number): Promise<readonly User[]> {
    return this.#list("byDevice", [keyOf(deviceFingerprint), keyOf(ipAddress)], max);
  }

  async referralsOf(referrer: UserId, { after, max }: ReferralPage): Promise<readonly User[]> {
    const { createdAt, telegramId } = after ?? { createdAt: Number.MAX_SAFE_INTEGER, telegramId: 0 };
    return this.#list("referrals", [referrer, createdAt, telegramId], max);
  }

  async leaderboard(max: number): Promise<readonly Standing[]> {
    const users = await this.#list("leaderboard", [], max);
    return users.map(({ telegramId, firstName, points }) => ({ telegramId, firstName, points }));
  }

  histogram(): Promise<readonly PointsBucket[]> {
    return this.#ask("histogram");
  }

  async activeIn(bot: BotId, { after = toUserId(Number.MIN_SAFE_INTEGER), max }: Page): Promise<readonly UserId[]> {
    return (await this.#ask("ids", "active", [bot, after, max])).map(toUserId);
  }

  async owedSince(before: number, max: number): Promise<readonly UserId[]> {
    return (await this.#ask("ids", "owed", [before, max])).map(toUserId);
  }

  async readSessions(keys: readonly string[]): Promise<ReadonlyMap<string, Session>> {
    const found = storedIn(await this.#ask("readSessions", JSON.stringify(keys.map(keyOf))));
    return new Map(found.map((stored) => [stored.key, soundSession(stored)]));
  }

  async writeSessions(writes: readonly SessionWrite[], _writer: string): Promise<readonly SessionWritten[]> {
    return writes.length === 0 ? [] : await this.#ask("writeSessions", JSON.stringify(writes.map(sessionRowOf)));
  }

  async emptied(after: string | undefined, max: number): Promise<readonly Session[]> {
    return soundSessions(storedIn(await this.#ask("emptied", after === undefined ? "" : keyOf(after), max)));
  }

  removeSessions(sessions: readonly Pick<Session, "key" | "version">[]): Promise<void> {
    return this.#ask(
      "removeSessions",
      sessions.map(({ key, version }) => [keyOf(key), version] as const),
    );
  }

  onState(changed: (state: StoreState) => void): () => void {
    this.#listeners.add(changed);
    if (this.#state === "lost") changed("lost");
    return () => void this.#listeners.delete(changed);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#close();
    return this.#stopped;
  }

  async #close(): Promise<void> {
    this.#listeners.clear();
    this.#probing?.cancel();
    this.#stalls.stop();
    try {
      // Answered after all that was asked before.
      if (!this.#isBroken) await this.#thread.ask("close");
    } finally {
      this.#thread.end();
    }
  }

  async #ask<Call extends keyof Calls>(
    call: Call,
    ...given: Parameters<Calls[Call]>
  ): Promise<ReturnType<Calls[Call]>> {
    if (this.#stopped !== undefined) throw new Fault("unavailable", "the users are closed");
    this.#stalls.asked();
    try {
      const result = await this.#thread.ask<ReturnType<Calls[Call]>>(call, ...given);
      if (this.#state === "lost" && writingCalls.has(call)) this.#found();
      return result;
    } catch (error) {
      const isOutage = this.#isBroken || (error instanceof Fault && error.code === "unavailable");
      if (!isOutage) throw error;
      this.#lose(error);
      const message = `the users cannot be ${writingCalls.has(call) ? "written" : "read"}: ${String(error)}`;
      // The thread may have died behind a commit that took effect.
      const effect = this.#isBroken && writingCalls.has(call) ? "unknown" : "not_done";
      throw new Fault("unavailable", message, { cause: error, effect });
    } finally {
      this.#stalls.answered();
    }
  }

  #users(documents: string): User[] {
    return textsIn(documents).map((text) => this.#check(parsed(text)));
  }

  /** At most `max`, damaged ones left out; fewer only where there are no more. */
  async #list(by: "byDevice" | "referrals" | "leaderboard", given: readonly Cell[], max: number): Promise<User[]> {
    for (let limit = max; ;) {
      const texts = textsIn(await this.#ask("find", by, [...given, limit]));
      const users = texts.flatMap((text) => this.#damaged.leaveOut(() => this.#check(parsed(text))) ?? []);
      if (users.length >= max || texts.length < limit) return users.slice(0, max);
      limit = max + 2 * (texts.length - users.length);
    }
  }

  #lose(error: unknown): void {
    if (this.#stopped !== undefined) return;
    if (this.#state === "ok") {
      this.#options.log?.error("the users cannot be reached: updates wait until they can", { error });
      this.#change("lost");
    }
    if (this.#isBroken) return;
    const { clock, limits } = this.#options;
    this.#probing ??= clock.setTimer(() => void this.#probe(), limits.probeMs); // Never rejects.
  }

  async #probe(): Promise<void> {
    this.#probing = undefined;
    if (this.#state === "ok" || this.#stopped !== undefined) return;
    // A failure has set the next timer.
    await this.#ask("probe", this.#options.clock.now()).catch(() => undefined);
  }

  #found(): void {
    if (this.#stopped !== undefined) return;
    this.#probing?.cancel();
    this.#probing = undefined;
    this.#options.log?.info("the users can be written again");
    this.#change("ok");
  }

  #change(state: StoreState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener(state);
  }

  #break(reason: unknown): void {
    this.#isBroken = true;
    if (this.#stopped !== undefined) return;
    this.#lose(reason);
    this.#options.onBroken?.(reason);
  }
}

function textsIn(documents: string): string[] {
  return documents === "" ? [] : documents.split(documentSeparator);
}

/** A text that is no JSON names its user in its beginning, which is the store's own. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const id = /^\{"telegramId":(-?\d{1,16}),/.exec(text)?.[1];
    throw invalidUser(id === undefined ? undefined : Number(id), "");
  }
}
