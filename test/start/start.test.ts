/** `bun run start`, as an operator runs it, on everything an update can be: each is accounted for. */
import { expect, test } from "bun:test";
import type { Simulator } from "../../src/simulator/server.ts";
import { isIdle, until } from "../chaos/rig.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { readInboxFile } from "../support/inbox-file.ts";
import { corpusUpdates, hostileUpdates, ownUpdates } from "../support/updates.ts";
import { deliveryFor, type Delivery, fleet } from "./fleet.ts";
import { createStage, type Stage } from "./stage.ts";

const corpus = corpusUpdates();
/** The five attempts of an update that always fails take 80 s. */
const settleMaxMs = 120_000;
const testMaxMs = 150_000;

const sets = [
  {
    name: "the own set and the hostile one",
    texts: () => [...ownUpdates().map(({ text }) => text), ...hostileUpdates()],
  },
  {
    name: "the recorded updates",
    texts: () => (corpus.updates ?? []).map(({ text }) => text),
    absent: reasonOf(corpus),
  },
];

for (const { name, texts, absent } of sets) {
  test.skipIf(absent !== undefined).concurrent(
    `three bots account for every update of ${name}${absent === undefined ? "" : ` (skipped: ${absent})`}`,
    async () => {
      await using stage = await createStage();
      const deliveries = await Promise.all(fleet.map((bot) => deliveryFor(bot, texts())));
      await using process = await stage.spawn({ LOG_LEVEL: "debug" }).started;
      for (const [index, { updates }] of deliveries.entries()) {
        for (const update of updates) stage.simulator.api.people.deliver(stage.botId(index), update);
      }
      await until("every update settled", () => isIdle(stage, process), settleMaxMs);

      await expectHealthy(process);
      await expectCounted(process, deliveries);
      expectNoSecret(await everythingSaidBy(process), stage.simulator);
      expect(process.output.stderr).not.toContain("error");
      expect(process.output.stdout).not.toContain("BUN_CONFIG_MAX_HTTP_REQUESTS");
      process.kill("SIGTERM");
      expect(await process.exited).toBe(0);
      expectLetters(stage, deliveries);
    },
    testMaxMs,
  );
}

async function expectHealthy(process: BotfleetProcess): Promise<void> {
  for (const path of ["/health", "/ready", "/metrics", "/status.json", "/"]) {
    expect([path, (await process.page(path)).status]).toEqual([path, 200]);
  }
}

/** The metrics say of each update what was to become of it. */
async function expectCounted(process: BotfleetProcess, deliveries: readonly Delivery[]): Promise<void> {
  const letters = deliveries.reduce((sum, { dead, malformed }) => sum + dead.length + malformed.length, 0);
  let text = "";
  // Read from the store after its commit: a moment late.
  await until("the dead letters counted", async () => {
    ({ text } = await process.page("/metrics"));
    return text.includes(`\nbotfleet_dead_letters ${letters}\n`);
  });
  const count = (name: string, labels = ""): number => {
    const line = text.split("\n").find((found) => found.startsWith(`botfleet_${name}${labels} `));
    return Number(line?.split(" ").at(-1) ?? 0);
  };
  const counted = fleet.map(({ name }) => ({
    received: count("updates_received_total", `{bot="${name}"}`),
    duplicate: count("updates_duplicate_total", `{bot="${name}"}`),
    malformed: count("updates_malformed_total", `{bot="${name}"}`),
    done: count("updates_handled_total", `{bot="${name}"}`),
    undeliverable: count("updates_undeliverable_total", `{bot="${name}"}`),
    dead: count("updates_dead_total", `{bot="${name}"}`),
    retry: count("updates_retried_total", `{bot="${name}"}`),
    expired: count("updates_expired_total", `{bot="${name}"}`),
    backlog: count("backlog_updates", `{bot="${name}"}`),
  }));
  expect(counted).toEqual(
    deliveries.map(({ done, undeliverable, dead, expired, known, malformed, retries }) => ({
      received: done + undeliverable + dead.length + expired,
      duplicate: known,
      malformed: malformed.length,
      done,
      undeliverable,
      dead: dead.length,
      retry: retries,
      expired,
      backlog: 0,
    })),
  );
}

/** Every dead letter is one that was to be, and says why. */
function expectLetters(stage: Stage, deliveries: readonly Delivery[]): void {
  const { entries, letters } = readInboxFile(stage.dataDir);
  expect(entries).toEqual([]);
  for (const [index, { dead, malformed }] of deliveries.entries()) {
    const own = letters.filter(({ bot }) => bot === stage.botId(index));
    const ids = own.flatMap(({ updateId }) => (updateId === null ? [] : [updateId]));
    expect(ids.toSorted((a, b) => a - b)).toEqual(dead.toSorted((a, b) => a - b));
    const bodies = own.flatMap(({ updateId, body }) => (updateId === null ? [body] : []));
    expect(bodies.toSorted()).toEqual(malformed.toSorted());
    for (const { updateId, error, attempts } of own) {
      expect(error).toMatch(updateId === null ? /no usable update_id/ : /Error/);
      expect(attempts).toBe(updateId === null ? 0 : 5);
    }
  }
}

async function everythingSaidBy(process: BotfleetProcess): Promise<string> {
  const pages = ["/health", "/ready", "/metrics", "/status.json", "/"].map((path) => process.page(path));
  const texts = (await Promise.all(pages)).map(({ text }) => text);
  return [process.output.stdout, process.output.stderr, ...texts].join("\n");
}

function expectNoSecret(said: string, { tokens }: Simulator): void {
  for (const token of tokens) {
    const [id = "", secret = ""] = token.split(":");
    // The identity of a bot may be seen, and must be, or nothing was looked through.
    expect(said).toContain(id);
    expect(said).not.toContain(secret);
  }
}

function reasonOf(found: typeof corpus): string | undefined {
  return found.updates === undefined ? found.reason : undefined;
}
