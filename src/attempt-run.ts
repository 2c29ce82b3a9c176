/**
 * The attempt as the pipeline sees it: begun, perhaps paused, perhaps revoked, and over once.
 *
 *     working ──► handler ended ──► effects ended ──► over
 *        └─ deadline: revoked ──► effects in flight ended ──► over      (the handler itself may hang for ever: nothing waits for it)
 *
 * How this goes wrong, and what answers it: a handler that never ends → the deadline; a handler that ends while a call it did not
 * await is open → `over` waits for the call, and an outage or a shutdown that cuts it short counts as the handler's own end; a handler
 * that fails after a call of it met an outage, whatever it throws and also by its deadline → the outage counts as its end; a
 * deadline that finds it waiting for storage, most of its time → an outage as well; a call that
 * ends after the revocation → remembered, then rejected; a handler that goes on after its revocation → each further effect is rejected
 * before it starts.
 */
import type { Answerer, Attempt, Payload, RememberedAnswer, SendAnswer } from "./attempts.ts";
import type { Body, Send } from "./inbox/inbox.ts";
import { Fault, faultOf, isOutage } from "./faults.ts";
import type { BotId, LaneKey, Seq } from "./ids.ts";
import type { Lane } from "./lanes.ts";

/** What the attempts of one pipeline share. */
export interface AttemptRules {
  readonly partition: number;
  readonly signal: AbortSignal;
  readonly waitSignal: AbortSignal;
  readonly monotonic: () => number;
  /** False while the claim on the partition is not known to be held: somebody else may work on it. */
  readonly mayAct: () => boolean;
  /** The attempt waits in flood control, or is back. */
  readonly onPause: (attempt: AttemptRun) => void;
  readonly onResume: (attempt: AttemptRun) => void;
  /** A call was answered from an earlier attempt instead of being made again. */
  readonly onRemembered: () => void;
  readonly hash: (method: string, payload: string) => string;
}

export type AttemptEnd =
  | { readonly kind: "returned" }
  | { readonly kind: "threw"; readonly error: unknown }
  | { readonly kind: "revoked"; readonly by: Revoker };

/** Whose attempt it is. */
export type AttemptOf = Pick<Attempt, "bot" | "seq" | "lane" | "number" | "mayRepeat">;

/** Who gave the attempt up: its deadline (a handler fault), or a shutdown (the update simply stays). */
export type Revoker = "deadline" | "shutdown";

const returned: AttemptEnd = { kind: "returned" };

interface FinishedSend {
  readonly call: number;
  readonly method: string;
  readonly payload: Payload;
  readonly result: unknown;
}

export class AttemptRun implements Attempt {
  readonly bot: BotId;
  readonly partition: number;
  readonly seq: Seq;
  readonly lane: LaneKey;
  readonly number: number;
  readonly updateId: number;
  readonly receivedAt: number;
  readonly mayRepeat: boolean;
  readonly signal: AbortSignal;
  readonly waitSignal: AbortSignal;
  revoked = false;
  isOver = false;
  /** The lane whose slot it holds; the pipeline's. */
  holder: Lane | undefined;
  /** Monotonic ms at which it began, moved on by the time it spent paused. */
  startedAt: number;
  private pausedAt: number | undefined;
  private pauses = 0;
  private readonly rules: AttemptRules;
  private readonly earlier: readonly Send[];
  private finished: FinishedSend[] | undefined;
  private calls = 0;
  private inFlight = 0;
  private answers = 0;
  /** On their way to storage, and since when there is one; monotonic ms. */
  private storageCalls = 0;
  private storageSince = 0;
  private end: AttemptEnd | undefined;
  /** With what the first call ended that met an outage. */
  private outage: unknown;
  private onOver: ((end: AttemptEnd) => void) | undefined;

  constructor({ bot, seq, lane, number, mayRepeat }: AttemptOf, body: Body, startedAt: number, rules: AttemptRules) {
    this.bot = bot;
    this.partition = rules.partition;
    this.seq = seq;
    this.lane = lane;
    this.number = number;
    this.mayRepeat = mayRepeat;
    this.updateId = body.updateId;
    this.receivedAt = body.receivedAt;
    this.earlier = body.sends;
    this.signal = rules.signal;
    this.waitSignal = rules.waitSignal;
    this.startedAt = startedAt;
    this.rules = rules;
  }

  /** Starts the handler and calls `over` once, when nothing of this attempt can take effect any more. */
  begin(handler: () => Promise<void>, over: (end: AttemptEnd) => void): void {
    this.onOver = over;
    let running: Promise<void>;
    try {
      running = handler();
    } catch (error) {
      running = Promise.reject(error);
    }
    running.then(
      () => this.ended(returned),
      (error: unknown) => this.ended({ kind: "threw", error }),
    );
  }

  /** Gives the attempt up: no effect starts any more. Over when those in flight have ended. */
  revoke(by: Revoker): void {
    if (by === "deadline" && this.waitedForStorage()) {
      this.outage ??= new Fault("unavailable", "the storage did not answer within the time that a handler has");
    }
    this.replaceReturn({ kind: "revoked", by });
    this.ended({ kind: "revoked", by });
  }

  /** True where the attempt has worked for `maxMs` (pauses left out) at monotonic time `atMs`. */
  isDue(atMs: number, maxMs: number): boolean {
    return this.pausedAt === undefined && this.end === undefined && atMs - this.startedAt >= maxMs;
  }

  mayAct(): boolean {
    return !this.revoked && this.rules.mayAct();
  }

  async effect<T>(run: () => Promise<T>, answerer: Answerer = "telegram"): Promise<T> {
    if (this.revoked) throw this.revocation();
    this.inFlight++;
    if (answerer === "storage" && this.storageCalls++ === 0) this.storageSince = this.rules.monotonic();
    try {
      if (!this.rules.mayAct()) throw this.unclaimed();
      const result = await run();
      if (answerer === "telegram") this.answers++;
      if (this.revoked) throw this.revocation();
      return result;
    } catch (error) {
      const fault = faultOf(error);
      if (fault === undefined || !isOutage(fault)) throw error;
      if (fault.code !== "attempt_revoked") this.outage ??= error;
      this.replaceReturn({ kind: "threw", error });
      throw this.revoked && fault.code !== "attempt_revoked" ? this.revocation() : error;
    } finally {
      if (answerer === "storage") this.storageCalls--;
      this.inFlight--;
      if (this.inFlight === 0 && this.end !== undefined) this.close();
    }
  }

  async send<T extends SendAnswer>(
    method: string,
    payload: Payload,
    run: (call: number) => Promise<T>,
    answerer: Answerer = "telegram",
  ): Promise<T | RememberedAnswer> {
    // A bot's own timer may fire long after its update was settled: an ordinary call then, of no attempt.
    const call = this.calls++;
    if (this.isOver && !this.revoked) return run(call);
    const before = this.earlier.length === 0 ? undefined : this.earlier.find((send) => send.call === call);
    if (!this.revoked && before?.method === method && before.hash === this.hashOf(method, payload)) {
      this.rules.onRemembered();
      return { ok: true, result: before.result };
    }
    return this.effect(async () => {
      const answer = await run(call);
      if (answer.ok) (this.finished ??= []).push({ call, method, payload, result: answer.result });
      return answer;
    }, answerer);
  }

  pause(): void {
    if (this.pauses++ > 0 || this.isOver) return;
    this.pausedAt = this.rules.monotonic();
    this.rules.onPause(this);
  }

  resume(): void {
    if (--this.pauses > 0 || this.pausedAt === undefined) return;
    this.startedAt += this.rules.monotonic() - this.pausedAt;
    this.pausedAt = undefined;
    this.rules.onResume(this);
  }

  get isPaused(): boolean {
    return this.pausedAt !== undefined;
  }

  /** Whether it made calls to Telegram, and every call was answered. */
  get wasAnswered(): boolean {
    return this.answers > 0 && this.outage === undefined;
  }

  /** Whether this attempt finished a send that earlier ones had not. */
  get hasNewSends(): boolean {
    return this.finished !== undefined;
  }

  /** All finished sends, of earlier attempts too: what the next attempt must not repeat. */
  sends(): readonly Send[] {
    if (this.finished === undefined) return this.earlier;
    const fresh = this.finished.map(({ call, method, payload, result }) => ({
      call,
      method,
      hash: this.hashOf(method, payload),
      result,
    }));
    const replaced = new Set(fresh.map((send) => send.call));
    return [...this.earlier.filter((send) => !replaced.has(send.call)), ...fresh].sort((a, b) => a.call - b.call);
  }

  private ended(end: AttemptEnd): void {
    if (this.end !== undefined) return;
    this.end = end;
    // A failed attempt is replaced by the next one: whatever its handler still does beside that must have no effect.
    if (end.kind !== "returned") this.revoked = true;
    if (this.inFlight === 0) this.close();
  }

  /** A handler that has returned does not await what is still open: the failure of that would go by unseen, and the update with it. */
  private replaceReturn(end: AttemptEnd): void {
    if (this.end !== returned || this.isOver) return;
    this.end = end;
    this.revoked = true;
  }

  private close(): void {
    if (this.isOver || this.end === undefined) return;
    this.isOver = true;
    this.onOver?.(this.excused(this.end));
    this.onOver = undefined;
  }

  /**
   * Bots catch the error of a call and go on, throw one of their own, or have no time left for the next: were that counted, a few minutes
   * without Telegram would make dead letters. A handler that returned has made its own of the failure.
   */
  private excused(end: AttemptEnd): AttemptEnd {
    const isFault = end.kind === "threw" || (end.kind === "revoked" && end.by === "deadline");
    if (!isFault || this.outage === undefined) return end;
    const fault = end.kind === "threw" ? faultOf(end.error) : undefined;
    return fault !== undefined && isOutage(fault) ? end : { kind: "threw", error: this.outage };
  }

  /** One wait for it took most of the time so far. A handler that asks it again and again without end is at fault itself. */
  private waitedForStorage(): boolean {
    const now = this.rules.monotonic();
    return this.storageCalls > 0 && (now - this.storageSince) * 2 > now - this.startedAt;
  }

  private hashOf(method: string, payload: Payload): string {
    return this.rules.hash(method, typeof payload === "string" ? payload : payload());
  }

  private unclaimed(): Fault {
    const words = `update ${this.updateId} waits: whether its partition is still this instance's is not known`;
    return new Fault("unavailable", words, { effect: "not_done" });
  }

  private revocation(): Fault {
    return new Fault("attempt_revoked", `the handler of update ${this.updateId} was given up: this call has no effect`);
  }
}
