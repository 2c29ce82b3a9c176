/**
 * `bun run demo`: a simulated Telegram in this process, botfleet as its child, and a person who chats with the echo bot.
 * Exit codes: 0 clean, 1 botfleet did not start or (in a script) something was lost, 64 usage.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { systemClock } from "../clock.ts";
import { startSimulator } from "../simulator/server.ts";
import { parseCommand } from "./demo-commands.ts";
import { type Flags, readFlags } from "./demo-flags.ts";
import { createPaint, PlainScreen, TerminalScreen } from "./demo-screen.ts";
import { Session } from "./demo-session.ts";
import { noCommands, welcome } from "./demo-words.ts";
import { Worker } from "./demo-worker.ts";

/** Updates are numbered from somewhere up to here. */
const firstIdMax = 1_000_000_000;
/** How far away Telegram is at first, ms: as in life, and so that a person is quick enough to kill in the middle. */
const delayMs = 50;
/** Signals this close together are one, ms. */
const sameSignalMs = 500;

type End = (code: number) => void;

async function main({ script, dataDir, port }: Flags): Promise<never> {
  const { code: ended, end } = awaitEnd();
  const folder = dataDir === undefined ? mkdtempSync(join(tmpdir(), "botfleet-demo-")) : undefined;
  const { api, url, botIds, tokens } = await startSimulator({ anyChat: true, delayMs });
  const [bot, token] = [botIds[0]!, tokens[0]!];
  // As at Telegram a number out of the blue, or an inbox that was kept would take the updates for old ones.
  api.bot(bot).restartNumbering(Math.floor(Math.random() * firstIdMax));
  const worker = new Worker({
    token,
    apiRoot: url,
    port,
    dataDir: resolve(folder ?? dataDir ?? ""),
    onDeath: (pid, how, words) => session.died(pid, how, words),
  });
  process.on("exit", () => {
    worker.abandon();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  const isSmart = process.stdout.isTTY && process.env["TERM"] !== "dumb";
  const isScript = script !== undefined || !isSmart || !process.stdin.isTTY;
  const paint = createPaint(isSmart && !process.env["NO_COLOR"]);
  const screen = isScript ? new PlainScreen() : new TerminalScreen(paint);
  const broken = (error: unknown): void => {
    screen.close();
    process.stderr.write(`botfleet does not start: ${messageOf(error)}\n`);
    end(1);
  };
  const session = new Session({
    api,
    bot,
    worker,
    screen,
    paint,
    isScript,
    clock: systemClock,
    random: Math.random,
    onBroken: broken,
  });
  const talk = async (): Promise<void> => {
    await worker.start();
    // Ended before it began.
    if (!worker.isUp) return;
    screen.print(welcome(worker, isScript, paint));
    session.start();
    if (isScript) return end((await readScript(session, script)) ? 0 : 1);
    screen.open({ onLine: (line) => typed(session, line, end), onEnd: () => end(0) });
  };
  talk().catch(broken);

  const code = await ended;
  session.stop();
  screen.close();
  if (!isScript) process.stdout.write("Stopping.\n");
  // So that what is in work can end.
  api.faults.clear();
  api.delayMs = 0;
  await worker.stop();
  process.exit(code);
}

/** Returns whether nothing was lost. */
async function readScript(session: Session, script: string | undefined): Promise<boolean> {
  let isEmpty = true;
  for await (const line of script?.split(";") ?? createInterface({ input: process.stdin })) {
    const command = parseCommand(line);
    if (command !== undefined) isEmpty = false;
    if (command?.name === "quit") break;
    if (command !== undefined) await session.run(command, line);
  }
  if (isEmpty) process.stdout.write(`${noCommands}\n`);
  return await session.finish();
}

function typed(session: Session, line: string, end: End): void {
  const command = parseCommand(line);
  if (command?.name === "quit") end(0);
  // A person does not wait for one command to end before the next.
  else if (command !== undefined) void session.run(command, line);
}

interface Ending {
  /** Resolves with the exit code. */
  readonly code: Promise<number>;
  readonly end: End;
}

/** The first signal ends in order, a later one at once. A reader that went away ends it too. */
function awaitEnd(): Ending {
  const ended = Promise.withResolvers<number>();
  let endedAt: number | undefined;
  const end = (code: number): void => {
    endedAt ??= systemClock.monotonic();
    ended.resolve(code);
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, () => {
      // One Ctrl-C comes twice: from the terminal, and passed on by `bun run`.
      if (endedAt !== undefined && systemClock.monotonic() - endedAt > sameSignalMs) process.exit(1);
      end(0);
    });
  }
  process.stdout.on("error", () => end(0));
  return { code: ended.promise, end };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

if (import.meta.main) void main(readFlags(process.argv.slice(2)));
