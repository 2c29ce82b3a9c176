/** `bun run start`, as an operator runs it, on everything an update can be: each is accounted for. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import type { Simulator } from "../../src/simulator/server.ts";
import { isIdle, until } from "../chaos/rig.ts";
import { areEven, isFleetIdle } from "../live/fleet-rig.ts";
import { describeLive } from "../live/live.ts";
import { own, redisServer } from "../live/programs.ts";
import { lettersIn, unsettledIn } from "../live/redis-contents.ts";
import { always } from "../live/redis-inbox-rig.ts";
import { LiveRedis } from "../live/redis-server.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { type InboxFile, readInboxFile } from "../support/inbox-file.ts";
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

/** Where the bots run. */
interface Home {
  /** Everything runs and has its share. */
  readonly processes: readonly BotfleetProcess[];
  isIdle(): Promise<boolean>;
  /** After its end. */
  contents(): Promise<InboxFile>;
}

for (const { name, texts, absent } of sets) {
  test.skipIf(absent !== undefined).concurrent(
    `three bots account for every update of ${name}${skipped(absent)}`,
    async () => {
      await using stage = await createStage();
      const process = await stage.spawn({ LOG_LEVEL: "debug" }).started;
      await expectAccounted(stage, texts(), {
        processes: [process],
        isIdle: () => isIdle(stage, process),
        contents: async () => readInboxFile(stage.dataDir),
      });
    },
    testMaxMs,
  );
}

describeLive("in a fleet of two", [own(redisServer)], () => {
  for (const { name, texts, absent } of sets) {
    test.skipIf(absent !== undefined).concurrent(
      `three bots account for every update of ${name}${skipped(absent)}`,
      async () => {
        const redis = await LiveRedis.start(always);
        try {
          await using stage = await createStage();
          const env = { LOG_LEVEL: "debug", REDIS_URL: redis.url };
          const spawned = ["one", "other"].map((folder) =>
            stage.spawn({ ...env, DATA_DIR: join(stage.folder, folder) }),
          );
          const processes = await Promise.all(spawned.map(({ started }) => started));
          await until("even shares", () => areEven(processes));
          await expectAccounted(stage, texts().filter(isSameAgain), {
            processes,
            isIdle: () => isFleetIdle(stage, processes, redis),
            contents: async () => ({ entries: await unsettledIn(redis), letters: await lettersIn(redis) }),
          });
        } finally {
          await redis.stop();
        }
      },
      testMaxMs,
    );
  }
});

async function expectAccounted(stage: Stage, texts: readonly string[], home: Home): Promise<void> {
  const { processes } = home;
  const deliveries = await Promise.all(fleet.map((bot) => deliveryFor(bot, texts)));
  for (const [index, { updates }] of deliveries.entries()) {
    for (const update of updates) stage.simulator.api.people.deliver(stage.botId(index), update);
  }
  await until("every update settled", () => home.isIdle(), settleMaxMs);

  await Promise.all(processes.map(expectHealthy));
  await expectCounted(processes, deliveries);
  for (const process of processes) {
    expectNoSecret(await everythingSaidBy(process), stage.simulator);
    expect(process.output.stderr).not.toContain("error");
    expect(process.output.stdout).not.toContain("BUN_CONFIG_MAX_HTTP_REQUESTS");
    process.kill("SIGTERM");
  }
  expect(await Promise.all(processes.map(({ exited }) => exited))).toEqual(processes.map(() => 0));
  expectLetters(stage, await home.contents(), deliveries);
}

async function expectHealthy(process: BotfleetProcess): Promise<void> {
  for (const path of ["/health", "/ready", "/metrics", "/status.json", "/"]) {
    expect([path, (await process.page(path)).status]).toEqual([path, 200]);
  }
}

/** The metrics say of each update what was to become of it. */
async function expectCounted(processes: readonly BotfleetProcess[], deliveries: readonly Delivery[]): Promise<void> {
  const letters = deliveries.reduce((sum, { dead, malformed }) => sum + dead.length + malformed.length, 0);
  let texts: readonly string[] = [];
  // Read from the store after its commit: a moment late. By whom the last one was buried.
  await until("the dead letters counted", async () => {
    texts = (await Promise.all(processes.map((process) => process.page("/metrics")))).map(({ text }) => text);
    return texts.some((text) => text.includes(`\nbotfleet_dead_letters ${letters}\n`));
  });
  const lines = texts.flatMap((text) => text.split("\n"));
  const count = (name: string, labels = ""): number => {
    const found = lines.filter((line) => line.startsWith(`botfleet_${name}${labels} `));
    return found.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
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
function expectLetters(stage: Stage, { entries, letters }: InboxFile, deliveries: readonly Delivery[]): void {
  expect(entries).toEqual([]);
  for (const [index, { dead, malformed }] of deliveries.entries()) {
    const its = letters.filter(({ bot }) => bot === stage.botId(index));
    const ids = its.flatMap(({ updateId }) => (updateId === null ? [] : [updateId]));
    expect(ids.toSorted((a, b) => a - b)).toEqual(dead.toSorted((a, b) => a - b));
    const bodies = its.flatMap(({ updateId, body }) => (updateId === null ? [body] : []));
    expect(bodies.toSorted()).toEqual(malformed.toSorted());
    for (const { updateId, error, attempts } of its) {
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

/** False where it holds a number such as 1e999: who received that has it still, who reads it back from the inbox has null. */
function isSameAgain(text: string): boolean {
  let isSame = true;
  JSON.parse(text, (_, value: unknown) => {
    if (typeof value === "number" && !Number.isFinite(value)) isSame = false;
    return value;
  });
  return isSame;
}

function skipped(absent: string | undefined): string {
  return absent === undefined ? "" : ` (skipped: ${absent})`;
}

function reasonOf(found: typeof corpus): string | undefined {
  return found.updates === undefined ? found.reason : undefined;
}
