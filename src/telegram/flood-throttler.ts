/**
 * The stock plugin, @grammyjs/transformer-throttler, as an engine: it holds back whatever names a chat, by its own rules. With the
 * default limits its settings are its own defaults. What it lacks is added behind it: `retry_after` is obeyed, waits end with a shutdown.
 *
 * It stands inside the client, not around it, because its queues lose the async context that a call finds its attempt by, and because
 * calls of an attempt are remembered in the order in which the handler made them.
 */
import { apiThrottler } from "@grammyjs/transformer-throttler";
import type { AbortListeners } from "../abort-listeners.ts";
import type { Clock } from "../clock.ts";
import type { FloodCall } from "./flood-call.ts";
import type { FloodControl, FloodEnd, FloodEvents, FloodRoom, FloodStatus } from "./flood-port.ts";
import type { FloodRates } from "./flood-rules.ts";

export interface ThrottlerOptions {
  readonly clock: Clock;
  readonly listeners: AbortListeners;
  readonly rates: FloodRates;
  readonly waitMaxMs: number;
  readonly room: FloodRoom;
  readonly events: FloodEvents;
  /** Obeys the 429s: engine `off`. */
  readonly behind: FloodControl;
}

type Throttle = (
  next: () => Promise<unknown>,
  method: string,
  payload: object,
  signal: AbortSignal | undefined,
) => Promise<unknown>;

/** Timers are the plugin's own, on real time. */
export class ThrottlerFloodControl implements FloodControl {
  private readonly options: ThrottlerOptions;
  private readonly throttle: Throttle;
  /** Calls that the plugin has let through, with how to tell it of their end. */
  private readonly open = new Map<FloodCall, () => void>();
  private waiting = 0;

  constructor(options: ThrottlerOptions) {
    this.options = options;
    this.throttle = createThrottle(options.rates);
  }

  admit(
    call: FloodCall,
    signals: readonly (AbortSignal | undefined)[],
  ): undefined | "later" | "full" | Promise<FloodEnd> {
    const { behind, room, waitMaxMs } = this.options;
    // A further try is part of the same call for the plugin.
    if (call.chat === undefined || this.open.has(call)) return behind.admit(call, signals);
    if (behind.waitMs(call) > waitMaxMs) return "later";
    if (room.waiting >= room.waitingMax && this.waiting >= room.reservedPerBot) return "full";
    return this.hold(call, signals);
  }

  refused(call: FloodCall, waitMs: number): void {
    this.options.behind.refused(call, waitMs);
  }

  ended(call: FloodCall, accepted: boolean): void {
    this.options.behind.ended(call, accepted);
    this.open.get(call)?.();
    this.open.delete(call);
  }

  setShare(): void {}

  obey(waitMs: number): void {
    this.options.behind.obey(waitMs);
  }

  waitMs(call: FloodCall): number {
    return this.options.behind.waitMs(call);
  }

  status(): FloodStatus {
    const behind = this.options.behind.status();
    return { ...behind, waitingReplies: behind.waitingReplies + this.waiting };
  }

  private async hold(call: FloodCall, signals: readonly (AbortSignal | undefined)[]): Promise<FloodEnd> {
    const end = await this.throttled(call, signals);
    if (end !== "go") return end;
    const held = this.options.behind.admit(call, signals);
    if (held === undefined) return "go";
    return typeof held === "string" ? "later" : held;
  }

  private throttled(call: FloodCall, signals: readonly (AbortSignal | undefined)[]): Promise<FloodEnd> {
    const { clock, listeners, room, events } = this.options;
    const since = clock.monotonic();
    const unlisten: (() => void)[] = [];
    return new Promise((resolve) => {
      let isOver = false;
      const end = (how: FloodEnd): void => {
        if (isOver) return;
        isOver = true;
        this.waiting--;
        room.waiting--;
        for (const stop of unlisten) stop();
        events.onWaited(call.kind, "chat", clock.monotonic() - since);
        resolve(how);
      };
      this.waiting++;
      room.waiting++;
      // Its turn lasts until the call has ended. A wait that was cut short cannot leave the plugin's queue: its turn is empty.
      const turn = (): Promise<void> =>
        isOver
          ? Promise.resolve()
          : new Promise((done) => {
              this.open.set(call, done);
              end("go");
            });
      this.throttle(turn, call.method, { chat_id: call.chat }, undefined).catch(() => end("later"));
      for (const signal of signals) if (signal !== undefined) unlisten.push(listeners.add(signal, () => end("ended")));
    });
  }
}

function createThrottle({ chatPerSecond, groupPerMinute, broadcastPerSecond }: FloodRates): Throttle {
  const minTime = 1_000 / chatPerSecond;
  const transformer = apiThrottler({
    out: { maxConcurrent: 1, minTime },
    group: {
      maxConcurrent: 1,
      minTime,
      reservoir: groupPerMinute,
      reservoirRefreshAmount: groupPerMinute,
      reservoirRefreshInterval: 60_000,
    },
    global: {
      reservoir: broadcastPerSecond,
      reservoirRefreshAmount: broadcastPerSecond,
      reservoirRefreshInterval: 1_000,
    },
  });
  // Typed by grammY for each method; here every method is handled alike.
  return transformer as unknown as Throttle;
}
