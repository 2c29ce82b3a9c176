/** What the chaos tests share: a simulated Telegram in this process, botfleets over one folder, and a record of every answer. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulator/server.ts";
import { type BotfleetProcess, type BotfleetProcessOptions, spawnBotfleet } from "../support/botfleet-process.ts";
import { readInboxFile } from "../support/inbox-file.ts";
import { Answers, type Kill } from "./answers.ts";

export interface Rig {
  readonly simulator: Simulator;
  readonly dataDir: string;
  /** Every answer to a numbered message, from the beginning. */
  readonly answers: Answers;
  /** A botfleet over the folder, running `referral` or the module of that name in `fixtures/`. Ends with the rig. */
  spawn(module: string, options?: Partial<BotfleetProcessOptions>): BotfleetProcess;
  /** As `spawn`, once it has started. */
  start(module: string, options?: Partial<BotfleetProcessOptions>): Promise<BotfleetProcess>;
  /** Ends every process and removes the folder. */
  [Symbol.asyncDispose](): Promise<void>;
}

export async function createRig(options: SimulatorOptions): Promise<Rig> {
  const simulator = await startSimulator({ historyPerChat: 0, ...options });
  const dataDir = mkdtempSync(join(tmpdir(), "botfleet-chaos-"));
  const answers = new Answers(simulator.api.journal);
  const processes: BotfleetProcess[] = [];
  const spawn: Rig["spawn"] = (module, given) => {
    const botsFile = join(dataDir, "bots.json");
    writeFileSync(botsFile, botsFileOf(simulator, module === "referral" ? module : fixture(module)));
    const env = { BOTS_FILE: botsFile, ...given?.env };
    const process = spawnBotfleet({ apiRoot: simulator.url, dataDir, ...given, env });
    processes.push(process);
    return process;
  };
  return {
    simulator,
    dataDir,
    answers,
    spawn,
    start: (module, given) => spawn(module, given).started,
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((process) => process[Symbol.asyncDispose]()));
      await simulator.stop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** What a process left that ended without warning at `at`, once everything it had sent has been received. */
export async function killAt(at: number, { simulator, dataDir }: Rig): Promise<Kill> {
  await until("its connections closed", () => simulator.connections() === 0);
  return { at, overAt: Date.now(), unsettled: readInboxFile(dataDir).entries };
}

/** Flood control is left out: a chat may be sent more than Telegram's one message a second, or a load would take minutes. */
function botsFileOf({ tokens }: Simulator, module: string): string {
  const bots = tokens.map((token, index) => ({ name: `bot-${index}`, token, module, limits: { engine: "off" } }));
  return JSON.stringify({ bots });
}

export function fixture(module: string): string {
  return join(import.meta.dir, "fixtures", `${module}.ts`);
}

/** Resolves once `holds`; looks every few milliseconds, gives up after `maxMs`. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, maxMs = 20_000): Promise<void> {
  const giveUpAt = performance.now() + maxMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) throw new Error(`${what}: not within ${maxMs} ms`);
    await Bun.sleep(5);
  }
}

/** Nothing waits, neither at Telegram nor here. */
export async function isIdle(rig: Pick<Rig, "simulator">, process: BotfleetProcess): Promise<boolean> {
  if ([...rig.simulator.api.bots.values()].some((bot) => bot.queue.size > 0)) return false;
  const status = await process.status();
  return (
    status.state !== "starting" && status.pipeline.inWork === 0 && status.bots.every(({ backlog }) => backlog === 0)
  );
}
