/**
 * The scaling guide's settings as it gives them, in a file that an operator pastes: with token and URLs added botfleet starts on them, and each line,
 * when it is changed, changes something that can be seen. Longer than other files because each line of the guide is one entry of the table.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { createStage, type Stage } from "../start/stage.ts";
import { isIdle } from "../chaos/rig.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { describeLive } from "./live.ts";
import type { MongodbServer } from "./mongodb-process.ts";
import { startMongodbServer } from "./mongodb-server.ts";
import { mongodbServer, own, redisServer } from "./programs.ts";
import { always } from "./redis-inbox-rig.ts";
import { until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(60_000);

const guide = `
MONGODB_MAX_POOL_SIZE=1000
MONGODB_MIN_POOL_SIZE=100
MONGODB_SOCKET_TIMEOUT_MS=30000
MONGODB_WAIT_QUEUE_TIMEOUT_MS=10000
REDIS_ENABLED=true
REDIS_MAX_CONNECTIONS=500
REDIS_MIN_CONNECTIONS=50
USER_CACHE_SIZE=500000
USER_CACHE_TTL_MS=600000
ENABLE_BATCH_PROCESSING=true
BATCH_SIZE=1000
ENABLE_UPDATE_DEDUPLICATION=true
ENABLE_QUERY_BATCHING=true
RATE_LIMIT_ENABLED=true
RATE_LIMIT_WINDOW_MS=60000
RATE_LIMIT_MAX_REQUESTS=100
ENABLE_PERFORMANCE_MONITORING=true
METRICS_COLLECTION_INTERVAL=60000
`;
const asGiven = Object.fromEntries(
  guide
    .trim()
    .split("\n")
    .map((line) => line.split("=") as [string, string]),
);

interface World {
  readonly stage: Stage;
  readonly mongodb: MongodbServer;
  readonly redis: LiveRedis;
  readonly botfleet: BotfleetProcess;
}

const people = 40;

function say({ stage: { simulator } }: World, person: number, text: string): void {
  simulator.api.people.person(person).say(simulator.botIds[0] ?? 0, text);
}

async function ask(world: World, person: number, text: string): Promise<string> {
  const { api, botIds } = world.stage.simulator;
  say(world, person, text);
  return (await api.people.waitForAnswer(botIds[0] ?? 0, person, undefined, { maxMs: 20_000 })).text ?? "";
}

/** Everybody registers at the same time. */
async function registerAll(world: World): Promise<void> {
  await Promise.all(Array.from({ length: people }, (_, at) => ask(world, 100 + at, "/start")));
}

async function metric({ botfleet }: World, series: string): Promise<number | undefined> {
  const { text } = await botfleet.page("/metrics");
  const line = text.split("\n").find((each) => each.startsWith(`botfleet_${series} `));
  return line === undefined ? undefined : Number(line.split(" ").at(-1));
}

/** Of the cache: inbox and leases have their own. */
async function redisConnections({ redis }: World): Promise<number> {
  return String(await redis.command("CLIENT", "LIST")).match(/name=botfleet-cache/g)?.length ?? 0;
}

const writes = 'mongodb_seconds_count{collection="users",operation="write"}';
const reads = 'mongodb_seconds_count{collection="users",operation="read"}';

/** MongoDB stands still while people write; resolves when botfleet says that it cannot be reached. */
async function whileFrozen(world: World, check: () => Promise<void>): Promise<void> {
  // There are connections that can be used.
  await registerAll(world);
  world.mongodb.freeze();
  try {
    // Not together: they would be one question.
    for (let person = 1; person <= 5; person++) {
      say(world, person, "/start");
      await Bun.sleep(100);
    }
    await check();
  } finally {
    world.mongodb.thaw();
  }
}

/** What is seen with the guide's line is given first, with the changed one behind it. */
const table: Readonly<
  Record<
    string,
    readonly [
      changed: Readonly<Record<string, string>>,
      see: (world: World) => Promise<unknown>,
      asGuided: unknown,
      asChanged: unknown,
    ]
  >
> = {
  MONGODB_MAX_POOL_SIZE: [
    { MONGODB_MAX_POOL_SIZE: "3", MONGODB_MIN_POOL_SIZE: "3" },
    async (world) => {
      const areMore = async () => ((await metric(world, 'mongodb_connections{state="open"}')) ?? 0) > 3;
      await registerAll(world);
      return await within(4_000, areMore);
    },
    true,
    false,
  ],
  MONGODB_MIN_POOL_SIZE: [
    { MONGODB_MIN_POOL_SIZE: "0" },
    async (world) => {
      const isFilled = async () => ((await metric(world, 'mongodb_connections{state="open"}')) ?? 0) >= 20;
      return await within(8_000, isFilled);
    },
    true,
    false,
  ],
  MONGODB_SOCKET_TIMEOUT_MS: [
    { MONGODB_SOCKET_TIMEOUT_MS: "300" },
    async (world) => {
      let isTold = false;
      await whileFrozen(world, async () => {
        isTold = await world.botfleet
          .line(({ msg }) => msg.startsWith("MongoDB cannot be reached"), 6_000)
          .then(
            () => true,
            () => false,
          );
      });
      return isTold;
    },
    false,
    true,
  ],
  MONGODB_WAIT_QUEUE_TIMEOUT_MS: [
    { MONGODB_WAIT_QUEUE_TIMEOUT_MS: "50", MONGODB_MAX_POOL_SIZE: "1", MONGODB_MIN_POOL_SIZE: "0" },
    async (world) => {
      let isTimedOut = false;
      await whileFrozen(world, async () => {
        const isSeen = async () => ((await metric(world, 'mongodb_checkout_failures_total{why="timeout"}')) ?? 0) > 0;
        isTimedOut = await within(4_000, isSeen);
      });
      return isTimedOut;
    },
    false,
    true,
  ],
  REDIS_ENABLED: [
    { REDIS_ENABLED: "false" },
    async (world) => {
      await ask(world, 5, "/start");
      return await within(3_000, async () => (await redisConnections(world)) > 0);
    },
    true,
    false,
  ],
  REDIS_MAX_CONNECTIONS: [
    { REDIS_MAX_CONNECTIONS: "4", REDIS_MIN_CONNECTIONS: "4" },
    async (world) => {
      await until(async () => (await redisConnections(world)) >= 4);
      await registerAll(world);
      return await within(4_000, async () => (await redisConnections(world)) > 4);
    },
    true,
    false,
  ],
  REDIS_MIN_CONNECTIONS: [
    { REDIS_MIN_CONNECTIONS: "2" },
    async (world) => {
      const isFilled = async () => (await redisConnections(world)) === 50;
      return await within(8_000, isFilled);
    },
    true,
    false,
  ],
  USER_CACHE_SIZE: [
    { USER_CACHE_SIZE: "10" },
    async (world) => {
      await registerAll(world);
      // Held from the first look on.
      await Promise.all(Array.from({ length: people }, (_, at) => ask(world, 100 + at, "/points")));
      await until(() => isIdle(world.stage, world.botfleet));
      return metric(world, 'cache_entries{tier="memory"}');
    },
    people,
    10,
  ],
  USER_CACHE_TTL_MS: [
    { USER_CACHE_TTL_MS: "1" },
    async (world) => {
      await ask(world, 5, "/start");
      for (let n = 0; n < 10; n++) await ask(world, 5, "/points");
      return ((await metric(world, 'cache_hits_total{tier="memory"}')) ?? 0) >= 5;
    },
    true,
    false,
  ],
  ENABLE_BATCH_PROCESSING: [
    { ENABLE_BATCH_PROCESSING: "false" },
    async (world) => {
      await registerAll(world);
      return (await metric(world, writes)) === people;
    },
    false,
    true,
  ],
  BATCH_SIZE: [
    { BATCH_SIZE: "1" },
    async (world) => {
      await registerAll(world);
      return (await metric(world, writes)) === people;
    },
    false,
    true,
  ],
  ENABLE_UPDATE_DEDUPLICATION: [
    { ENABLE_UPDATE_DEDUPLICATION: "false" },
    async ({ botfleet }) => botfleet.lines.some(({ msg }) => msg.startsWith("ENABLE_UPDATE_DEDUPLICATION is false")),
    false,
    true,
  ],
  ENABLE_QUERY_BATCHING: [
    { ENABLE_QUERY_BATCHING: "false" },
    async (world) => {
      await registerAll(world);
      return ((await metric(world, reads)) ?? 0) >= people;
    },
    false,
    true,
  ],
  RATE_LIMIT_ENABLED: [{ RATE_LIMIT_ENABLED: "false" }, (world) => answersTo(world, 103), 101, 103],
  RATE_LIMIT_MAX_REQUESTS: [{ RATE_LIMIT_MAX_REQUESTS: "3" }, (world) => answersTo(world, 6), 6, 4],
  RATE_LIMIT_WINDOW_MS: [
    { RATE_LIMIT_WINDOW_MS: "1000" },
    async (world) => {
      await answersTo(world, 101);
      await Bun.sleep(1_100);
      say(world, 5, "/points");
      const { api, botIds } = world.stage.simulator;
      const isAnswered = api.people.waitForAnswer(botIds[0] ?? 0, 5, undefined, { maxMs: 3_000 });
      return await isAnswered.then(
        () => true,
        () => false,
      );
    },
    false,
    true,
  ],
  ENABLE_PERFORMANCE_MONITORING: [
    { ENABLE_PERFORMANCE_MONITORING: "false" },
    async ({ botfleet }) => (await botfleet.page("/metrics")).text.includes("_bucket"),
    true,
    false,
  ],
  METRICS_COLLECTION_INTERVAL: [
    { METRICS_COLLECTION_INTERVAL: "1000" },
    async (world) => {
      await registerAll(world);
      const isCounted = async () => ((await metric(world, 'cache_entries{tier="redis"}')) ?? 0) > 20;
      return await within(5_000, isCounted);
    },
    false,
    true,
  ],
};

/** How many of so many messages of one person are answered, the polite refusal included. */
async function answersTo(world: World, count: number): Promise<number> {
  const { api, botIds } = world.stage.simulator;
  let answers = 0;
  const stop = api.journal.listen({ send: ({ chat, effect }) => void (answers += effect && chat === 5 ? 1 : 0) });
  for (let n = 0; n < count; n++) say(world, 5, "/points");
  await until(() => isIdle(world.stage, world.botfleet));
  stop();
  expect(botIds).toHaveLength(1);
  return answers;
}

async function within(maxMs: number, holds: () => Promise<boolean>): Promise<boolean> {
  const giveUpAt = performance.now() + maxMs;
  while (!(await holds())) {
    if (performance.now() > giveUpAt) return false;
    await Bun.sleep(50);
  }
  return true;
}

async function see(
  changed: Readonly<Record<string, string>>,
  look: (world: World) => Promise<unknown>,
): Promise<unknown> {
  await using mongodb = await startMongodbServer();
  const redis = await LiveRedis.start(always);
  try {
    await using stage = await createStage([{ name: "points", module: "referral" }]);
    const env = { ...asGiven, MONGODB_URI: mongodb.url, REDIS_URL: redis.url, ...changed };
    const botfleet = await stage.spawn(env).started;
    return await look({ stage, mongodb, redis, botfleet });
  } finally {
    await redis.stop();
  }
}

describeLive("the guide's settings", [own(mongodbServer), own(redisServer)], () => {
  test("are all in the table below", () => {
    expect(Object.keys(table).toSorted()).toEqual(Object.keys(asGiven).toSorted());
  });

  for (const [name, [changed, look, asGuided, asChanged]] of Object.entries(table)) {
    test(`${name}: botfleet starts on all of them, and a change of this one is seen`, async () => {
      const [guided, other] = await Promise.all([see({}, look), see(changed, look)]);
      expect([guided, other]).toEqual([asGuided, asChanged]);
    });
  }
});
