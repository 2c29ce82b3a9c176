/** A repository over a store in memory, on a clock that stands still. */
import { limits } from "../../config/limits.ts";
import { type Answerer, type Attempt, type AttemptScope, createAttemptScope } from "../../src/attempts.ts";
import { createCodeTier } from "../../src/cache/codes.ts";
import { createMemoryTier } from "../../src/cache/memory.ts";
import { createStorageTier } from "../../src/cache/storage.ts";
import { Fault } from "../../src/faults.ts";
import { type Seq, toBotId, toSeq, toUserId, type UserId } from "../../src/ids.ts";
import { createMemoryUserStore } from "../../src/storage/memory.ts";
import type { Write } from "../../src/storage/store.ts";
import type { Operation } from "../../src/users/operations.ts";
import type { Outcome } from "../../src/users/outcome.ts";
import { createRepository } from "../../src/users/repository.ts";
import { fakeAttempt } from "../support/fake-attempt.ts";
import { forwardStore } from "../support/forward-store.ts";
import { FakeClock } from "../support/fake-clock.ts";

export const bot = toBotId(7);

export interface RigOptions {
  readonly limits?: Partial<Record<keyof typeof limits.users, number>>;
  /** Of the pipeline that runs the updates, where there is one. */
  readonly clock?: FakeClock;
  readonly scope?: AttemptScope;
}

export type UsersRig = ReturnType<typeof createUsersRig>;

export function createUsersRig(options: RigOptions = {}) {
  const { limits: changed = {}, clock = new FakeClock(), scope = createAttemptScope() } = options;
  const durable = createMemoryUserStore();
  const calls = { read: 0, write: 0, reward: 0, leaderboard: 0 };
  const writes: (readonly Write[])[] = [];
  const state = {
    isDown: false,
    damaged: undefined as UserId | undefined,
    /** Rewards fail for this one alone, and for those who are paid with it. */
    unpayable: undefined as UserId | undefined,
    /** No write that holds this user ends well, and the store does not say whose fault it is. */
    unwritable: undefined as UserId | undefined,
    tooLarge: undefined as UserId | undefined,
    rewardsFail: false as false | Error,
    /** Calls that take effect and whose answers are lost. */
    deafTo: new Set<"write" | "reward">(),
    /** Writes take effect at once and are answered after this. */
    writesAnswered: Promise.resolve(),
    settledBelow: 0,
    unsettled: new Set<Seq>(),
  };
  /** Lines of the log that an operator must see. */
  const errors: string[] = [];
  const answerers: (Answerer | undefined)[] = [];
  const reach = async <T>(name: keyof typeof calls, effect: () => Promise<T>): Promise<T> => {
    calls[name]++;
    if (state.isDown) throw new Fault("unavailable", "storage is down");
    const result = await effect();
    if (state.deafTo.has(name as "write")) throw new Fault("unavailable", "no answer", { effect: "unknown" });
    return result;
  };
  const store = forwardStore(durable, {
    read: (ids) =>
      reach("read", () => {
        if (ids.some((id) => id === state.damaged)) throw new Fault("user_invalid", "points is no number");
        return durable.read(ids);
      }),
    write: (given, writer) =>
      reach("write", () => {
        if (given.some(({ user }) => user.telegramId === state.tooLarge)) throw new Fault("user_invalid", "too large");
        writes.push(given);
        if (given.some(({ user }) => user.telegramId === state.unwritable)) throw new Error("something is wrong");
        const written = durable.write(given, writer);
        return state.writesAnswered.then(() => written);
      }),
    reward: (referees, points, at) =>
      state.rewardsFail !== false && (state.unpayable === undefined || referees.includes(state.unpayable))
        ? Promise.reject(state.rewardsFail)
        : reach("reward", () => durable.reward(referees, points, at)),
    idOfCode: (code) => reach("read", () => durable.idOfCode(code)),
    leaderboard: (max) => reach("leaderboard", () => durable.leaderboard(max)),
    owedSince: (before, max) => reach("read", () => durable.owedSince(before, max)),
  });
  const below = createStorageTier({ store, group: true, readMax: 1_000 });
  const { users } = limits;
  const tierLimits = { heldMax: 1_000, ttlMs: 600_000, absentMs: users.absentMs, absentMax: users.absentMax };
  const tier = createMemoryTier({ below, clock, limits: tierLimits });
  let made = 0;
  const repository = createRepository({
    store,
    tier,
    codes: createCodeTier({ store, clock, limits: users }),
    scope,
    clock,
    random: () => 0.5,
    limits: { ...users, ...changed },
    log: { debug: () => {}, error: (message) => void errors.push(message) },
    newCode: () => `code${++made}xxxx`,
    newWriter: () => `${++made}`,
    isOwn: (partition) => partition === 0,
    settled: {
      below: () => toSeq(state.settledBelow),
      unsettled: async (_partition, seqs) => new Set(seqs.filter((seq) => state.unsettled.has(seq))),
    },
  });

  /** Runs one operation as the handler of the update with this seq would. `remembered`: results of earlier attempts. */
  function inUpdate(
    seq: number,
    user: number,
    operation: Operation,
    receivedAt = clock.now(),
    partition = 0,
  ): Promise<Outcome> {
    state.unsettled.add(toSeq(seq));
    const attempt = { ...attemptOf(seq, receivedAt, answerers), partition };
    return scope.run(attempt, () => repository.change(toUserId(user), operation));
  }

  /** Moves time until `promise` has ended. */
  async function until<T>(promise: Promise<T>): Promise<T> {
    const over = { is: false };
    const watched = promise.finally(() => (over.is = true));
    watched.catch(() => {});
    for (let steps = 0; !over.is && steps < 10_000; steps++) await clock.advance(1);
    return watched;
  }

  return { clock, durable, store, calls, writes, answerers, errors, state, tier, repository, inUpdate, until };
}

export function register(referrer?: number): Operation {
  const profile = { firstName: "P" };
  return {
    kind: "register",
    bot,
    profile,
    ...(referrer === undefined ? {} : { referrer: toUserId(referrer) }),
  };
}

function attemptOf(seq: number, receivedAt: number, answerers: (Answerer | undefined)[]): Attempt {
  let calls = 0;
  return fakeAttempt(seq, {
    bot,
    receivedAt,
    send: (_method, _payload, run, answerer) => {
      answerers.push(answerer);
      return run(calls++);
    },
  });
}
