/** Telegram's sending limits, switched on where a test wants to meet them. The real ones are not published: these are the usual figures. */
import type { Clock } from "../clock.ts";

export interface SendLimits {
  /** Default 1. */
  readonly chatPerSecond?: number;
  /** Messages a chat takes at once; default 5. */
  readonly chatBurst?: number;
  /** Default 20. */
  readonly groupPerMinute?: number;
  /** Over all chats of a bot; default 30. */
  readonly botPerSecond?: number;
}

/** Limits of one bot, as virtual schedules: a message is refused while its schedule runs ahead of the clock by more than the burst. */
export class SendLimiter {
  readonly #clock: Clock;
  readonly #limits: SendLimits;
  /** Chat → monotonic ms at which its schedule is even with the clock. */
  readonly #chats = new Map<number, number>();
  #bot = 0;
  #sweepAt = 0;

  constructor(clock: Clock, limits: SendLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Seconds to wait, 0 where the message may go. A message refused does not count. */
  take(chat: number): number {
    const now = this.#clock.monotonic();
    this.#sweep(now);
    const group = chat < 0;
    const perMs = group ? (this.#limits.groupPerMinute ?? 20) / 60_000 : (this.#limits.chatPerSecond ?? 1) / 1_000;
    const burst = group ? (this.#limits.groupPerMinute ?? 20) : (this.#limits.chatBurst ?? 5);
    const botPerSecond = this.#limits.botPerSecond ?? 30;
    const chatEven = Math.max(now, this.#chats.get(chat) ?? 0);
    const botEven = Math.max(now, this.#bot);
    const waitMs = Math.max(chatEven + 1 / perMs - burst / perMs - now, botEven + 1_000 / botPerSecond - 1_000 - now);
    // The sum of fractions must not refuse the last message of a burst.
    if (waitMs > 0.001) return Math.ceil(waitMs / 1_000);
    this.#chats.set(chat, chatEven + 1 / perMs);
    this.#bot = botEven + 1_000 / botPerSecond;
    return 0;
  }

  #sweep(now: number): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + 60_000;
    for (const [chat, even] of this.#chats) if (even <= now) this.#chats.delete(chat);
  }
}
