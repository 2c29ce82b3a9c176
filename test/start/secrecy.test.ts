/**
 * Promise 8 on the real program at `LOG_LEVEL=debug`: every fault of Telegram's, with answers that quote the token wherever an answer has
 * words, connections that fail, and handlers whose errors hold the token. Nothing the program writes, serves or stores holds a secret.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { limits } from "../../config/limits.ts";
import { systemClock } from "../../src/clock.ts";
import { botIdOf, type Update } from "../../src/ids.ts";
import { createSqliteInbox } from "../../src/inbox/sqlite.ts";
import { type FaultKind, faultKinds } from "../../src/simulator/faults.ts";
import { type Simulator, startSimulator } from "../../src/simulator/server.ts";
import { until } from "../chaos/rig.ts";
import { type BotfleetProcess, spawnBotfleet } from "../support/botfleet-process.ts";
import { readInboxFile } from "../support/inbox-file.ts";
import { names } from "./fixtures/leaky.ts";
import { botClaim, partitionClaim } from "../support/claims.ts";

const adminToken = "admin-0f9e8d7c6b5a4f3e2d1c";
/** Of a server of one's own, below a path. */
const path = "/telegram/gateway";
/** Stands in every answer that quotes a token: where it is seen, the answer was shown. */
const marker = "quoted-by-the-server";
const calls = ["sendMessage", "editMessageText", "answerCallbackQuery", "getChat", "sendDocument"];

/** One bot for each fault that strikes polls, one for each that strikes calls, one whose updates fail by themselves, two without a server. */
const polled = faultKinds;
const called = faultKinds;
const lone = ["thrower", "closed-port", "not-tls"] as const;
const count = polled.length + called.length + lone.length;

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

interface Scene {
  readonly simulator: Simulator;
  readonly dataDir: string;
  readonly process: BotfleetProcess;
}

/** Half of the tokens stand in the file, half in variables that it names. */
function settingsOf(simulator: Simulator, folder: string): Record<string, string> {
  const bots: object[] = [];
  const env: Record<string, string> = { BOTS_FILE: join(folder, "bots.json"), ADMIN_TOKEN: adminToken };
  const add = (name: string, index: number, apiRoot?: string): void => {
    const token = simulator.tokens[index] ?? "";
    const variable = `TOKEN_${index}`;
    if (index % 2 === 0) env[variable] = token;
    const module = join(import.meta.dir, "fixtures", "leaky.ts");
    const where = apiRoot === undefined ? {} : { apiRoot };
    const limitsOf = { engine: "off" };
    bots.push({ name, module, limits: limitsOf, ...where, ...(index % 2 === 0 ? { tokenEnv: variable } : { token }) });
  };
  for (const [at, kind] of polled.entries()) add(`polled-${kind}`, at);
  for (const [at, kind] of called.entries()) add(`called-${kind}`, polled.length + at, `${simulator.url}${path}`);
  const closedPort = "http://127.0.0.1:1/closed";
  const roots = [simulator.url, closedPort, `${simulator.url.replace("http:", "https:")}${path}`];
  for (const [at, name] of lone.entries()) add(name, polled.length + called.length + at, roots[at]);
  writeFileSync(join(folder, "bots.json"), JSON.stringify({ bots }));
  return env;
}

function planFaults({ api, tokens }: Simulator): void {
  const plan = (kind: FaultKind, index: number, method: string, when: "before" | "after"): void => {
    const token = tokens[index] ?? "";
    const words = `${marker}: http://x/bot${token}/${method} bot${encodeURIComponent(token)} ${token.split(":")[1]}`;
    const bot = botIdOf(tokens[index] as (typeof tokens)[number]);
    api.faults.add({ kind, method, bot, when, words, times: 1, delayMs: 300 });
  };
  for (const [index, kind] of polled.entries()) {
    plan(kind, index, "getMe", "before");
    // A refused token is not tried again for a minute; a poll that hangs takes 40 s.
    if (kind !== "401" && kind !== "404" && kind !== "hang") plan(kind, index, "getUpdates", "after");
  }
  for (const [at, kind] of called.entries()) {
    for (const method of calls) {
      // An upload that hangs takes two minutes, an edit that is refused though it took place five attempts.
      if (kind === "hang" && method === "sendDocument") continue;
      plan(kind, polled.length + at, method, at % 2 === 0 || method === "editMessageText" ? "before" : "after");
    }
  }
}

/** Updates of the thrower that have failed four times already: the next failure makes a dead letter. */
async function seed(dataDir: string, { tokens }: Simulator): Promise<void> {
  const inbox = await createSqliteInbox({ dataDir, clock: systemClock, limits: limits.inbox, deduplicate: true });
  const bot = botIdOf(tokens[polled.length + called.length] as (typeof tokens)[number]);
  const failing = names.filter((name) => !calls.includes(name));
  const updates = failing.map((text, at) => ({
    update_id: 1_000 + at,
    message: { message_id: at + 1, date: 1, chat: { id: at + 1, type: "private", first_name: "P" }, text },
  }));
  await inbox.append(botClaim(bot), updates as unknown as Update[]);
  const partition = await inbox.open(partitionClaim());
  const entries = await partition.next(1_000);
  await partition.mark(entries.map(({ seq }) => ({ seq, attempts: limits.pipeline.attemptsMax - 1 })));
  await inbox.stop();
}

async function openScene(transport: string): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), "botfleet-secrecy-"));
  folders.push(folder);
  const simulator = await startSimulator({ bots: count, anyChat: true });
  const dataDir = join(folder, "data");
  await seed(dataDir, simulator);
  planFaults(simulator);
  const env = { ...settingsOf(simulator, folder), LOG_LEVEL: "debug", TELEGRAM_TRANSPORT: transport };
  for (const at of called.keys()) {
    for (const [chat, method] of calls.entries()) {
      simulator.api.people.person(chat + 1).say(simulator.botIds[polled.length + at] ?? 0, method);
    }
  }
  return { simulator, dataDir, process: spawnBotfleet({ apiRoot: `${simulator.url}${path}`, dataDir, env }) };
}

/** Every fault has struck, every update failed or was answered, and the calls that hang have ended. */
async function playOut({ simulator, process }: Scene): Promise<void> {
  await process.started;
  await until("every fault struck", () => simulator.api.faults.list().every(({ struck }) => struck === 1), 60_000);
  await process.line((line) => JSON.stringify(line).includes("deadline"), 60_000);
  await until(
    "every update settled that can be",
    async () => (await process.status()).bots.every(({ name, backlog }) => backlog === 0 || name.startsWith("polled")),
    60_000,
  );
}

async function pagesOf(process: BotfleetProcess): Promise<Record<string, string>> {
  const pages: Record<string, string> = {};
  for (const page of ["/health", "/ready", "/metrics", "/status.json", "/", "/absent"]) {
    pages[page] = (await process.page(page)).text;
  }
  return pages;
}

function expectKept(where: string, text: string, secrets: readonly string[]): void {
  for (const secret of secrets) {
    const at = text.indexOf(secret);
    expect([where, at < 0 ? "" : text.slice(Math.max(0, at - 200), at + 10)]).toEqual([where, ""]);
  }
}

test.concurrent.each(["own", "fetch"])(
  "no secret in anything that is written, served or stored while every fault is played over %s",
  async (transport) => {
    const scene = await openScene(transport);
    const { simulator, dataDir, process } = scene;
    try {
      await playOut(scene);
      const pages = await pagesOf(process);
      process.kill("SIGTERM");
      expect(await process.exited).toBe(0);
      const { letters } = readInboxFile(dataDir);
      const { stdout, stderr } = process.output;
      // What is looked for could be found: answers are shown, with the token taken out, and every failing handler has its dead letter.
      expect(stdout.split(marker).length).toBeGreaterThan(faultKinds.length);
      expect(pages["/status.json"]).toContain(marker);
      expect(letters.length).toBeGreaterThanOrEqual(names.length - calls.length - 1);
      const secrets = simulator.tokens.flatMap((token) => [
        token,
        encodeURIComponent(token),
        token.slice(token.indexOf(":") + 1),
      ]);
      secrets.push(adminToken);
      expectKept("stdout", stdout, secrets);
      expectKept("stderr", stderr, secrets);
      for (const [page, text] of Object.entries(pages)) expectKept(page, text, secrets);
      for (const { error } of letters) expectKept("a dead letter", error, secrets);
      for (const file of readdirSync(dataDir)) expectKept(file, readFileSync(join(dataDir, file), "latin1"), secrets);
    } finally {
      await process[Symbol.asyncDispose]();
      await simulator.stop();
    }
  },
  150_000,
);
