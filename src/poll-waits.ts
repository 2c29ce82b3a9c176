/** How long the poller waits after each decision that is not a result. */
import { backoffMs } from "./clock.ts";
import type { Random } from "./clock.ts";
import type { Setback } from "./poll-answers.ts";

export interface PollWaitLimits {
  readonly retryFirstMs: number;
  readonly retryCapMs: number;
  readonly conflictWaitMs: number;
  readonly disabledWaitsMs: readonly number[];
}

export interface PollWaits {
  /** ms until the next try. Failures of one kind in a row wait longer and longer, up to a cap. */
  after(setback: Setback): number;
  /** Something succeeded: the next failure is a first one again. */
  reset(): void;
}

export function createPollWaits(limits: PollWaitLimits, random: Random): PollWaits {
  const counts = { back_off: 0, webhook: 0, conflict: 0, disabled: 0, flood: 0 };

  function after(setback: Setback): number {
    const earlier = counts[setback.kind]++;
    switch (setback.kind) {
      case "flood":
        // Bots that were told the same moment do not all come back in it.
        return setback.waitMs + random() * limits.retryFirstMs;
      case "disabled":
        return limits.disabledWaitsMs[Math.min(earlier, limits.disabledWaitsMs.length - 1)] ?? limits.retryCapMs;
      case "conflict":
        return backoffMs(earlier, limits.conflictWaitMs, limits.retryCapMs, random);
      case "back_off":
      case "webhook":
        // Never below the first wait: Telegram answers one update at a time where the same offset comes again sooner.
        return Math.max(limits.retryFirstMs, backoffMs(earlier, limits.retryFirstMs, limits.retryCapMs, random));
    }
  }

  return {
    after,
    reset() {
      counts.back_off = counts.webhook = counts.conflict = counts.disabled = counts.flood = 0;
    },
  };
}
