/**
 * Rates of a whole bot: that of its broadcasts, and that of everything for a while after Telegram has refused the whole bot. Where several processes send as one
 * bot, each has a share of them, above 0 and at most 1.
 */
import type { FloodKind } from "./flood-call.ts";

/** How far a rate makes up for timers that fire late, ms. Less than the interval at 30 a second, so never two at once. */
const lateMs = 20;

/** What a broadcast gets of its rate at the least, however many replies there are: it gives way, but never stands still for ever. */
const leastShare = 0.1;

/**
 * Bounds broadcasts over all chats. Replies are never held back by it but take from its budget: what Telegram counts is both together.
 */
export class BroadcastPace {
  private readonly perSecond: number;
  private intervalMs: number;
  private restAt = 0;
  private lastAt = -Infinity;

  constructor(perSecond: number) {
    this.perSecond = perSecond;
    this.intervalMs = 1_000 / perSecond;
  }

  setShare(share: number, now: number): void {
    const before = this.intervalMs;
    this.intervalMs = 1_000 / (this.perSecond * share);
    this.restAt = rescaled(this.restAt, now, this.intervalMs / before);
  }

  /** When the next broadcast may go, monotonic ms. */
  nextAt(): number {
    return Math.min(this.restAt - lateMs, this.lastAt + this.intervalMs / leastShare);
  }

  count(kind: FloodKind, now: number): void {
    const next = Math.max(this.restAt, now) + this.intervalMs;
    // Thousands of replies hold broadcasts back for a second, not for minutes after.
    this.restAt = kind === "broadcast" ? next : Math.min(next, Math.max(this.restAt, now + 1_000));
    if (kind === "broadcast") this.lastAt = now;
  }
}

/** What Telegram takes over all chats as far as is known, messages a second. */
const usualPerSecond = 30;

/**
 * Bounds calls that are tried again after a 429, of all chats: were many refused for the same reason, they would all come back at once and
 * be refused again. A second's worth may go at once; nobody else waits for it.
 */
export class RetryPace {
  private intervalMs = 1_000 / usualPerSecond;
  private restAt = 0;

  setShare(share: number, now: number): void {
    const before = this.intervalMs;
    this.intervalMs = 1_000 / (usualPerSecond * share);
    this.restAt = rescaled(this.restAt, now, this.intervalMs / before);
  }

  nextAt(): number {
    return this.restAt - Math.max(0, 1_000 - this.intervalMs);
  }

  count(now: number): void {
    this.restAt = Math.max(this.restAt, now) + this.intervalMs;
  }
}

/**
 * The rate of all messages after the whole bot was refused: half of what it was, 10 % more with each second, until it is twice what it
 * was; then nothing is held back any more. A broadcast leaves room for one reply right after it.
 */
export class RecoveryPace {
  private readonly leastPerSecond: number;
  private share = 1;
  /** These two of the whole bot. */
  private firstPerSecond = 0;
  private lastPerSecond = 0;
  private startAt = 0;
  private restAt = 0;
  private isOn = false;
  private second = 0;
  private inSecond = 0;
  private inSecondBefore = 0;

  /** `leastPerSecond`: what the bot is taken to have sent where it sent less. */
  constructor(leastPerSecond: number) {
    this.leastPerSecond = leastPerSecond;
  }

  setShare(share: number, now: number): void {
    this.restAt = rescaled(this.restAt, Math.max(this.startAt, now), this.share / share);
    this.share = share;
  }

  /** The rate of this process at `now`, messages a second; Infinity where nothing is held back. */
  perSecond(now: number): number {
    return this.ofBot(now) * this.share;
  }

  /** Begins at `startAt`, when the wait for the whole bot is over. */
  start(startAt: number, now: number): void {
    const before = this.ofBot(now);
    const sent = Math.max(this.inSecond, this.inSecondBefore) / this.share;
    const was = before === Infinity ? Math.max(this.leastPerSecond, sent) : before;
    this.firstPerSecond = Math.max(1, was / 2);
    // Refused again while it rises: it still has to come as far.
    if (before === Infinity) this.lastPerSecond = 2 * was;
    this.startAt = startAt;
    this.restAt = startAt;
    this.isOn = true;
  }

  /** The wait that it begins after is a longer one. */
  postpone(startAt: number): void {
    if (!this.isOn) return;
    this.startAt = startAt;
    this.restAt = startAt;
  }

  /** When the next message of this kind may go, monotonic ms. */
  nextAt(kind: FloodKind, now: number): number {
    const rate = this.perSecond(now);
    if (rate === Infinity) return 0;
    return kind === "reply" ? this.restAt - lateMs - 1_000 / rate : this.restAt - lateMs;
  }

  count(now: number): void {
    if (this.isOn) this.restAt = Math.max(this.restAt, now) + 1_000 / this.perSecond(now);
  }

  /** Telegram accepted a message that was let through at `passedAt`: the rate at which it does is what is halved. */
  accepted(passedAt: number): void {
    const second = Math.floor(passedAt / 1_000);
    if (second > this.second) {
      this.inSecondBefore = second === this.second + 1 ? this.inSecond : 0;
      this.inSecond = 0;
      this.second = second;
    }
    this.inSecond++;
  }

  private ofBot(now: number): number {
    if (!this.isOn) return Infinity;
    const rate = this.firstPerSecond * 1.1 ** (Math.max(0, now - this.startAt) / 1_000);
    if (rate < this.lastPerSecond) return rate;
    this.isOn = false;
    return Infinity;
  }
}

/** What was used up ahead of `now`, of a rate whose interval is `factor` times what it was. */
function rescaled(restAt: number, now: number, factor: number): number {
  return restAt <= now ? restAt : now + (restAt - now) * factor;
}
