/** Flood control as main builds it, with the limits that a bot has where none are configured. */
import { limits } from "../../config/limits.ts";
import type { AbortListeners } from "../../src/abort-listeners.ts";
import type { Clock } from "../../src/clock.ts";
import { createFloodControl } from "../../src/telegram/flood-control.ts";
import { createFloodRoom, type FloodControl, type FloodRoom } from "../../src/telegram/flood-port.ts";

export function defaultRoom(): FloodRoom {
  const { waitingMax, waitingReservedPerBot } = limits.flood;
  return createFloodRoom({ waitingMax, reservedPerBot: waitingReservedPerBot });
}

export function floodBuiltIn(room: FloodRoom): (clock: Clock, listeners: AbortListeners) => FloodControl {
  return (clock, listeners) =>
    createFloodControl({
      limits: { engine: "built-in", chatPerSecond: 1, chatBurst: 5, groupPerMinute: 20, broadcastPerSecond: 30 },
      waitMaxMs: limits.client.floodWaitMaxMs,
      chatsMax: limits.flood.chatsMax,
      room,
      clock,
      listeners,
      events: { onWaited: () => {}, onRefused: () => {} },
    });
}
