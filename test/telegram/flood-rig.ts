/** Flood control on a fake clock before a Telegram that a test scripts. */
import { createAbortListeners } from "../../src/abort-listeners.ts";
import type { ChatKey, FloodCall, FloodKind } from "../../src/telegram/flood-call.ts";
import { createFloodCall } from "../../src/telegram/flood-call.ts";
import { createFloodControl } from "../../src/telegram/flood-control.ts";
import type { FloodControlOptions } from "../../src/telegram/flood-control.ts";
import { createFloodRoom } from "../../src/telegram/flood-port.ts";
import type { FloodControl, FloodRoom } from "../../src/telegram/flood-port.ts";
import { FakeClock } from "../support/fake-clock.ts";

export const usual = {
  engine: "built-in",
  chatPerSecond: 1,
  chatBurst: 5,
  groupPerMinute: 20,
  broadcastPerSecond: 30,
} as const;

export type Limits = FloodControlOptions["limits"];

/** One call as a test made it. Times are monotonic ms. */
export interface Made {
  readonly call: FloodCall;
  readonly madeAt: number;
  /** Each try: when it went. */
  readonly wentAt: number[];
  /** How it ended: `sent`, or what flood control said instead. */
  end: "sent" | "ended" | "later" | "full" | undefined;
}

export interface Went {
  readonly made: Made;
  readonly at: number;
  readonly refusedMs: number;
  /** Calls made by then. */
  readonly madeSoFar: number;
}

/** Milliseconds that Telegram asks to wait, 0 where it takes the call. */
export type Telegram = (chat: ChatKey | undefined, now: number, method: string) => number;

export class FloodRig {
  readonly clock = new FakeClock();
  readonly listeners = createAbortListeners();
  readonly room: FloodRoom;
  readonly flood: FloodControl;
  /** `onWaited` and `onRefused`, in order. */
  readonly told: string[] = [];
  /** `onBotRefused`, ms. */
  readonly botWaits: number[] = [];
  readonly made: Made[] = [];
  /** Every try, in the order in which they went. */
  readonly went: Went[] = [];
  telegram: Telegram = () => 0;
  /** Time until Telegram answers, ms. */
  answerMs = 0;

  constructor(limits: Partial<Limits> = {}, options: Partial<FloodControlOptions> = {}) {
    this.room = options.room ?? createFloodRoom({ waitingMax: 1_000_000, reservedPerBot: 0 });
    this.flood = createFloodControl({
      limits: { ...usual, ...limits },
      waitMaxMs: 60_000,
      chatsMax: 100_000,
      room: this.room,
      clock: this.clock,
      listeners: this.listeners,
      events: {
        onWaited: (kind, reason, ms) => this.told.push(`${kind} waited ${Math.round(ms)} for ${reason}`),
        onRefused: (whom, ms) => this.told.push(`refused ${whom} ${ms}`),
        onBotRefused: (ms) => this.botWaits.push(ms),
      },
      ...options,
    });
  }

  /** Makes a call as the client does: admitted, sent, and again after each 429. */
  make(chat: ChatKey | undefined, kind: FloodKind = "reply", method = "sendMessage", signal?: AbortSignal): Made {
    const call = createFloodCall(method, chat === undefined ? {} : { chat_id: chat }, kind);
    const made: Made = { call, madeAt: this.clock.monotonic(), wentAt: [], end: undefined };
    this.made.push(made);
    this.admit(made, signal);
    return made;
  }

  private admit(made: Made, signal: AbortSignal | undefined): void {
    const held = this.flood.admit(made.call, [signal]);
    if (held === undefined) this.go(made, signal);
    else if (typeof held === "string") this.end(made, held);
    else {
      void held.then((end) => (end === "go" ? this.go(made, signal) : this.end(made, end)));
    }
  }

  private go(made: Made, signal: AbortSignal | undefined): void {
    const { call } = made;
    const at = this.clock.monotonic();
    const refusedMs = this.telegram(call.chat, at, call.method);
    made.wentAt.push(at);
    this.went.push({ made, at, refusedMs, madeSoFar: this.made.length });
    const answered = (): void => {
      if (refusedMs === 0) {
        this.end(made, "sent");
        return;
      }
      this.flood.refused(call, refusedMs);
      this.admit(made, signal);
    };
    if (this.answerMs === 0) answered();
    else this.clock.setTimer(answered, this.answerMs);
  }

  private end(made: Made, end: NonNullable<Made["end"]>): void {
    made.end = end;
    this.flood.ended(made.call, end === "sent");
  }

  /** Moves time until nothing waits any more. */
  async finish(): Promise<void> {
    for (let due = this.clock.nextDueMs(); due !== undefined; due = this.clock.nextDueMs())
      await this.clock.advance(due);
  }
}

/** Refuses everything until a time. */
export const refuseAll =
  (until: number): Telegram =>
  (_chat, now) =>
    now >= until ? 0 : Math.ceil((until - now) / 1_000) * 1_000;

/** Lets Telegram refuse the bot until `until`, as ten chats find out: 1 to 10, the last five a second after the first. */
export async function floodBot(rig: FloodRig, until: number): Promise<void> {
  rig.telegram = refuseAll(until);
  for (let chat = 1; chat <= 5; chat++) rig.make(chat);
  await rig.clock.advance(1_000);
  for (let chat = 6; chat <= 10; chat++) rig.make(chat);
}
