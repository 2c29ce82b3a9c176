/**
 * The simulator as a process of its own: `bun src/simulator/main.ts --bots 3`. Prints one line of JSON,
 * `{"url","port","pid","botIds","tokens"}`, as soon as it listens, and serves until SIGTERM or SIGINT.
 */
import { parseArgs } from "node:util";
import { startSimulator } from "./server.ts";

const usage = `usage: bun src/simulator/main.ts [flags]
  --port N            default 0: any free one
  --host H            default 127.0.0.1
  --bots N            default 1
  --first-bot-id N    default 100001
  --delay-ms N        lateness of every answer, default 0
  --journal full      keep every entry, not only counts
  --history N         messages of a chat that can be looked at, default 50
  --any-chat          bots may write to chats that nobody opened
`;

function flags() {
  try {
    return parseArgs({
      options: {
        port: { type: "string", default: "0" },
        host: { type: "string", default: "127.0.0.1" },
        bots: { type: "string", default: "1" },
        "first-bot-id": { type: "string", default: "100001" },
        "delay-ms": { type: "string", default: "0" },
        journal: { type: "string", default: "counts" },
        history: { type: "string", default: "50" },
        "any-chat": { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return stopWith(error instanceof Error ? error.message : String(error));
  }
}

function number(name: string, value: string): number {
  return /^\d+$/.test(value) ? Number(value) : stopWith(`--${name} takes a number, not ${value}`);
}

function stopWith(fault: string): never {
  process.stderr.write(`${fault}\n${usage}`);
  process.exit(64);
}

if (import.meta.main) {
  const given = flags();
  const simulator = await startSimulator({
    port: number("port", given.port),
    host: given.host,
    bots: number("bots", given.bots),
    firstBotId: number("first-bot-id", given["first-bot-id"]),
    delayMs: number("delay-ms", given["delay-ms"]),
    journal: { full: given.journal === "full" },
    historyPerChat: number("history", given.history),
    anyChat: given["any-chat"],
  });
  const { url, port, botIds, tokens } = simulator;
  process.stdout.write(`${JSON.stringify({ url, port, pid: process.pid, botIds, tokens })}\n`);
  const stop = (): void => {
    void simulator.stop().then(() => process.exit(0));
  };
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
}
