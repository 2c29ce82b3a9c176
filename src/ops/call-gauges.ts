/** The gauges of the calls to Telegram: what waits in flood control, and over which connections calls go. */
import { Counter, Gauge, type Registry } from "prom-client";
import type { FloodStatus } from "../telegram/flood-port.ts";
import type { PoolStats } from "../telegram/pool.ts";

/** Of all bots together. */
export interface CallStatus {
  readonly flood: FloodStatus;
  /** Undefined where Bun's `fetch` keeps the connections: it does not tell of them. */
  readonly connections: PoolStats | undefined;
}

/** `status` is asked by each gauge: it answers the same object throughout one scrape, and undefined before there are clients. */
export function addCallGauges(registry: Registry, status: () => CallStatus | undefined): void {
  const registers = [registry];
  const flood = (name: string, help: string, labelNames: readonly string[], fill: FillFlood): void => {
    const made: Gauge = new Gauge({
      name: `botfleet_flood_${name}`,
      help,
      labelNames,
      registers,
      collect() {
        const now = status();
        if (now !== undefined) fill(made, now.flood);
      },
    });
  };
  flood(
    "waiting_calls",
    "Calls that wait in flood control.",
    ["kind"],
    (into, { waitingReplies, waitingBroadcasts }) => {
      into.set({ kind: "reply" }, waitingReplies);
      into.set({ kind: "broadcast" }, waitingBroadcasts);
    },
  );
  flood("waiting_chats", "Chats (and methods) that calls wait for.", [], (into, { waitingChats }) =>
    into.set(waitingChats),
  );
  flood("known_chats", "Limits of chats kept in mind; a group has two.", [], (into, { knownChats }) =>
    into.set(knownChats),
  );
  const connections = (name: string, help: string, of: (stats: PoolStats) => number): void => {
    const made: Gauge = new Gauge({
      name: `botfleet_transport_${name}`,
      help,
      registers,
      collect() {
        const stats = status()?.connections;
        // Without labels prom-client shows a 0 that nobody measured.
        if (stats === undefined) made.remove();
        else made.set(of(stats));
      },
    });
  };
  connections(
    "open_connections",
    "Connections to Telegram, those that are being opened among them.",
    ({ open }) => open,
  );
  connections("idle_connections", "Connections to Telegram without a request.", ({ idle }) => idle);
  const opened: Counter = new Counter({
    name: "botfleet_transport_connections_opened_total",
    help: "Connections to Telegram that were opened.",
    registers,
    collect() {
      const stats = status()?.connections;
      opened.remove();
      if (stats !== undefined) opened.inc(stats.opened);
    },
  });
}

type FillFlood = (into: Gauge, flood: FloodStatus) => void;
