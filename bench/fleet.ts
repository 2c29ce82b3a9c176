/**
 * What a fleet does: instances that share a Redis inbox and MongoDB, all of them processes of their own on this machine.
 *
 *     bun run bench:fleet [--updates 15000] [--rounds 3] [--instances 3] [--in-flight 1000] [--only hot,cpu] [--json]
 *
 * 1. `hot`: one bot whose handlers wait 200 ms each, more messages in flight than all slots hold. Updates a second of `--instances` against those of one:
 *    a bot is polled by one instance, its updates are handled by all. `hotRatio`.
 * 2. `cpu`: CPU per update of the whole fleet, all processes and their threads, against the stock grammY-runner echo bot, which keeps nothing, in one
 *    run: an echo bot, and one that reads and changes its user with each message (in MongoDB). What the servers themselves cost is not in it.
 *    `echoRatio`, `usersRatio`.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { spawnMongodbServer } from "../test/live/mongodb-process.ts";
import { LiveRedis } from "../test/live/redis-server.ts";
import { ask, cpuUsOf, end, median, runLoad, start, startBotfleet, startSimulator, type Child } from "./processes.ts";

const { values } = parseArgs({
  options: {
    updates: { type: "string", default: "15000" },
    rounds: { type: "string", default: "3" },
    instances: { type: "string", default: "3" },
    "in-flight": { type: "string", default: "1000" },
    only: { type: "string", default: "hot,cpu" },
    json: { type: "boolean", default: false },
  },
});
const updates = Number(values.updates);
const rounds = Number(values.rounds);
const instances = Number(values.instances);
const peer = (name: string): string => join(import.meta.dir, "peers", `${name}.ts`);

interface Servers {
  readonly redis: LiveRedis;
  readonly mongodbUrl: string;
  readonly folder: string;
}

interface Side {
  readonly name: string;
  readonly botId: number;
  readonly processes: readonly Child[];
}

let fleets = 0;
const firstChat = 1;

/** Instances over an inbox and a database that nobody else uses, once each of them has its share. */
async function startFleet(
  { redis, mongodbUrl, folder }: Servers,
  simulator: { readonly url: string; readonly tokens: readonly string[] },
  module: string,
  count: number,
): Promise<Child[]> {
  const number = fleets++;
  const env = {
    REDIS_URL: `${redis.url}/${number}`,
    MONGODB_URI: mongodbUrl,
    MONGODB_DATABASE: `bench${number}`,
    MONGODB_MIN_POOL_SIZE: "2",
    REDIS_MIN_CONNECTIONS: "2",
  };
  const limits = { engine: "built-in", chatPerSecond: 1_000, chatBurst: 1_000 };
  const processes = Array.from({ length: count }, (_, at) => {
    const dataDir = join(folder, `${number}-${at}`);
    mkdirSync(dataDir);
    return startBotfleet(simulator, dataDir, limits, { module, env });
  });
  // Leases are spread one by one.
  await Bun.sleep(10_000);
  return processes;
}

interface Load {
  readonly chats: number;
  readonly inFlight: number;
}

async function measure(url: string, { name, botId, processes }: Side, { chats, inFlight }: Load) {
  const used = (): number => processes.reduce((sum, { pid }) => sum + cpuUsOf(pid), 0);
  const before = used();
  const startedAt = performance.now();
  const report = await runLoad(url, { bots: [botId], chats, firstChat, inFlight, total: updates });
  const perSecond = (updates / (performance.now() - startedAt)) * 1_000;
  await Bun.sleep(500);
  if (report.sent !== updates || report.lost + report.reordered + report.doubled > 0) {
    throw new Error(`${name} did not do its work: ${JSON.stringify(report)}`);
  }
  return { perSecond, cpuUs: (used() - before) / updates, p95Ms: report.latency.p95Ms };
}

async function hot(servers: Servers): Promise<number> {
  const perSecond: number[] = [];
  for (const count of [1, instances]) {
    const simulator = await startSimulator(1);
    const processes = await startFleet(servers, simulator, peer("waiting-echo"), count);
    try {
      const side = { name: `${count} instances`, botId: simulator.botIds[0] ?? 0, processes };
      const load = { chats: 20_000, inFlight: 8_000 };
      await measure(simulator.url, side, load);
      const rates: number[] = [];
      for (let round = 0; round < rounds; round++) rates.push((await measure(simulator.url, side, load)).perSecond);
      perSecond.push(median(rates));
      console.log(`${count} instances, handlers that wait 200 ms: ${Math.round(median(rates))} updates/s of one bot`);
    } finally {
      for (const process of processes) await end(process);
      await end(simulator.child);
    }
  }
  const [one = Number.NaN, all = Number.NaN] = perSecond;
  console.log(`ratio ${(all / one).toFixed(2)}`);
  return all / one;
}

async function cpu(servers: Servers) {
  const simulator = await startSimulator(3);
  const { url, tokens, botIds } = simulator;
  await ask(url, "settings", { delayMs: 0 });
  const only = (at: number) => ({ url, tokens: tokens.slice(at, at + 1) });
  const sides: Side[] = [
    {
      name: "stock echo",
      botId: botIds[0] ?? 0,
      processes: [start(["bench/peers/grammy-runner.ts"], { env: { TOKEN: tokens[0] ?? "", API_ROOT: url } })],
    },
    { name: "fleet, echo", botId: botIds[1] ?? 0, processes: await startFleet(servers, only(1), "echo", instances) },
    {
      name: "fleet, with its user",
      botId: botIds[2] ?? 0,
      processes: await startFleet(servers, only(2), peer("users-echo"), instances),
    },
  ];
  const figures = new Map<Side, number[]>(sides.map((side) => [side, []]));
  const load = { chats: 2_000, inFlight: Number(values["in-flight"]) };
  try {
    // Everybody is registered and the compilers of every process are done before anything counts.
    for (let warmUp = 0; warmUp < 6; warmUp++) for (const side of sides) await measure(url, side, load);
    for (let round = 0; round < rounds; round++) {
      for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
        figures.get(side)?.push((await measure(url, side, load)).cpuUs);
      }
    }
  } finally {
    for (const { processes } of sides) for (const process of processes) await end(process);
    await end(simulator.child);
  }
  const [stock = Number.NaN, echo = Number.NaN, users = Number.NaN] = [...figures.values()].map(median);
  for (const [side, of] of figures) console.log(`${side.name.padEnd(22)} ${median(of).toFixed(1)} µs CPU per update`);
  console.log(`ratio ${(echo / stock).toFixed(2)} (echo), ${(users / stock).toFixed(2)} (with its user)`);
  return { echoRatio: echo / stock, usersRatio: users / stock, stockUs: stock, echoUs: echo, usersUs: users };
}

const folder = mkdtempSync(join(tmpdir(), "botfleet-bench-"));
const redis = await LiveRedis.start(["--appendonly", "yes", "--appendfsync", "everysec"]);
await using mongodb = await spawnMongodbServer({ isDurable: false });
const servers = { redis, mongodbUrl: mongodb.url, folder };
const parts = new Set(values.only.split(","));
try {
  const hotRatio = parts.has("hot") ? await hot(servers) : undefined;
  const ratios = parts.has("cpu") ? await cpu(servers) : {};
  if (values.json) console.log(JSON.stringify({ hotRatio, ...ratios }));
} finally {
  await redis.stop();
  rmSync(folder, { recursive: true, force: true });
}
