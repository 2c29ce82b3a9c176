/** Flood control of one bot, by the engine that it is configured with. */
import type { AbortListeners } from "../abort-listeners.ts";
import type { Clock } from "../clock.ts";
import { HoldingFloodControl } from "./flood-holding.ts";
import type { FloodControl, FloodEvents, FloodRoom } from "./flood-port.ts";
import type { FloodRates } from "./flood-rules.ts";
import { ThrottlerFloodControl } from "./flood-throttler.ts";

export interface FloodControlOptions {
  readonly limits: FloodRates & {
    /** `built-in` · `grammy` the stock plugin · `off` nothing is held back beforehand. All obey a `retry_after`. */
    readonly engine: "built-in" | "grammy" | "off";
  };
  /** Longest `retry_after` that a call waits for itself, ms. */
  readonly waitMaxMs: number;
  /** Chats whose limits are kept in mind, per bot. */
  readonly chatsMax: number;
  /** Shared by all bots. */
  readonly room: FloodRoom;
  readonly clock: Clock;
  readonly listeners: AbortListeners;
  readonly events: FloodEvents;
}

export function createFloodControl(options: FloodControlOptions): FloodControl {
  const { engine, ...rates } = options.limits;
  switch (engine) {
    case "built-in":
      return new HoldingFloodControl({ ...options, rates });
    case "off":
      return new HoldingFloodControl({ ...options, rates: undefined });
    case "grammy": {
      const behind = new HoldingFloodControl({ ...options, rates: undefined });
      return new ThrottlerFloodControl({ ...options, rates, behind });
    }
  }
}
