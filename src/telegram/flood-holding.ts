/**
 * The calls of one bot that flood control holds back, on one timer. Longer than other files: its heaps and its timer have one state.
 *
 *     admit ──► may go? ── yes ──► gone                                    (no promise is made)
 *                 └ no ──► its chat's waits ──► `byChat`, until the chat allows the first of them
 *                                                  └──► `retries`, `replies` or `broadcasts`, until the bot allows it ──► gone
 */
import type { AbortListeners } from "../abort-listeners.ts";
import type { Clock, Timer } from "../clock.ts";
import type { ChatKey, FloodCall } from "./flood-call.ts";
import { Heap } from "./flood-heap.ts";
import type { FloodControl, FloodEnd, FloodEvents, FloodReason, FloodRoom, FloodStatus } from "./flood-port.ts";
import { FloodRules, methodKey } from "./flood-rules.ts";
import type { FloodRulesOptions } from "./flood-rules.ts";
import { ChatWaits } from "./flood-waits.ts";
import type { Wait } from "./flood-waits.ts";

export interface HoldingOptions extends FloodRulesOptions {
  readonly clock: Clock;
  readonly listeners: AbortListeners;
  readonly room: FloodRoom;
  /** Longest `retry_after` that a call waits for itself, ms. */
  readonly waitMaxMs: number;
  readonly events: FloodEvents;
}

/** Calls let go in one turn of the event loop: what comes due all at once (the end of a wait of the whole bot) holds up nothing else. */
const turnMaxCalls = 200;

export class HoldingFloodControl implements FloodControl {
  private readonly options: HoldingOptions;
  private readonly rules: FloodRules;
  private readonly chats = new Map<ChatKey, ChatWaits>();
  private readonly byChat = new Heap<ChatWaits>();
  private readonly retries = new Heap<ChatWaits>();
  private readonly replies = new Heap<ChatWaits>();
  private readonly broadcasts = new Heap<ChatWaits>();
  private waitingReplies = 0;
  private waitingBroadcasts = 0;
  private orders = 0;
  private timer: Timer | undefined;
  private timerAt = Infinity;

  constructor(options: HoldingOptions) {
    this.options = options;
    this.rules = new FloodRules(options);
  }

  admit(
    call: FloodCall,
    signals: readonly (AbortSignal | undefined)[],
  ): undefined | "later" | "full" | Promise<FloodEnd> {
    const now = this.options.clock.monotonic();
    if (call.order === 0) call.order = ++this.orders;
    if ((this.chats.size === 0 || !this.isBehind(call, now)) && this.rules.decide(call, now) <= now) return undefined;
    if (this.rules.blockedUntil(call, now) - now > this.options.waitMaxMs) return "later";
    if (!this.hasRoom(call)) return "full";
    return this.hold(call, signals, now);
  }

  refused(call: FloodCall, waitMs: number): void {
    const { clock, events, waitMaxMs } = this.options;
    const now = clock.monotonic();
    const whom = this.rules.refused(call, waitMs, now);
    events.onRefused(whom, waitMs);
    if (whom === "bot") events.onBotRefused?.(this.rules.botUntil - now);
    if (waitMs <= waitMaxMs) return;
    // Where those stand that go on waiting is not changed here: when it is their turn they find out.
    const waits = whom === "bot" ? [...this.chats.values()] : [this.chats.get(keyOf(call))];
    for (const each of waits) if (each !== undefined) this.endLong(each, now);
  }

  setShare(share: number): void {
    const now = this.options.clock.monotonic();
    this.rules.setShare(share, now);
    // What waits may be due earlier.
    this.arm(now);
  }

  obey(waitMs: number): void {
    const now = this.options.clock.monotonic();
    this.rules.blockBot(now + waitMs, now);
    if (waitMs > this.options.waitMaxMs) for (const each of this.chats.values()) this.endLong(each, now);
  }

  ended(call: FloodCall, accepted: boolean): void {
    if (accepted) this.rules.accepted(call);
  }

  waitMs(call: FloodCall): number {
    const now = this.options.clock.monotonic();
    return Math.max(0, this.rules.blockedUntil(call, now) - now);
  }

  status(): FloodStatus {
    return {
      waitingReplies: this.waitingReplies,
      waitingBroadcasts: this.waitingBroadcasts,
      waitingChats: this.chats.size,
      knownChats: this.rules.size,
    };
  }

  /** Whether one that waits already goes before `call`, so that it may not even be asked whether it may go. */
  private isBehind(call: FloodCall, now: number): boolean {
    if (call.sends) {
      if (this.replies.size > 0) return true;
      if (this.retries.size > 0 && this.rules.isRecovering(now)) return true;
      if (call.kind === "broadcast" && this.broadcasts.size > 0) return true;
    }
    return this.chats.get(keyOf(call))?.isBefore(call) === true;
  }

  private hasRoom({ kind }: FloodCall): boolean {
    const { room } = this.options;
    if (kind === "broadcast") return room.waiting < room.waitingMax / 2;
    return room.waiting < room.waitingMax || this.waitingReplies < room.reservedPerBot;
  }

  private hold(call: FloodCall, signals: readonly (AbortSignal | undefined)[], now: number): Promise<FloodEnd> {
    return new Promise((resolve) => {
      for (const signal of signals) {
        if (signal?.aborted !== true) continue;
        resolve("ended");
        return;
      }
      const key = keyOf(call);
      const chat = this.chats.get(key) ?? new ChatWaits(key);
      this.chats.set(key, chat);
      const reason = this.reasonOf(call, now);
      const wait: Wait = { call, reason, since: now, resolve, chat, unlisten: [], before: undefined, after: undefined };
      chat.add(wait);
      this.count(wait, 1);
      if (chat.first === wait) this.place(chat, now);
      const { listeners } = this.options;
      for (const signal of signals) {
        if (signal !== undefined) wait.unlisten.push(listeners.add(signal, () => this.abort(wait)));
      }
      this.arm(now);
    });
  }

  private abort(wait: Wait): void {
    const now = this.options.clock.monotonic();
    this.release(wait, "ended", now);
    this.arm(now);
  }

  private reasonOf(call: FloodCall, now: number): FloodReason {
    if (this.rules.blockedUntil(call, now) > now)
      return call.sends && this.rules.isBotBlocked(now) ? "bot" : "retry_after";
    if (this.rules.chatAt(call, now) > now) return "chat";
    return call.kind === "broadcast" && this.rules.botAt("reply", now) <= now ? "broadcast" : "bot";
  }

  private count({ call }: Wait, by: 1 | -1): void {
    this.options.room.waiting += by;
    if (call.kind === "reply") this.waitingReplies += by;
    else this.waitingBroadcasts += by;
  }

  /** Lets a wait end, and puts its chat where the next one belongs. */
  private release(wait: Wait, end: FloodEnd, now: number): void {
    const { chat, call } = wait;
    const wasFirst = chat.first === wait;
    chat.delete(wait);
    this.count(wait, -1);
    for (const stop of wait.unlisten) stop();
    if (wasFirst) this.place(chat, now);
    if (chat.first === undefined) this.chats.delete(chat.key);
    if (this.chats.size === 0) this.disarm();
    this.options.events.onWaited(call.kind, wait.reason, now - wait.since);
    wait.resolve(end);
  }

  private endLong(waits: ChatWaits, now: number): void {
    for (let wait = waits.first; wait !== undefined; wait = waits.first) {
      if (this.rules.blockedUntil(wait.call, now) - now <= this.options.waitMaxMs) return;
      this.release(wait, "later", now);
    }
  }

  /** Puts the chat where its first wait belongs; nowhere if nobody waits. */
  private place(waits: ChatWaits, now: number): void {
    waits.heap?.delete(waits);
    waits.heap = undefined;
    const { first } = waits;
    if (first === undefined) return;
    const at = this.rules.chatAt(first.call, now);
    if (at > now || !first.call.sends) {
      waits.rank = at;
      waits.heap = this.byChat;
    } else {
      // Among those that wait for the bot the oldest call goes first.
      waits.rank = first.call.order;
      waits.heap =
        first.call.refusals > 0 ? this.retries : first.call.kind === "reply" ? this.replies : this.broadcasts;
    }
    waits.heap.add(waits);
  }

  private run(): void {
    this.timer = undefined;
    this.timerAt = Infinity;
    const now = this.options.clock.monotonic();
    this.runByChat(now);
    this.runByBot(this.retries, now);
    this.runByBot(this.replies, now);
    // Strictly below: not as long as a reply waits for the bot.
    if (this.replies.size === 0) this.runByBot(this.broadcasts, now);
    this.arm(now);
  }

  private runByChat(now: number): void {
    for (let left = turnMaxCalls; left > 0; left--) {
      const due = this.byChat.first;
      const first = due?.first;
      if (due === undefined || first === undefined || due.rank > now) return;
      // Limits may have become stricter meanwhile; what sends nothing does not wait for the bot.
      if (first.call.sends || this.rules.chatAt(first.call, now) > now) this.place(due, now);
      else this.release(first, "go", now);
    }
  }

  private runByBot(heap: Heap<ChatWaits>, now: number): void {
    for (let left = turnMaxCalls; left > 0; left--) {
      const waits = heap.first;
      const first = waits?.first;
      if (waits === undefined || first === undefined || this.rules.turnAt(first.call, now) > now) return;
      if (this.rules.decide(first.call, now) <= now) this.release(first, "go", now);
      else this.place(waits, now);
    }
  }

  /** When there is something to do next. */
  private nextAt(now: number): number {
    const retry = this.retries.first?.first;
    const own = Math.min(
      this.byChat.first?.rank ?? Infinity,
      retry === undefined ? Infinity : this.rules.turnAt(retry.call, now),
    );
    if (this.replies.size > 0) return Math.min(own, this.rules.botAt("reply", now));
    return this.broadcasts.size > 0 ? Math.min(own, this.rules.botAt("broadcast", now)) : own;
  }

  private arm(now: number): void {
    const at = this.nextAt(now);
    if (at >= this.timerAt || at === Infinity) return;
    this.timer?.cancel();
    this.timerAt = at;
    // Whole ms: a timer of Bun's is cut to them, and would fire before it is time.
    this.timer = this.options.clock.setTimer(() => this.run(), Math.max(0, Math.ceil(at - now)));
  }

  private disarm(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.timerAt = Infinity;
  }
}

function keyOf(call: FloodCall): ChatKey {
  return call.sends ? (call.chat as ChatKey) : methodKey(call);
}
