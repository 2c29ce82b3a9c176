/** Long-polls one bot and appends what comes to the inbox; survives everything Telegram answers. */
import { createRunner, createSource } from "@grammyjs/runner";
import type { RunnerHandle } from "@grammyjs/runner";
import type { UserFromGetMe } from "grammy/types";
import { backoffMs, sleep } from "./clock.ts";
import { createPollerJournal } from "./poller-state.ts";
import type { PollerState } from "./poller-state.ts";
import { createPolling } from "./polling.ts";
import type { PollingEvents, PollingOptions } from "./polling.ts";
import { createRedactor } from "./telegram/redactor.ts";

/** For metrics, the log and the fleet. */
export interface PollerEvents extends PollingEvents {
  /** Phase or error have changed. */
  onState(state: PollerState): void;
  /** The right to poll this bot is gone; the poller stops by itself. */
  onClaimLost(): void;
  /** The polling loop ended by a fault of botfleet's own (never by an answer) and is started again. Holds no secret. */
  onRestart(words: string): void;
}

/** What polling is given, but for what the poller itself adds; `name` as in logs and metrics. */
export interface PollerOptions extends Omit<PollingOptions, "events" | "journal" | "signal" | "loseClaim"> {
  readonly events: PollerEvents;
}

export interface Poller {
  /**
   * Begins, once: asks who the bot is until Telegram has told, then polls. Resolves with the bot as soon as it is known, with
   * undefined where the poller stops before. Never rejects.
   */
  start(): Promise<UserFromGetMe | undefined>;
  /** Ends waits and the open poll; resolves when no append is in flight. Idempotent. */
  stop(): Promise<void>;
  state(): PollerState;
}

export function createPoller(options: PollerOptions): Poller {
  const { name, clock, random, limits, events } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const journal = createPollerJournal(clock, (state) => events.onState(state));
  const redact = createRedactor(options.client.token);
  const polling = createPolling({ ...options, journal, signal, loseClaim });
  let me: UserFromGetMe | undefined;
  let runner: RunnerHandle | undefined;
  let started: Promise<UserFromGetMe | undefined> | undefined;
  let running: Promise<void> | undefined;

  /** Ends waits and the open poll; `running` resolves when the append in flight has ended. */
  function halt(): void {
    stopping.abort();
    void runner?.stop(); // Resolves with the task, which `run` awaits.
  }

  function loseClaim(): void {
    halt();
    journal.fail("stopped", `Another instance polls bot ${name} now.`);
    events.onClaimLost();
  }

  async function run(tell: (me: UserFromGetMe) => void): Promise<void> {
    me ??= await polling.identify();
    if (me === undefined || signal.aborted) return;
    tell(me);
    runner = createRunner(createSource(polling), polling);
    runner.start();
    await runner.task();
  }

  /** Only a fault of our own ends `run` early, an event that throws, say: the bot must not fall silent by it. */
  async function keepRunning(tell: (me: UserFromGetMe | undefined) => void): Promise<void> {
    for (let endings = 0; !signal.aborted; endings++) {
      const words = await run(tell).then(() => "it ended without an error", String);
      if (signal.aborted) break;
      report(() => {
        journal.fail("waiting", `Polling of bot ${name} ended by a fault of botfleet's own and starts again.`);
        events.onRestart(redact.text(words));
      });
      await sleep(clock, backoffMs(endings, limits.retryFirstMs, limits.retryCapMs, random), signal);
    }
    tell(undefined);
    report(() => journal.enter("stopped"));
  }

  return {
    start() {
      if (started === undefined) {
        const known = Promise.withResolvers<UserFromGetMe | undefined>();
        started = known.promise;
        running = keepRunning(known.resolve);
      }
      return started;
    },
    async stop() {
      halt();
      await running;
      report(() => journal.enter("stopped"));
    },
    state: () => journal.state,
  };
}

function report(tell: () => void): void {
  try {
    tell();
  } catch {
    // The event that throws is the one that would tell of it; polling and stopping must go on.
  }
}
