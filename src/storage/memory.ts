/** Users in memory, for tests and simulations: every effect happens in one synchronous step, within the call that asks for it. */
import type { BotId, UserId } from "../ids.ts";
import { isActiveIn, type User } from "../users/user.ts";
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

export interface MemoryUserStore extends UserStore {
  /** What is stored, for whoever judges it. */
  readonly users: ReadonlyMap<UserId, User>;
}

/** Nothing outlives the process; it is never `lost`. */
export function createMemoryUserStore(): MemoryUserStore {
  return new MemoryUsers();
}

class MemoryUsers implements MemoryUserStore {
  readonly users = new Map<UserId, User>();
  readonly #byCode = new Map<string, UserId>();
  readonly #byWallet = new Map<string, UserId>();

  async read(ids: readonly UserId[]): Promise<ReadonlyMap<UserId, User>> {
    const found = new Map<UserId, User>();
    for (const id of ids) {
      const user = this.users.get(id);
      if (user !== undefined) found.set(id, user);
    }
    return found;
  }

  async write(writes: readonly Write[]): Promise<readonly Written[]> {
    return writes.map((write) => this.#write(write));
  }

  async reward(referees: readonly UserId[], points: number, at: number): Promise<readonly Rewarded[]> {
    return referees.map((referee) => this.#reward(referee, points, at));
  }

  async idOfCode(code: string): Promise<UserId | undefined> {
    return this.#byCode.get(code);
  }

  async byWallet(address: string): Promise<User | undefined> {
    return this.#get(this.#byWallet.get(address));
  }

  async byDevice(deviceFingerprint: string, ipAddress: string, max: number): Promise<readonly User[]> {
    return this.#where((user) => user.deviceFingerprint === deviceFingerprint && user.ipAddress === ipAddress).slice(
      0,
      max,
    );
  }

  async referralsOf(referrer: UserId, { after, max }: ReferralPage): Promise<readonly User[]> {
    return this.#where((user) => user.referredBy === referrer && (after === undefined || newestFirst(after, user) < 0))
      .sort(newestFirst)
      .slice(0, max);
  }

  async leaderboard(max: number): Promise<readonly Standing[]> {
    return this.#where((user) => user.isActive)
      .sort((a, b) => b.points - a.points || a.telegramId - b.telegramId)
      .slice(0, max)
      .map(({ telegramId, firstName, points }) => ({ telegramId, firstName, points }));
  }

  async histogram(): Promise<readonly PointsBucket[]> {
    const counts = new Map<number, number>();
    for (const { points, isActive } of this.users.values()) {
      if (isActive) counts.set(points, (counts.get(points) ?? 0) + 1);
    }
    return [...counts].map(([from, users]) => ({ from, users })).sort((a, b) => a.from - b.from);
  }

  async activeIn(bot: BotId, { after = -Infinity as UserId, max }: Page): Promise<readonly UserId[]> {
    return this.#where((user) => user.telegramId > after && isActiveIn(user, bot))
      .map(({ telegramId }) => telegramId)
      .sort((a, b) => a - b)
      .slice(0, max);
  }

  async owedSince(before: number, max: number): Promise<readonly UserId[]> {
    return this.#where(({ referral }) => referral.state === "owed" && (referral.since ?? 0) < before)
      .map(({ telegramId }) => telegramId)
      .slice(0, max);
  }

  onState(_changed: (state: StoreState) => void): () => void {
    return () => {};
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  #get(id: UserId | undefined): User | undefined {
    return id === undefined ? undefined : this.users.get(id);
  }

  #where(matches: (user: User) => boolean): User[] {
    return [...this.users.values()].filter(matches);
  }

  #write({ user, before: expected }: Write): Written {
    const { telegramId: id, referralCode: code, walletAddress: wallet } = user;
    const before = this.users.get(id);
    if (before?.version !== expected?.version) return "conflict";
    const isTaken = (by: UserId | undefined): boolean => by !== undefined && by !== id;
    if (isTaken(this.#byCode.get(code))) return "taken";
    if (wallet !== undefined && isTaken(this.#byWallet.get(wallet))) return "taken";
    if (before?.walletAddress !== undefined) this.#byWallet.delete(before.walletAddress);
    this.#byCode.set(code, id);
    if (wallet !== undefined) this.#byWallet.set(wallet, id);
    this.users.set(id, user);
    return "stored";
  }

  #reward(referee: UserId, points: number, at: number): Rewarded {
    const owed = this.users.get(referee);
    if (owed?.referral.state !== "owed") return { referee, end: "not_owed" };
    const paid: User = { ...owed, referral: { state: "paid", since: at }, updatedAt: at, version: owed.version + 1 };
    this.users.set(referee, paid);
    const referrer = this.#get(owed.referredBy);
    if (referrer === undefined) return { referee, end: "paid" };
    this.users.set(referrer.telegramId, {
      ...referrer,
      points: referrer.points + points,
      referralCount: referrer.referralCount + 1,
      updatedAt: at,
      version: referrer.version + 1,
    });
    return { referee, end: "paid", referrer: referrer.telegramId };
  }
}

function newestFirst(a: Pick<User, "createdAt" | "telegramId">, b: Pick<User, "createdAt" | "telegramId">): number {
  return b.createdAt - a.createdAt || b.telegramId - a.telegramId;
}
