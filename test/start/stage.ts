/** Where `bun run start` is tried: a simulated Telegram, a BOTS_FILE, a folder, and what runs there ends with it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Simulator, type SimulatorOptions, startSimulator } from "../../src/simulator/server.ts";
import { type BotfleetProcess, spawnBotfleet } from "../support/botfleet-process.ts";
import { fleet } from "./fleet.ts";

export interface Stage {
  readonly simulator: Simulator;
  readonly folder: string;
  readonly dataDir: string;
  /** The bot in that place of the file. */
  botId(index: number): number;
  /** `bun run start` with a BOTS_FILE of the bots, and further settings. */
  spawn(env?: Readonly<Record<string, string>>): BotfleetProcess;
  [Symbol.asyncDispose](): Promise<void>;
}

interface StagedBot {
  readonly name: string;
  readonly module: string;
  readonly apiRoot?: string;
  /** Default: no flood control. */
  readonly limits?: object;
}

/** `options`: of the simulated Telegram. */
export async function createStage(
  bots: readonly StagedBot[] = fleet,
  options: Partial<SimulatorOptions> = {},
): Promise<Stage> {
  // Updates come from chats that nobody has opened here.
  const simulator = await startSimulator({ bots: bots.length, anyChat: true, ...options });
  const folder = mkdtempSync(join(tmpdir(), "botfleet-start-"));
  const botsFile = join(folder, "bots.json");
  // Without flood control: some chats are sent hundreds of messages, at Telegram's pace they would take minutes.
  const limits = { engine: "off" };
  const entries = bots.map((bot, index) => ({ limits, ...bot, token: simulator.tokens[index] }));
  await Bun.write(botsFile, JSON.stringify({ bots: entries }));
  const dataDir = join(folder, "data");
  const processes: BotfleetProcess[] = [];
  return {
    simulator,
    folder,
    dataDir,
    botId: (index) => simulator.botIds[index] ?? 0,
    spawn(env) {
      const settings = { BOTS_FILE: botsFile, ...env };
      const process = spawnBotfleet({ apiRoot: simulator.url, dataDir, by: "script", env: settings });
      processes.push(process);
      return process;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map((process) => process[Symbol.asyncDispose]()));
      await simulator.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** The first bot answers a text with the same text; rejects where it does not. */
export async function expectEcho({ simulator }: Stage): Promise<void> {
  const bot = simulator.botIds[0] ?? 0;
  simulator.api.people.person(5).say(bot, "still there?");
  await simulator.api.people.waitForAnswer(bot, 5, ({ text }) => text === "still there?", { maxMs: 20_000 });
}
