/**
 * The turn of one bot between Telegram and the inbox:
 *
 *     room? ──► getUpdates(offset) ──► append ──► offset = last id + 1
 *       ▲            │ setback: wait      │ refused: wait, same offset
 *       └────────────┴────────────────────┘
 */
import type { UpdateSink, UpdateSupplier } from "@grammyjs/runner";
import type { UserFromGetMe } from "grammy/types";
import { backoffMs, sleep } from "./clock.ts";
import type { Clock, Random } from "./clock.ts";
import { faultOf } from "./faults.ts";
import type { Update } from "./ids.ts";
import type { Appended, Inbox } from "./inbox/inbox.ts";
import type { BotClaim } from "./leases/leases.ts";
import { adviceOf, decide, lastIdOf, meIn, updatesIn } from "./poll-answers.ts";
import type { Reply, Setback } from "./poll-answers.ts";
import { createPollWaits } from "./poll-waits.ts";
import type { PollWaitLimits } from "./poll-waits.ts";
import type { PollerJournal } from "./poller-state.ts";
import type { Room } from "./room.ts";
import type { Client } from "./telegram/client.ts";

export interface PollingLimits extends PollWaitLimits {
  readonly pollTimeoutS: number;
  readonly pollMaxUpdates: number;
  readonly pollGraceMs: number;
}

/** What became of a poll or of getMe. `empty`: a poll answered without updates. */
export type PollOutcome =
  "updates" | "empty" | "malformed" | "refused" | "unavailable" | "disabled" | "conflict" | "webhook" | "flood";

export interface PollingEvents {
  onPoll(outcome: PollOutcome, updates: number): void;
  /** `ms`: until the batch was durable. */
  onAppended(appended: Appended, ms: number): void;
  /** A batch could not be stored; it is polled again. */
  onAppendFailed(): void;
  /** A batch was refused because the claim is lost: another instance polls the bot. */
  onFenced(): void;
}

/** What asking Telegram for one bot takes. */
export interface AskingOptions {
  readonly name: string;
  readonly client: Client;
  readonly clock: Clock;
  readonly random: Random;
  readonly limits: PollingLimits;
  readonly events: PollingEvents;
  readonly journal: PollerJournal;
  /** Ends whatever is open. */
  readonly signal: AbortSignal;
}

export interface PollingOptions extends AskingOptions {
  readonly inbox: Pick<Inbox, "append">;
  readonly claim: BotClaim;
  /** Always sent, so that no earlier choice stays in force on the server. */
  readonly allowedUpdates: readonly string[];
  /** Asked before each poll. */
  readonly room: Room;
  /** Called when the claim is found not to hold; aborts `signal`. */
  readonly onUnclaimed: () => void;
}

/** Source and sink of the runner. Whatever Telegram or the inbox answer, neither rejects. */
export interface Polling extends UpdateSupplier<Update>, UpdateSink<Update> {}

/** Resolves with the bot once Telegram has told; undefined where `signal` aborts before. Never rejects. */
export async function identify(options: AskingOptions): Promise<UserFromGetMe | undefined> {
  const ask = createAsk(options);
  while (!options.signal.aborted) {
    const me = await ask({ method: "getMe", phase: "starting", payload: {} }, meIn);
    // A token that was refused is taken again: the first poll, which may be open for long, says nothing new about that.
    if (me !== undefined) options.journal.recover();
    if (me !== undefined) return me;
  }
  return undefined;
}

/** Undefined where there was a setback, which has been sat out, or `signal` aborted. */
type Ask = <T>(request: Request, read: (result: unknown) => T | undefined) => Promise<T | undefined>;

function createAsk(options: AskingOptions): Ask {
  const { name, client, random, clock, limits, events, journal, signal } = options;
  const waits = createPollWaits(limits, random);

  async function ask<T>(request: Request, read: (result: unknown) => T | undefined): Promise<T | undefined> {
    // A refused token stays on show until Telegram takes it again.
    if (journal.state.phase !== "disabled") journal.enter(request.phase);
    const reply = await exchange(request);
    if (signal.aborted) return undefined;
    const decision = decide(reply, read);
    if (decision.kind === "result") {
      waits.reset();
      return decision.result;
    }
    events.onPoll(decision.kind === "back_off" ? decision.why : decision.kind, 0);
    await sitOut(decision);
    return undefined;
  }

  function exchange({ method, payload, maxMs }: Request): Promise<Reply> {
    return client.exchange(method, payload, { signal, ...(maxMs === undefined ? {} : { maxMs }) }).then(
      (answer) => ({ answer }),
      (error: unknown) => ({ error }),
    );
  }

  async function sitOut(setback: Setback): Promise<void> {
    const ms = waits.after(setback);
    const advice = `${adviceOf(name, setback)} Tried again in ${Math.ceil(ms / 1_000)} s.`;
    journal.fail(setback.kind === "disabled" ? "disabled" : "waiting", advice);
    if (setback.kind === "webhook") await exchange(deleteWebhook);
    await sleep(clock, ms, signal);
  }

  return ask;
}

export function createPolling(options: PollingOptions): Polling {
  const { name, inbox, claim, room, clock, random, limits, events, journal, signal } = options;
  const ask = createAsk(options);
  const pollMaxMs = limits.pollTimeoutS * 1_000 + limits.pollGraceMs;
  let offset = 0;
  let appendFailures = 0;
  let appending: Update[] = [];

  function mayGoOn(): boolean {
    if (signal.aborted) return false;
    if (claim.valid()) return true;
    options.onUnclaimed();
    return false;
  }

  /** One poll, with the wait that follows where it brings nothing. */
  async function poll(): Promise<Update[] | undefined> {
    if (!room.ready()) {
      journal.enter("full");
      await room.wait(signal);
      return undefined;
    }
    const startedMs = clock.monotonic();
    const payload = {
      offset,
      limit: limits.pollMaxUpdates,
      timeout: limits.pollTimeoutS,
      allowed_updates: options.allowedUpdates,
    };
    const updates = await ask({ method: "getUpdates", phase: "polling", payload, maxMs: pollMaxMs }, updatesIn);
    if (updates === undefined) return undefined;
    journal.polled();
    events.onPoll(updates.length === 0 ? "empty" : "updates", updates.length);
    if (updates.length > 0) return updates;
    journal.recover();
    // A long poll waits by itself; a server that answers "nothing" at once must not be asked without pause.
    const earlyMs = limits.retryFirstMs - (clock.monotonic() - startedMs);
    if (earlyMs > 0) await sleep(clock, earlyMs, signal);
    return undefined;
  }

  async function append(updates: readonly Update[]): Promise<void> {
    if (!mayGoOn()) return;
    let appended: Appended;
    const startedMs = clock.monotonic();
    try {
      appended = await inbox.append(claim, updates);
    } catch (error) {
      return notStored(error);
    }
    appendFailures = 0;
    const next = (lastIdOf(updates) ?? offset - 1) + 1;
    const stuck = next === offset;
    offset = next;
    journal.recover();
    events.onAppended(appended, clock.monotonic() - startedMs);
    // A server that sends again what it was told to forget must not be asked without pause.
    if (stuck) await sleep(clock, limits.retryFirstMs, signal);
  }

  async function notStored(error: unknown): Promise<void> {
    const fault = faultOf(error);
    if (fault?.code === "inbox_fenced") {
      events.onFenced();
      options.onUnclaimed();
      return;
    }
    const ms = Math.max(
      limits.retryFirstMs,
      backoffMs(appendFailures++, limits.retryFirstMs, limits.retryCapMs, random),
    );
    const why = fault?.message ?? "an error that botfleet does not know";
    journal.fail("waiting", `New updates of bot ${name} cannot be stored (Telegram keeps them): ${why}`);
    events.onAppendFailed();
    await sleep(clock, ms, signal);
  }

  return {
    async supply() {
      while (mayGoOn()) {
        const updates = await poll();
        if (updates !== undefined) return updates;
      }
      return [];
    },
    async handle(updates) {
      appending = updates;
      if (updates.length > 0) await append(updates);
      appending = [];
      return Infinity;
    },
    size: () => appending.length,
    snapshot: () => appending,
  };
}

interface Request {
  readonly method: "getMe" | "getUpdates" | "deleteWebhook";
  /** What the poller is doing meanwhile. */
  readonly phase: "starting" | "polling";
  readonly payload: object;
  readonly maxMs?: number;
}

const deleteWebhook: Request = {
  method: "deleteWebhook",
  phase: "polling",
  payload: { drop_pending_updates: false },
};
