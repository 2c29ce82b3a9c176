/** Flood control that holds nothing back beforehand, for tests of other things. */
import type { AbortListeners } from "../../src/abort-listeners.ts";
import type { Clock } from "../../src/clock.ts";
import { createFloodControl } from "../../src/telegram/flood-control.ts";
import { createFloodRoom } from "../../src/telegram/flood-port.ts";
import type { FloodControl } from "../../src/telegram/flood-port.ts";

export function floodOff(clock: Clock, listeners: AbortListeners): FloodControl {
  return createFloodControl({
    limits: { engine: "off", chatPerSecond: 1, chatBurst: 5, groupPerMinute: 20, broadcastPerSecond: 30 },
    waitMaxMs: 60_000,
    chatsMax: 100_000,
    room: createFloodRoom({ waitingMax: 100_000, reservedPerBot: 100 }),
    clock,
    listeners,
    events: { onWaited: () => {}, onRefused: () => {} },
  });
}
