/**
 * What flood control costs: ours against the stock plugin, @grammyjs/transformer-throttler, in one run.
 *
 *     bun run bench:flood [--chats 1000000] [--plugin-chats 2000] [--rounds 3] [--json]
 *
 * One call that may go at once, from the payload to its end, to a chat of its own and then again to all of them in another order; CPU of the
 * process. Memory is what the heap holds after a collection, a chat. Rounds of both sides take turns, each in a process of its own, because
 * the plugin's queues are never given back. Of the plugin's limits the one over all chats is
 * lifted, since with it 30 calls a second go.
 */
import { heapStats } from "bun:jsc";
import { parseArgs } from "node:util";
import { apiThrottler } from "@grammyjs/transformer-throttler";
import { createAbortListeners } from "../src/abort-listeners.ts";
import { systemClock } from "../src/clock.ts";
import { createFloodCall } from "../src/telegram/flood-call.ts";
import { createFloodControl } from "../src/telegram/flood-control.ts";
import { createFloodRoom } from "../src/telegram/flood-port.ts";

const { values } = parseArgs({
  options: {
    chats: { type: "string", default: "1000000" },
    "plugin-chats": { type: "string", default: "2000" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
    side: { type: "string" },
  },
});

interface Figures {
  /** CPU of a call to a chat not known yet, µs. */
  readonly firstUs: number;
  /** CPU of a call to a chat already known, µs. */
  readonly againUs: number;
  readonly bytesPerChat: number;
}

/** Private chats and, each tenth, a group. */
const chatAt = (index: number): number => (index % 10 === 0 ? -1_000_000_000_000 - index : 5_000_000_000 + index * 7);

type Calls = (count: number, order: (at: number) => number) => Promise<void> | void;

async function measure(chats: number, calls: Calls, warmUp: Calls): Promise<Figures> {
  await warmUp(2_000, (at) => at);
  const before = heldBytes();
  const firstUs = await cpuOf(chats, () => calls(chats, (at) => at));
  const bytesPerChat = (heldBytes() - before) / chats;
  const againUs = await cpuOf(chats, () => calls(chats, (at) => (at * 7_919) % chats));
  return { firstUs, againUs, bytesPerChat };
}

async function cpuOf(calls: number, run: () => Promise<void> | void): Promise<number> {
  const before = process.cpuUsage();
  await run();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

function heldBytes(): number {
  Bun.gc(true);
  const { heapSize, extraMemorySize } = heapStats();
  return heapSize + extraMemorySize;
}

function ours(): Calls {
  // Time stands still for the limits, so that no chat is forgotten; reading the real clock is part of the cost.
  const startedAt = systemClock.monotonic();
  const flood = createFloodControl({
    limits: { engine: "built-in", chatPerSecond: 1, chatBurst: 5, groupPerMinute: 20, broadcastPerSecond: 30 },
    waitMaxMs: 60_000,
    chatsMax: 4_000_000,
    room: createFloodRoom({ waitingMax: 100_000, reservedPerBot: 100 }),
    clock: { ...systemClock, monotonic: () => Math.min(systemClock.monotonic(), startedAt) },
    listeners: createAbortListeners(),
    events: { onWaited: () => {}, onRefused: () => {} },
  });
  const { signal } = new AbortController();
  return (count, order) => {
    for (let at = 0; at < count; at++) {
      const call = createFloodCall("sendMessage", { chat_id: chatAt(order(at)), text: "a message" }, "reply");
      if (flood.admit(call, [signal, signal, undefined]) !== undefined) throw new Error("a call had to wait");
      flood.ended(call, true);
    }
  };
}

function plugin(): Calls {
  const transformer = apiThrottler({ global: {} }) as unknown as (
    prev: () => Promise<unknown>,
    method: string,
    payload: object,
  ) => Promise<unknown>;
  const answer = Promise.resolve({ ok: true, result: true });
  const inFlight = 1_000;
  return async (count, order) => {
    for (let from = 0; from < count; from += inFlight) {
      const batch: Promise<unknown>[] = [];
      for (let at = from; at < Math.min(count, from + inFlight); at++) {
        batch.push(transformer(() => answer, "sendMessage", { chat_id: chatAt(order(at)), text: "a message" }));
      }
      await Promise.all(batch);
    }
  };
}

const sides = { ours, plugin };
const chatsOf = { ours: Number(values.chats), plugin: Number(values["plugin-chats"]) };

async function spawn(side: keyof typeof sides): Promise<Figures> {
  const command = [
    "bun",
    import.meta.path,
    "--side",
    side,
    "--chats",
    values.chats,
    "--plugin-chats",
    values["plugin-chats"],
  ];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
  const text = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error(`the side ${side} failed`);
  return JSON.parse(text) as Figures;
}

function median(all: readonly Figures[], of: keyof Figures): number {
  const sorted = all.map((each) => each[of]).toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}

async function compare(): Promise<void> {
  const all: Record<keyof typeof sides, Figures[]> = { ours: [], plugin: [] };
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const side of ["ours", "plugin"] as const) all[side].push(await spawn(side));
  }
  for (const side of ["ours", "plugin"] as const) {
    const [first, again, bytes] = (["firstUs", "againUs", "bytesPerChat"] as const).map((of) => median(all[side], of));
    console.log(
      `${side.padEnd(7)} ${chatsOf[side].toLocaleString("en")} chats: ${first?.toFixed(2)} µs CPU a call to a new chat, ` +
        `${again?.toFixed(2)} µs to a known one, ${bytes?.toFixed(0)} B a chat`,
    );
  }
  if (!values.json) return;
  const us = (side: keyof typeof sides): number => (median(all[side], "firstUs") + median(all[side], "againUs")) / 2;
  console.log(
    JSON.stringify({
      bench: "flood",
      usPerCall: Number(us("ours").toFixed(3)),
      bytesPerChat: Math.round(median(all.ours, "bytesPerChat")),
      chats: chatsOf.ours,
      pluginUsPerCall: Number(us("plugin").toFixed(1)),
      pluginBytesPerChat: Math.round(median(all.plugin, "bytesPerChat")),
      pluginChats: chatsOf.plugin,
      rounds: Number(values.rounds),
      ratio: Number((us("ours") / us("plugin")).toFixed(4)),
    }),
  );
}

if (values.side === undefined) await compare();
else {
  const side = values.side === "plugin" ? "plugin" : "ours";
  const make = sides[side];
  console.log(JSON.stringify(await measure(chatsOf[side], make(), make())));
  // The plugin's own timers would keep the process alive.
  process.exit(0);
}
