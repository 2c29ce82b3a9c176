/**
 * Long-polls one bot while it has the claim to, and appends what comes to the inbox; survives everything Telegram answers.
 *
 *     who am I? ──► elsewhere ──► polling under the claim ──► elsewhere       the claim was lost or given back
 *                       ▲                 │ not confirmed in time: the open poll ends
 *                       └─ waiting ◄──────┘ confirmed: polling again
 */
import { createRunner, createSource } from "@grammyjs/runner";
import type { UserFromGetMe } from "grammy/types";
import { backoffMs, sleep } from "./clock.ts";
import type { BotClaim } from "./leases/leases.ts";
import { createPollerJournal } from "./poller-state.ts";
import type { PollerState } from "./poller-state.ts";
import { createPolling, identify } from "./polling.ts";
import type { PollingEvents, PollingOptions } from "./polling.ts";
import { createRedactor } from "./telegram/redactor.ts";

/** For metrics, the log and the fleet. */
export interface PollerEvents extends PollingEvents {
  /** Phase or error have changed. */
  onState(state: PollerState): void;
  /** The polling loop ended by a fault of botfleet's own (never by an answer) and is started again. Holds no secret. */
  onRestart(words: string): void;
}

/** What polling is given, but for what the poller itself adds; `name` as in logs and metrics. */
export interface PollerOptions extends Omit<PollingOptions, "claim" | "events" | "journal" | "signal" | "onUnclaimed"> {
  readonly events: PollerEvents;
}

export interface Poller {
  /**
   * Begins, once: asks who the bot is until Telegram has told, then polls whenever it has the claim. Resolves with the bot as soon as it is known,
   * with undefined where the poller stops before. Never rejects.
   */
  start(): Promise<UserFromGetMe | undefined>;
  /** From now on it may poll under `claim`, until that is lost or let go of. */
  hold(claim: BotClaim): void;
  /** `valid` or `lost` of the claim answers differently. */
  claimChanged(): void;
  /** Polls no more under the claim: ends waits and the open poll; resolves when no append is in flight. */
  letGo(): Promise<void>;
  /** As `letGo`, for good. Idempotent. */
  stop(): Promise<void>;
  state(): PollerState;
}

export function createPoller(options: PollerOptions): Poller {
  return new ClaimedPoller(options);
}

/** One stretch of polling under the claim. */
interface Stretch {
  end(): void;
  /** Resolves when no append is in flight. Rejects by a fault of botfleet's own alone. */
  readonly ended: Promise<void>;
}

class ClaimedPoller implements Poller {
  readonly #options: PollerOptions;
  readonly #journal;
  readonly #stopping = new AbortController();
  readonly #redact;
  #me: UserFromGetMe | undefined;
  #claim: BotClaim | undefined;
  #stretch: Stretch | undefined;
  #started: Promise<UserFromGetMe | undefined> | undefined;
  #running: Promise<void> | undefined;
  #woken = Promise.withResolvers<void>();

  constructor(options: PollerOptions) {
    this.#options = options;
    this.#journal = createPollerJournal(options.clock, (state) => options.events.onState(state));
    this.#redact = createRedactor(options.client.token);
  }

  start(): Promise<UserFromGetMe | undefined> {
    if (this.#started === undefined) {
      const known = Promise.withResolvers<UserFromGetMe | undefined>();
      this.#started = known.promise;
      this.#running = this.#keepRunning(known.resolve);
    }
    return this.#started;
  }

  hold(claim: BotClaim): void {
    this.#claim = claim;
    this.claimChanged();
  }

  claimChanged(): void {
    if (this.#claim?.lost() === true) this.#claim = undefined;
    if (this.#claim?.valid() !== true) this.#stretch?.end();
    this.#wake();
  }

  async letGo(): Promise<void> {
    this.#claim = undefined;
    const stretch = this.#stretch;
    stretch?.end();
    this.#wake();
    await stretch?.ended.catch(() => {}); // Told by whoever runs it.
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.letGo();
    await this.#running;
    report(() => this.#journal.enter("stopped"));
  }

  state(): PollerState {
    return this.#journal.state;
  }

  #wake(): void {
    this.#woken.resolve();
    this.#woken = Promise.withResolvers();
  }

  /** Only a fault of our own ends `#run` early, an event that throws, say: the bot must not fall silent by it. */
  async #keepRunning(tell: (me: UserFromGetMe | undefined) => void): Promise<void> {
    const { name, clock, random, limits, events } = this.#options;
    const { signal } = this.#stopping;
    for (let endings = 0; !signal.aborted; endings++) {
      const words = await this.#run(tell).then(() => "it ended without an error", String);
      if (signal.aborted) break;
      report(() => {
        this.#journal.fail("waiting", `Polling of bot ${name} ended by a fault of botfleet's own and starts again.`);
        events.onRestart(this.#redact.text(words));
      });
      await sleep(clock, backoffMs(endings, limits.retryFirstMs, limits.retryCapMs, random), signal);
    }
    tell(undefined);
  }

  async #run(tell: (me: UserFromGetMe) => void): Promise<void> {
    const { signal } = this.#stopping;
    this.#me ??= await identify({ ...this.#options, journal: this.#journal, signal });
    if (this.#me === undefined) return;
    tell(this.#me);
    while (!signal.aborted) {
      const woken = this.#woken.promise;
      const claim = this.#claim;
      if (claim?.valid() === true) {
        const isFenced = await this.#poll(claim);
        // The claim is asked about; it should be known as lost before long.
        if (isFenced) await Promise.race([woken, sleep(this.#options.clock, this.#options.limits.retryCapMs, signal)]);
      } else {
        if (claim === undefined) this.#journal.elsewhere();
        else this.#journal.fail("waiting", unconfirmed(this.#options.name));
        await woken;
      }
    }
  }

  /** Resolves when the claim is not valid any more, or with true where the inbox says so first. */
  async #poll(claim: BotClaim): Promise<boolean> {
    const stretch = new AbortController();
    let isFenced = false;
    const end = (): void => {
      stretch.abort();
      void runner.stop(); // Resolves with the task, which is awaited.
    };
    const polling = createPolling({
      ...this.#options,
      claim,
      journal: this.#journal,
      signal: stretch.signal,
      onUnclaimed: () => {
        isFenced = claim.valid();
        end();
      },
    });
    const runner = createRunner(createSource(polling), polling);
    runner.start();
    const ended = runner.task() ?? Promise.resolve();
    this.#stretch = { end, ended };
    try {
      await ended;
    } finally {
      this.#stretch = undefined;
    }
    return isFenced;
  }
}

function unconfirmed(name: string): string {
  return `Bot ${name} is not polled: whether it is still this instance's to poll is not known, as Redis does not answer.`;
}

function report(tell: () => void): void {
  try {
    tell();
  } catch {
    // The event that throws is the one that would tell of it; polling and stopping must go on.
  }
}
