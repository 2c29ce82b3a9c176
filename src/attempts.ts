/**
 * One run of a handler on one update. Every effect that a handler has outside (an API call, a user operation or a session
 * write) goes through its attempt, so that a run given up at its deadline can do nothing any more and a retry repeats nothing.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { BotId, LaneKey, Seq } from "./ids.ts";

export interface Attempt {
  readonly bot: BotId;
  /** Of the inbox, in which `seq` is unique. */
  readonly partition: number;
  readonly seq: Seq;
  readonly updateId: number;
  readonly lane: LaneKey;
  /** Handler faults before this run. */
  readonly number: number;
  /** When the update was received, wall-clock ms. */
  readonly receivedAt: number;
  /**
   * An earlier run ended without an answer of Telegram's, in a crash, or with an earlier owner of its partition: what this one asks for may have been done
   * already.
   */
  readonly mayRepeat: boolean;
  /** True from the deadline (or a shutdown) on. */
  readonly revoked: boolean;
  /** It has ended: what its handler still does where that is not revoked (a timer of the bot's own) belongs to no update. */
  readonly isOver: boolean;
  /**
   * False once it is revoked, and while the claim on its partition is not known to be held. Whoever changes what is stored looks here between reading what
   * it changes and writing: whatever another owner of the partition stored since is a conflict then.
   */
  mayAct(): boolean;
  /**
   * Runs one effect. Rejects with `attempt_revoked` before it starts, and also after it ended where the attempt was revoked meanwhile
   * (its result is still remembered). The lane does not go on before every effect begun has ended, so `run` must end by itself.
   */
  effect<T>(run: () => Promise<T>, answerer?: Answerer): Promise<T>;
  /**
   * As `effect`, for a call that sends or changes something at Telegram: the same call of an earlier attempt that finished (same
   * place in the order of calls, same method and payload) is not made again, its result is answered instead.
   * `payload` is the text that identifies the call's content, or makes it where it is needed: rarely. An answer that is not `ok` is not
   * remembered.
   */
  send<T extends SendAnswer>(
    method: string,
    payload: Payload,
    run: (call: number) => Promise<T>,
    answerer?: Answerer,
  ): Promise<T | RememberedAnswer>;
  /** Stops the clock of the deadline and gives the slot back while the caller waits for flood control; `resume` by the same caller. */
  pause(): void;
  resume(): void;
  /** Aborted when a shutdown has waited long enough: calls still open end at once. One signal for all attempts. */
  readonly signal: AbortSignal;
  /** Aborted as soon as a shutdown begins: waits (flood control, back-off) end at once, as `unavailable`; calls go on. */
  readonly waitSignal: AbortSignal;
}

export type Payload = string | (() => string);

/** Who answers a call. What storage answers says nothing of whether Telegram does. Default: `telegram`. */
export type Answerer = "telegram" | "storage";

/** The part of a Bot API answer that decides whether it is remembered. */
export interface SendAnswer {
  readonly ok: boolean;
  readonly result?: unknown;
}

export interface RememberedAnswer {
  readonly ok: true;
  readonly result: unknown;
}

/** Where a call finds the attempt it belongs to. */
export interface AttemptScope {
  /** Undefined outside a handler (a poll, a broadcast, a timer of the bot's own). */
  current(): Attempt | undefined;
  run<T>(attempt: Attempt, work: () => T): T;
}

export function createAttemptScope(): AttemptScope {
  const storage = new AsyncLocalStorage<Attempt>();
  return {
    current: () => storage.getStore(),
    run: (attempt, work) => storage.run(attempt, work),
  };
}

/**
 * Asked before a call goes out again, after a wait, or before something is stored: false where its attempt was given up or the claim may be somebody
 * else's meanwhile. What a bot still does after its update was settled belongs to no update, and may be done.
 */
export function mayGoOn(attempt: Attempt | undefined): boolean {
  if (attempt === undefined) return true;
  return !attempt.revoked && (attempt.isOver || attempt.mayAct());
}

/** Which updates may come again. */
export interface Settled {
  /** Every update of the partition below is settled; 0 where that is not known. */
  below(partition: number): Seq;
  /** Those of `seqs` that are not settled. */
  unsettled(partition: number, seqs: readonly Seq[]): Promise<ReadonlySet<Seq>>;
}
