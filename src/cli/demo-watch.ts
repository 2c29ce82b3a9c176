/** Looks at simulator and worker again and again, and notices when nothing is under way any more. */
import type { Clock, Timer } from "../clock.ts";
import type { BotApi } from "../simulator/bot-api.ts";
import type { Ledger } from "./demo-ledger.ts";
import type { View } from "./demo-words.ts";
import { backlogOf } from "./demo-words.ts";
import type { Worker } from "./demo-worker.ts";

export interface WatchOptions {
  readonly api: BotApi;
  readonly bot: number;
  readonly worker: Worker;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly onView: (view: View) => void;
  /** What `begin` announced has settled, `tookMs` later. */
  readonly onSettled: (view: View, tookMs: number) => void;
}

const lookMs = 100;
/** So long nothing may move before an unanswered message is called lost, ms. */
const lostAfterMs = 3_000;

export class Watch {
  readonly #options: WatchOptions;
  #timer: Timer | undefined;
  #isStopped = false;
  /** Monotonic ms; undefined while nothing was announced. */
  #begunAt: number | undefined;
  /** Since when nothing moves, monotonic ms. */
  #idleSince: number | undefined;
  readonly #waiting = new Set<(settled: boolean) => void>();

  constructor(options: WatchOptions) {
    this.#options = options;
  }

  start(): void {
    void this.#again();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    for (const end of this.#waiting) end(false);
  }

  /** Something is under way whose end is to be told. */
  begin(): void {
    this.#begunAt ??= this.#options.clock.monotonic();
    this.#idleSince = undefined;
  }

  /** True as soon as everything has settled; false after `maxMs`, or when it stops. */
  settled(maxMs: number): Promise<boolean> {
    this.#idleSince = undefined;
    return new Promise((resolve) => {
      const end = (settled: boolean): void => {
        timer.cancel();
        this.#waiting.delete(end);
        resolve(settled);
      };
      const timer = this.#options.clock.setTimer(() => end(false), maxMs);
      this.#waiting.add(end);
    });
  }

  async look(): Promise<View> {
    const { api, bot, worker, ledger, clock } = this.#options;
    const status = await worker.status();
    const { confirmed } = api.journal.counts(bot);
    const atTelegram = api.bot(bot).queue.size;
    const isIdle = status !== undefined && atTelegram === 0 && backlogOf(status) === 0 && status.pipeline.inWork === 0;
    const now = clock.monotonic();
    this.#idleSince = isIdle ? (this.#idleSince ?? now) : undefined;
    // A worker just started has not read its inbox yet: an empty one proves nothing at once.
    const isQuiet = isIdle && (ledger.open === 0 || now - (this.#idleSince ?? now) >= lostAfterMs);
    return { status, atTelegram, confirmed, report: ledger.report(), isQuiet };
  }

  async #again(): Promise<void> {
    const view = await this.look();
    if (this.#isStopped) return;
    this.#options.onView(view);
    if (view.isQuiet) this.#tellSettled(view);
    this.#timer = this.#options.clock.setTimer(() => void this.#again(), lookMs);
  }

  #tellSettled(view: View): void {
    const { clock, onSettled } = this.#options;
    const begunAt = this.#begunAt;
    this.#begunAt = undefined;
    if (begunAt !== undefined) onSettled(view, clock.monotonic() - begunAt);
    for (const end of this.#waiting) end(true);
  }
}
