/** Judges what became of the users: every operation took effect once, every answer was the same each time, every point has its reason. */
import type { BotId, UserId } from "../../src/ids.ts";
import type { MemoryUserStore } from "../../src/storage/memory.ts";
import { dailyPoints, type Operation, referralPoints } from "../../src/users/operations.ts";
import type { Outcome } from "../../src/users/outcome.ts";
import type { BotState, User } from "../../src/users/user.ts";

export interface PlannedUpdate {
  readonly key: number;
  readonly partition: number;
  readonly bot: BotId;
  readonly user: UserId;
  readonly receivedAt: number;
  readonly operation: Operation;
}

const dayMs = 86_400_000;

export class UsersOracle {
  readonly updates = new Map<number, PlannedUpdate>();
  private readonly durable: MemoryUserStore;
  /** What the update's operation answered last; the first answer that counts, where it was registered. */
  private readonly answers = new Map<number, Outcome>();
  /** Operations in the order in which they were stored. */
  private readonly applied = new Map<string, Outcome>();
  private readonly found: string[] = [];
  private readonly byOp = new Map<string, PlannedUpdate>();

  constructor(durable: MemoryUserStore) {
    this.durable = durable;
  }

  planned(update: PlannedUpdate): void {
    this.updates.set(update.key, update);
    this.byOp.set(opOf(update), update);
  }

  stored(before: User | undefined, after: User): void {
    const known = new Set(before?.applied.map(({ op }) => op));
    for (const { op, outcome } of after.applied) {
      if (known.has(op)) continue;
      if (this.applied.has(op)) this.found.push(`operation ${op} took effect twice`);
      this.applied.set(op, outcome);
      const operation = this.byOp.get(op)?.operation;
      if (outcome.kind === "wallet_set" && operation?.kind === "set_wallet") this.judgeWallet(after, operation.wallet);
    }
  }

  answered(update: PlannedUpdate, outcome: Outcome): void {
    const before = this.answers.get(update.key);
    // Who is not registered has no document that could remember it, but that of the registration that came next.
    const isRemembered = before?.kind !== "unregistered" || this.isRegisteredBehind(update);
    if (before !== undefined && isRemembered && JSON.stringify(before) !== JSON.stringify(outcome)) {
      this.found.push(`update ${update.key} answered ${JSON.stringify(before)}, then ${JSON.stringify(outcome)}`);
    }
    this.answers.set(update.key, outcome);
  }

  /** Whether an update that came later in the same chat has registered the user. */
  private isRegisteredBehind({ key, bot, user }: PlannedUpdate): boolean {
    const planned = [...this.updates.values()].filter((other) => other.bot === bot && other.user === user);
    const behind = planned.slice(1 + planned.findIndex((other) => other.key === key));
    return behind.some((other) => this.answers.get(other.key)?.kind === "registered");
  }

  /** Called right after it was stored: whose wallet it was then still stands there. */
  private judgeWallet({ telegramId }: User, wallet: string): void {
    for (const other of this.durable.users.values()) {
      if (other.telegramId === telegramId || other.walletAddress !== wallet) continue;
      this.found.push(`user ${telegramId} was given ${wallet}, which is user ${other.telegramId}'s`);
    }
  }

  owed(): number {
    return [...this.durable.users.values()].filter(({ referral }) => referral.state === "owed").length;
  }

  violations(isAtRest: boolean): readonly string[] {
    const found = [...this.found];
    if (!isAtRest) found.push("updates are left unsettled");
    for (const update of this.updates.values()) {
      const stored = this.applied.get(opOf(update));
      const answer = this.answers.get(update.key);
      if (answer === undefined) found.push(`update ${update.key} was never answered`);
      else if (stored !== undefined && JSON.stringify(stored) !== JSON.stringify(answer)) {
        found.push(`update ${update.key} answered ${JSON.stringify(answer)} and stored ${JSON.stringify(stored)}`);
      }
    }
    for (const user of this.durable.users.values()) found.push(...this.judge(user));
    const wallets = [...this.durable.users.values()].flatMap(({ walletAddress }) => walletAddress ?? []);
    if (new Set(wallets).size < wallets.length) found.push("two users have one wallet");
    return found;
  }

  private judge(user: User): string[] {
    const found: string[] = [];
    const id = user.telegramId;
    const own = [...this.updates.values()].filter((update) => update.user === id);
    const ended = (kind: Outcome["kind"]): PlannedUpdate[] =>
      own.filter(({ key }) => this.answers.get(key)?.kind === kind);
    const granted = ended("granted").map(({ receivedAt }) => Math.floor(receivedAt / dayMs));
    if (new Set(granted).size < granted.length) found.push(`user ${id} got one day twice`);
    for (const { receivedAt, key } of ended("already")) {
      if (!granted.includes(Math.floor(receivedAt / dayMs)))
        found.push(`user ${id} was refused a free day in update ${key}`);
    }
    const brought = [...this.durable.users.values()].filter(({ referredBy }) => referredBy === id);
    const paid = brought.filter(({ referral }) => referral.state === "paid").length;
    if (user.referralCount !== paid) found.push(`user ${id} counts ${user.referralCount} referrals, ${paid} are paid`);
    const points = granted.length * dailyPoints + paid * referralPoints;
    if (user.points !== points) found.push(`user ${id} has ${user.points} points instead of ${points}`);
    const registered = ended("registered");
    if (registered.length !== 1) found.push(`user ${id} was registered ${registered.length} times`);
    const [first] = registered;
    const referrer = first?.operation.kind === "register" ? first.operation.referrer : undefined;
    if (user.referredBy !== (referrer === id ? undefined : referrer)) found.push(`user ${id} has another referrer`);
    found.push(...this.judgeStates(user, own));
    const isEarned = user.referredBy !== undefined && granted.length > 0;
    if (user.referral.state !== (isEarned ? "paid" : "none"))
      found.push(`user ${id}: the referral is ${user.referral.state}`);
    return found;
  }

  /** Each bot's updates come in one lane: the last one of them that says so decides. */
  private judgeStates(user: User, own: readonly PlannedUpdate[]): string[] {
    const said = new Map<BotId, BotState>();
    for (const { bot, key, operation } of own) {
      if (this.answers.get(key)?.kind === "unregistered") continue;
      if (operation.kind === "register") said.set(bot, "active");
      if (operation.kind === "set_bot_state") said.set(bot, operation.state);
    }
    return [...said].flatMap(([bot, state]) =>
      user.bots[bot]?.state === state
        ? []
        : [`user ${user.telegramId} is ${user.bots[bot]?.state} in ${bot}, not ${state}`],
    );
  }
}

function opOf({ bot, key, operation }: PlannedUpdate): string {
  return `${bot}:${key}:0:${operation.kind}`;
}
