/** Users as bots see them, over tiers and storage. */
import { type Attempt, type AttemptScope, mayGoOn, type Settled } from "../attempts.ts";
import type { CodeTier, Tier } from "../cache/tier.ts";
import type { Clock, Random } from "../clock.ts";
import type { UserId } from "../ids.ts";
import type { Log } from "../log.ts";
import type { UserStore } from "../storage/store.ts";
import type { ChangeLimits } from "./change-lines.ts";
import { Changes } from "./changes.ts";
import type { Folded } from "./folding.ts";
import { checkOperation } from "./check-operation.ts";
import type { Operation, OutcomeOf } from "./operations.ts";
import type { Outcome } from "./outcome.ts";
import { Rewards, type RewardLimits } from "./rewards.ts";
import { Standings, type StandingLimits } from "./standings.ts";
import type { User } from "./user.ts";
import type { Leaderboard, Users } from "./users.ts";

export interface RepositoryOptions {
  readonly store: UserStore;
  readonly tier: Tier;
  readonly codes: CodeTier;
  readonly scope: AttemptScope;
  readonly settled: Settled;
  /** Whether the partition is of the inbox of this instance, whose updates `settled` knows. */
  readonly isOwn: (partition: number) => boolean;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: ChangeLimits & RewardLimits & StandingLimits;
  readonly log: Pick<Log, "debug" | "error">;
  readonly newCode: () => string;
  readonly newWriter: () => string;
}

export interface Repository extends Users {
  /** Begins to look for rewards that are owed. */
  start(): void;
  /** Stores what waits. What is changed later rejects with `unavailable`. */
  stop(): Promise<void>;
}

export function createRepository(options: RepositoryOptions): Repository {
  return new StoredUsers(options);
}

class StoredUsers implements Repository {
  readonly #options: RepositoryOptions;
  readonly #changes: Changes;
  readonly #rewards: Rewards;
  readonly #standings: Standings;

  constructor(options: RepositoryOptions) {
    this.#options = options;
    this.#changes = new Changes(options);
    this.#rewards = new Rewards(options);
    this.#standings = new Standings(options);
  }

  start(): void {
    this.#rewards.start();
  }

  async stop(): Promise<void> {
    await this.#changes.stop();
    await this.#rewards.stop();
  }

  async get(id: UserId): Promise<User | undefined> {
    const { tier } = this.#options;
    return tier.held(id) ?? (await this.#read(async () => (await tier.read([id])).get(id)));
  }

  idOfCode(code: string): Promise<UserId | undefined> {
    return this.#read(() => this.#options.codes.read(code));
  }

  async change<Kind extends Operation["kind"]>(
    id: UserId,
    operation: Extract<Operation, { readonly kind: Kind }>,
  ): Promise<OutcomeOf<Kind>> {
    checkOperation(id, operation);
    const { scope, clock } = this.#options;
    const attempt = scope.current();
    if (attempt === undefined) return (await this.#perform(id, operation, clock.now(), outside)) as OutcomeOf<Kind>;
    const answer = await attempt.send(
      `users.${operation.kind}`,
      () => JSON.stringify([id, operation]),
      async (call) => ({
        ok: true,
        result: await this.#perform(id, operation, attempt.receivedAt, {
          mark: markOf(attempt, call, operation, clock.now()),
          mayAct: () => mayGoOn(attempt),
        }),
      }),
      "storage",
    );
    return answer.result as OutcomeOf<Kind>;
  }

  leaderboard(): Promise<Leaderboard> {
    return this.#read(() => this.#standings.leaderboard());
  }

  /** Within an attempt, so that an outage is known for one whatever the handler makes of it. */
  #read<T>(read: () => Promise<T>): Promise<T> {
    const attempt = this.#options.scope.current();
    return attempt === undefined ? read() : attempt.effect(read, "storage");
  }

  async #perform(
    id: UserId,
    operation: Operation,
    at: number,
    within: Pick<Folded, "mark" | "mayAct">,
  ): Promise<Outcome> {
    const code = operation.kind === "register" ? this.#options.newCode() : "";
    const outcome = await this.#changes.add(id, { operation, applying: { id, at, code }, ...within });
    if (outcome.kind === "granted" && outcome.owes) await this.#rewards.pay(id);
    return outcome;
  }
}

/** Of no update. */
const outside = { mark: undefined, mayAct: () => true };

function markOf({ bot, updateId, partition, seq }: Attempt, call: number, { kind }: Operation, at: number) {
  return { op: `${bot}:${updateId}:${call}:${kind}`, partition, seq, at };
}
