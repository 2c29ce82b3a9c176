/** Plain numbers that are counted up for every update, poll and call, and read only when Prometheus asks. */
import type { Update } from "../ids.ts";
import type { Appended } from "../inbox/inbox.ts";
import type { AttemptResult } from "../pipeline-options.ts";
import type { PollOutcome } from "../polling.ts";
import type { CallOutcome } from "../telegram/call-error.ts";
import type { Refused } from "../telegram/flood-rules.ts";
import type { Histograms } from "./histograms.ts";

/** The counts of one bot. Each call is a few additions: made for every update. */
export interface BotMetrics {
  /** A batch is durable after `ms`. */
  appended(appended: Appended, ms: number): void;
  /** `handlerMs`: time at work; `sinceReceiptMs`: from the receipt of the update. */
  attempt(result: AttemptResult, handlerMs: number, sinceReceiptMs: number, update: Update): void;
  polled(outcome: PollOutcome): void;
  /** A batch could not be made durable and is polled again. */
  appendFailed(): void;
  /** A call was answered with a 429. */
  tooMany(whom: Refused): void;
  /** Something that the module counts happened, by the module's own word for it; beyond its first 50 words it is counted as `other`. */
  happened(event: string): void;
}

/** A number for each word of a closed set. */
export type Counts<Key extends string> = Record<Key, number>;

/** Distinct events of a bot that are counted by name. */
const eventsMax = 50;
const eventForm = /^[a-z][a-z0-9_]{0,39}$/;

export class BotCounts implements BotMetrics {
  stored = 0;
  known = 0;
  malformed = 0;
  readonly attempts: Counts<AttemptResult> = {
    done: 0,
    undeliverable: 0,
    retry: 0,
    dead: 0,
    outage: 0,
    kept: 0,
    expired: 0,
  };
  failedAppends = 0;
  readonly polls: Counts<PollOutcome> = zeroPolls();
  readonly refusals: Counts<Refused> = { chat: 0, method: 0, bot: 0 };
  readonly events = new Map<string, number>();
  private readonly observed: Pick<Histograms, "appended" | "attempt"> | undefined;

  /** Undefined: no histograms. */
  constructor(observed: Pick<Histograms, "appended" | "attempt"> | undefined) {
    this.observed = observed;
  }

  appended({ stored, known, malformed }: Appended, ms: number): void {
    this.stored += stored;
    this.known += known;
    this.malformed += malformed;
    this.observed?.appended(ms);
  }

  attempt(result: AttemptResult, handlerMs: number, sinceReceiptMs: number, update: Update): void {
    this.attempts[result]++;
    this.observed?.attempt(result, handlerMs, sinceReceiptMs, update);
  }

  polled(outcome: PollOutcome): void {
    this.polls[outcome]++;
  }

  appendFailed(): void {
    this.failedAppends++;
  }

  tooMany(whom: Refused): void {
    this.refusals[whom]++;
  }

  happened(event: string): void {
    const known = this.events.get(event);
    if (known !== undefined) {
      this.events.set(event, known + 1);
      return;
    }
    const name = this.events.size < eventsMax && eventForm.test(event) ? event : "other";
    this.events.set(name, (this.events.get(name) ?? 0) + 1);
  }
}

// Written out, so that a new outcome does not compile before it is counted.
function zeroPolls(): Counts<PollOutcome> {
  return {
    updates: 0,
    empty: 0,
    malformed: 0,
    refused: 0,
    unavailable: 0,
    disabled: 0,
    conflict: 0,
    webhook: 0,
    flood: 0,
  };
}

export function zeroCalls(): Counts<CallOutcome> {
  return {
    ok: 0,
    refused: 0,
    too_old: 0,
    flood: 0,
    unreachable: 0,
    unknown: 0,
    token_refused: 0,
    aborted: 0,
    file_broken: 0,
  };
}
