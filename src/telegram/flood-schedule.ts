/** Rates of many chats by the generic cell rate algorithm (GCRA): one number a chat, forgotten when the chat has been quiet. */
import type { ChatKey } from "./flood-call.ts";

export interface SchedulesOptions {
  /** Time that one message uses up, ms. */
  readonly intervalMs: number;
  /** Messages that may go at once; 1 or more. */
  readonly burst: number;
  /** Chats remembered. With more of them at work within one burst's time the longest untouched are forgotten, and count as quiet. */
  readonly chatsMax: number;
}

/**
 * Each message moves its chat's schedule on by an interval; the chat is at rest where its schedule is not ahead of the clock, and at its
 * limit where it is ahead by `slackMs`. Cost: about 60 B a chat.
 */
export class Schedules {
  readonly intervalMs: number;
  readonly slackMs: number;
  private readonly generationMs: number;
  private readonly generationMax: number;
  // A schedule is at rest one burst after its last message: what has not been touched for a whole generation can be dropped unseen.
  private young = new Map<ChatKey, number>();
  private old = new Map<ChatKey, number>();
  private nextGenerationAt = 0;

  constructor({ intervalMs, burst, chatsMax }: SchedulesOptions) {
    this.intervalMs = intervalMs;
    this.slackMs = intervalMs * (burst - 1);
    this.generationMs = intervalMs * burst;
    this.generationMax = Math.ceil(chatsMax / 2);
  }

  /** Entries held; a chat counts twice where it is in both generations. */
  get size(): number {
    return this.young.size + this.old.size;
  }

  /** When the chat is at rest, monotonic ms; 0 where nothing is known of it. */
  restAt(chat: ChatKey): number {
    return this.young.get(chat) ?? this.old.get(chat) ?? 0;
  }

  /** Counts one message at `now` to a chat that is at rest at `restAt`. */
  count(chat: ChatKey, restAt: number, now: number): void {
    if (now >= this.nextGenerationAt || this.young.size >= this.generationMax) this.startGeneration(now);
    this.young.set(chat, (restAt > now ? restAt : now) + this.intervalMs);
  }

  private startGeneration(now: number): void {
    const isLongAgo = now >= this.nextGenerationAt + this.generationMs;
    this.old = isLongAgo ? new Map() : this.young;
    this.young = new Map();
    this.nextGenerationAt = now + this.generationMs;
  }
}
