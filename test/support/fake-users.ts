/** Users in memory, on the pure operations: what a bot is given in a test. Rewards are paid as soon as they are owed. */
import { Fault } from "../../src/faults.ts";
import { toUserId, type UserId } from "../../src/ids.ts";
import { apply, type Operation, type OutcomeOf, referralPoints, takenOutcome } from "../../src/users/operations.ts";
import type { Outcome } from "../../src/users/outcome.ts";
import type { User } from "../../src/users/user.ts";
import type { Leaderboard, Rank, Users } from "../../src/users/users.ts";

export interface FakeUsersOptions {
  /** Wall-clock ms. */
  readonly now: () => number;
  /** Places up to here are exact; default 1,000. */
  readonly exactPlaces?: number;
}

export class FakeUsers implements Users {
  readonly stored = new Map<number, User>();
  /** Kinds of the operations that were asked for, those answered from memory too. */
  readonly asked: Operation["kind"][] = [];
  /** Codes that were looked up. */
  readonly lookedUp: string[] = [];
  /** While true every method rejects with `unavailable`. */
  isLost = false;
  readonly #options: FakeUsersOptions;
  readonly #remembered = new Map<string, Outcome>();
  #update = "";
  #calls = 0;

  constructor(options: FakeUsersOptions) {
    this.#options = options;
  }

  /** A run of the handler of this update begins. The same update again: operations answer what they answered first. */
  begin(update: string): void {
    this.#update = update;
    this.#calls = 0;
  }

  async get(id: UserId): Promise<User | undefined> {
    await this.#reach();
    return this.stored.get(id);
  }

  async idOfCode(code: string): Promise<UserId | undefined> {
    await this.#reach();
    this.lookedUp.push(code);
    return this.#all().find(({ referralCode }) => referralCode === code)?.telegramId;
  }

  async change<Kind extends Operation["kind"]>(
    id: UserId,
    operation: Extract<Operation, { readonly kind: Kind }>,
  ): Promise<OutcomeOf<Kind>> {
    await this.#reach();
    this.asked.push(operation.kind);
    const op = `${this.#update}:${this.#calls++}:${operation.kind}`;
    const outcome = this.#remembered.get(op) ?? this.#change(id, operation);
    this.#remembered.set(op, outcome);
    return outcome as OutcomeOf<Kind>;
  }

  async leaderboard(): Promise<Leaderboard> {
    await this.#reach();
    const active = this.#all()
      .filter(({ isActive }) => isActive)
      .toSorted((a, b) => b.points - a.points || a.telegramId - b.telegramId);
    return {
      top: active.slice(0, 10).map(({ telegramId: id, firstName, points }) => ({ id, firstName, points })),
      rankOf: (user) => this.#rankOf(user, active),
    };
  }

  #all(): readonly User[] {
    return [...this.stored.values()];
  }

  async #reach(): Promise<void> {
    await Promise.resolve();
    if (this.isLost) throw new Fault("unavailable", "the users cannot be reached");
  }

  #change(id: UserId, operation: Operation): Outcome {
    const code = `code${String(id).padStart(6, "0")}`;
    const { user, outcome } = apply(this.stored.get(id), operation, { id, at: this.#options.now(), code });
    if (operation.kind === "set_wallet") {
      const owner = this.#all().find(({ walletAddress }) => walletAddress === operation.wallet);
      const taken = owner === undefined || owner.telegramId === id ? undefined : takenOutcome(operation);
      if (taken !== undefined && user !== undefined) return taken;
    }
    if (user === undefined) return outcome;
    this.stored.set(id, user);
    if (outcome.kind === "granted" && outcome.owes) this.#pay(user);
    return outcome;
  }

  #pay(referee: User): void {
    const referrer = this.stored.get(referee.referredBy ?? toUserId(0));
    if (referrer === undefined) return;
    const { telegramId, points, referralCount } = referrer;
    this.stored.set(telegramId, { ...referrer, points: points + referralPoints, referralCount: referralCount + 1 });
    this.stored.set(referee.telegramId, { ...referee, referral: { state: "paid", since: this.#options.now() } });
  }

  #rankOf({ telegramId, points }: User, active: readonly User[]): Rank | undefined {
    if (!active.some((user) => user.telegramId === telegramId)) return undefined;
    const place = active.findIndex((user) => user.points === points) + 1;
    return { place, isExact: place <= (this.#options.exactPlaces ?? 1_000) };
  }
}
