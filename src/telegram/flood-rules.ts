/**
 * Which call may go when: the decisions of flood control for one bot, without waiting, timers or promises. Times are monotonic ms and come
 * from the caller; they never go back.
 *
 *     a call may go when     its chat allows it     chat and group limits, and the `retry_after` of a 429 of this chat
 *                        and the bot allows it      `retry_after` of the whole bot, the rate after it, and for broadcasts and for
 *                                                   calls that were refused before theirs
 *
 * A call that sends nothing is held back only by the `retry_after` of its own method (in its own chat, where it names one).
 */
import { Blocks } from "./flood-blocks.ts";
import type { ChatKey, FloodCall, FloodKind } from "./flood-call.ts";
import { BroadcastPace, RecoveryPace, RetryPace } from "./flood-pace.ts";
import { Schedules } from "./flood-schedule.ts";
import { Suspicion } from "./flood-suspicion.ts";

export interface FloodRates {
  /** Messages a second to one chat. */
  readonly chatPerSecond: number;
  /** Messages to one chat that may go out at once. */
  readonly chatBurst: number;
  /** Messages a minute to one group, as many of them at once as the chat's own limit allows. */
  readonly groupPerMinute: number;
  /** Broadcasts a second over all chats; replies take from it and are not held back by it. */
  readonly broadcastPerSecond: number;
}

export interface FloodRulesOptions {
  /** Undefined: nothing is held back beforehand, only a `retry_after` is obeyed. */
  readonly rates: FloodRates | undefined;
  /** Chats whose limits are kept in mind, and again as many 429s; beyond it the longest untouched are forgotten. */
  readonly chatsMax: number;
}

/** Whom Telegram meant with a 429. */
export type Refused = "chat" | "method" | "bot";

export class FloodRules {
  private readonly chats: Schedules | undefined;
  private readonly groups: Schedules | undefined;
  private readonly broadcasts: BroadcastPace | undefined;
  private readonly recovery: RecoveryPace | undefined;
  private readonly retries: RetryPace | undefined;
  private readonly suspicion = new Suspicion();
  private readonly chatBlocks: Blocks;
  private readonly methodBlocks: Blocks;
  private until = 0;
  private passed = 0;

  constructor({ rates, chatsMax }: FloodRulesOptions) {
    if (rates !== undefined) {
      const { chatPerSecond, chatBurst, groupPerMinute, broadcastPerSecond } = rates;
      this.chats = new Schedules({ intervalMs: 1_000 / chatPerSecond, burst: chatBurst, chatsMax });
      const burst = Math.max(1, groupPerMinute);
      this.groups = new Schedules({ intervalMs: 60_000 / groupPerMinute, burst, chatsMax });
      this.broadcasts = new BroadcastPace(broadcastPerSecond);
      this.recovery = new RecoveryPace(broadcastPerSecond);
      this.retries = new RetryPace();
    }
    // As long as a chat that was refused has no burst again, its block is remembered.
    const chatSlackMs = this.chats === undefined ? 0 : this.chats.slackMs + this.chats.intervalMs;
    const groupSlackMs = this.groups === undefined ? 0 : this.groups.slackMs + this.groups.intervalMs;
    this.chatBlocks = new Blocks(chatsMax, Math.max(chatSlackMs, groupSlackMs));
    this.methodBlocks = new Blocks(chatsMax, 0);
  }

  /** Entries held for chats, over all limits. */
  get size(): number {
    return (this.chats?.size ?? 0) + (this.groups?.size ?? 0) + this.chatBlocks.size + this.methodBlocks.size;
  }

  /** Lets the call go where it may, and answers a time up to `now`; else answers the earliest time at which it may, as things stand. */
  decide(call: FloodCall, now: number): number {
    if (!call.sends) return this.methodAt(call, now);
    const chat = call.chat as ChatKey;
    const block = this.chatBlocks.until(chat, now);
    const { chats, groups } = this;
    if (chats === undefined || groups === undefined) {
      const at = Math.max(block, this.botUntil);
      if (at <= now) this.pass(call, now, true);
      return at;
    }
    const chatRest = restAfter(block, chats, chat);
    const groupRest = call.isGroup ? restAfter(block, groups, chat) : 0;
    const chatAt = Math.max(
      nextAt(chatRest, chats, call.kind),
      call.isGroup ? nextAt(groupRest, groups, call.kind) : 0,
    );
    const at = Math.max(chatAt, this.turnAt(call, now));
    if (at > now) return at;
    chats.count(chat, chatRest, now);
    if (call.isGroup) groups.count(chat, groupRest, now);
    this.broadcasts?.count(call.kind, now);
    this.recovery?.count(now);
    if (call.refusals > 0) this.retries?.count(now);
    this.pass(call, now, chatRest <= now && groupRest <= now);
    return at;
  }

  /** Earliest time by what the call's chat (or method) allows alone. */
  chatAt(call: FloodCall, now: number): number {
    if (!call.sends) return this.methodAt(call, now);
    const chat = call.chat as ChatKey;
    const block = this.chatBlocks.until(chat, now);
    const { chats, groups } = this;
    if (chats === undefined || groups === undefined) return block;
    const chatAt = nextAt(restAfter(block, chats, chat), chats, call.kind);
    return call.isGroup ? Math.max(chatAt, nextAt(restAfter(block, groups, chat), groups, call.kind)) : chatAt;
  }

  /** Earliest time by what the bot as a whole allows to sends of this kind. */
  botAt(kind: FloodKind, now: number): number {
    const { broadcasts, recovery, botUntil } = this;
    const at = recovery === undefined ? botUntil : Math.max(botUntil, recovery.nextAt(kind, now));
    return kind === "broadcast" && broadcasts !== undefined ? Math.max(at, broadcasts.nextAt()) : at;
  }

  /** Earliest time by what the bot as a whole allows to this call, a send. */
  turnAt(call: FloodCall, now: number): number {
    const at = this.botAt(call.kind, now);
    return call.refusals > 0 && this.retries !== undefined ? Math.max(at, this.retries.nextAt()) : at;
  }

  /** Whether the bot as a whole is still slowed down after a 429. */
  isRecovering(now: number): boolean {
    return this.recovery !== undefined && this.recovery.perSecond(now) !== Infinity;
  }

  isBotBlocked(now: number): boolean {
    return this.botUntil > now;
  }

  /** Until when a `retry_after` holds the call back; limits of rate apart. */
  blockedUntil(call: FloodCall, now: number): number {
    if (!call.sends) return this.methodAt(call, now);
    return Math.max(this.botUntil, this.chatBlocks.until(call.chat as ChatKey, now));
  }

  /** Telegram refused the call with a 429 and asks to wait `waitMs`. */
  refused(call: FloodCall, waitMs: number, now: number): Refused {
    const until = now + waitMs;
    call.refusals++;
    if (!call.sends) {
      this.methodBlocks.add(methodKey(call), until, now);
      return "method";
    }
    this.chatBlocks.add(call.chat as ChatKey, until, now);
    const botUntil = this.suspicion.refused(call, until, this.passed, now);
    if (botUntil === undefined) return "chat";
    this.blockBot(botUntil, now);
    return "bot";
  }

  /** The whole bot has to wait until then. Told again while it does, by whoever else sends as this bot, it is the same refusal. */
  blockBot(until: number, now: number): void {
    const isKnown = now < this.until;
    this.until = Math.max(this.until, until);
    if (isKnown) this.recovery?.postpone(this.until);
    else this.recovery?.start(this.until, now);
  }

  /** What part of the bot's rate is this process's. */
  setShare(share: number, now: number): void {
    this.broadcasts?.setShare(share, now);
    this.recovery?.setShare(share, now);
    this.retries?.setShare(share, now);
  }

  /** Until when the whole bot was told to wait, monotonic ms. */
  get botUntil(): number {
    return this.until;
  }

  /** Telegram took the call: it answered with anything but a 429. */
  accepted(call: FloodCall): void {
    if (!call.sends) return;
    this.suspicion.accepted(call);
    this.recovery?.accepted(call.passedAt);
  }

  private methodAt(call: FloodCall, now: number): number {
    return this.methodBlocks.size === 0 ? 0 : this.methodBlocks.until(methodKey(call), now);
  }

  private pass(call: FloodCall, now: number, wasQuiet: boolean): void {
    call.passed = ++this.passed;
    call.passedAt = now;
    call.wasQuiet = wasQuiet;
  }
}

/** Under which name calls that send nothing are held back. */
export function methodKey(call: FloodCall): string {
  return call.chat === undefined ? call.method : `${call.method} ${call.chat}`;
}

/** Telegram that has just refused a chat has no burst for it: from the end of the wait on it is at its limit. */
function restAfter(block: number, schedules: Schedules, chat: ChatKey): number {
  const rest = schedules.restAt(chat);
  return block === 0 ? rest : Math.max(rest, block + schedules.slackMs);
}

/** A broadcast leaves room for one reply right after it, where there is a burst at all. */
function nextAt(rest: number, { slackMs, intervalMs }: Schedules, kind: FloodKind): number {
  return rest - (kind === "reply" ? slackMs : Math.max(0, slackMs - intervalMs));
}
