/** A fleet under test: real Redis (AOF) and MongoDB, instances as processes of their own, a simulated Telegram in this process. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { toBotId, toLaneKey } from "../../src/ids.ts";
import { partitionOfLane } from "../../src/inbox/partitions.ts";
import { readMeta } from "../../src/inbox/redis-group.ts";
import { letterOf, seqOf, type StreamRow } from "../../src/inbox/redis-rows.ts";
import type { StoredLetter } from "../../src/inbox/store.ts";
import { base } from "../../src/redis/keys.ts";
import type { InstanceStatus } from "../../src/ops/status.ts";
import { type Simulator, startSimulator } from "../../src/simulator/server.ts";
import type { MongodbServer } from "../live/mongodb-process.ts";
import { startMongodbServer } from "../live/mongodb-server.ts";
import { always } from "../live/redis-inbox-rig.ts";
import { LiveRedis } from "../live/redis-server.ts";
import { type BotfleetProcess, type Ending, spawnBotfleet } from "../support/botfleet-process.ts";
import type { StoredUpdate } from "../support/inbox-file.ts";
import type { Kill } from "./answers.ts";
import { Polls } from "./polls.ts";
import { fixture, until } from "./rig.ts";

export interface FleetRigOptions {
  /** One bot each: `referral`, or a module of that name in `fixtures/`. */
  readonly modules: readonly string[];
}

/** A process of the fleet. */
export interface Instance {
  /** What its polls come from, see `PollEntry`. */
  readonly from: string;
  readonly process: BotfleetProcess;
  /** Its id in the fleet, once that is known. */
  readonly member: Promise<string>;
  knownAs: string | undefined;
}

/** What was left by an instance that was killed. */
export interface FleetKill extends Kill {
  /** A chat whose updates it handled. */
  had(bot: number, chat: number): boolean;
}

export class FleetRig {
  readonly simulator: Simulator;
  readonly redis: LiveRedis;
  readonly mongodb: MongodbServer;
  readonly polls: Polls;
  readonly #folder: string;
  readonly #botsFile: string;
  /** Those that were started and have not ended by `kill` or `end`. */
  readonly instances = new Set<Instance>();
  /** Ids of all that have ever told theirs, or whose ids were found when they were killed. */
  readonly #members = new Set<string>();
  #spawned = 0;

  private constructor(servers: Pick<FleetRig, "simulator" | "redis" | "mongodb">, modules: readonly string[]) {
    this.simulator = servers.simulator;
    this.redis = servers.redis;
    this.mongodb = servers.mongodb;
    this.polls = new Polls(servers.simulator.api.journal);
    this.#folder = mkdtempSync(join(tmpdir(), "botfleet-chaos-"));
    this.#botsFile = join(this.#folder, "bots.json");
    const bots = servers.simulator.tokens.map((token, at) => {
      const module = modules[at] ?? "";
      return {
        name: `bot-${at}`,
        token,
        module: module === "referral" ? module : fixture(module),
        limits: { engine: "off" },
      };
    });
    writeFileSync(this.#botsFile, JSON.stringify({ bots }));
  }

  static async create({ modules }: FleetRigOptions): Promise<FleetRig> {
    const [simulator, redis, mongodb] = await Promise.all([
      startSimulator({ bots: modules.length, historyPerChat: 20 }),
      LiveRedis.start(always),
      // Nobody kills it here.
      startMongodbServer({ isDurable: false }),
    ]);
    await endTransactionsSoon(mongodb);
    return new FleetRig({ simulator, redis, mongodb }, modules);
  }

  spawn(): Instance {
    const from = `/i${++this.#spawned}`;
    const dataDir = join(this.#folder, from);
    mkdirSync(dataDir);
    const process = spawnBotfleet({
      apiRoot: this.simulator.url + from,
      dataDir,
      env: {
        BOTS_FILE: this.#botsFile,
        RATE_LIMIT_ENABLED: "false",
        REDIS_URL: this.redis.url,
        REDIS_MIN_CONNECTIONS: "2",
        MONGODB_URI: `${this.mongodb.url}/botfleet`,
        MONGODB_MIN_POOL_SIZE: "2",
      },
    });
    const { promise: member, resolve, reject } = Promise.withResolvers<string>();
    // Whoever kills it before does not look at this.
    member.catch(() => undefined);
    const instance: Instance = { from, process, member, knownAs: undefined };
    this.instances.add(instance);
    this.#learn(instance).then(resolve, reject);
    return instance;
  }

  /** As many more, once all instances share everything evenly. */
  async start(count: number): Promise<void> {
    for (let n = 0; n < count; n++) this.spawn();
    await this.isEven();
  }

  /** Resolves when every bot and every partition is had by one of the instances, each as many as the others (±1). */
  async isEven(maxMs = 30_000): Promise<void> {
    const [first] = this.instances;
    if (first === undefined) throw new Error("no instance is there");
    const members = await Promise.all([...this.instances].map(({ member }) => member));
    const isShared = (of: readonly number[], all: number): boolean =>
      of.reduce((sum, each) => sum + each, 0) === all && Math.max(...of) - Math.min(...of) <= 1;
    await until(
      "an even share for everybody",
      async () => {
        const { fleet, bots } = await first.process.status();
        const shares = members.map((id) => fleet?.instances.find((each) => each.id === id));
        if (fleet === undefined || !shares.every(isAtWork)) return false;
        return (
          isShared(
            shares.map((share) => share.bots),
            bots.length,
          ) &&
          isShared(
            shares.map((share) => share.partitions),
            fleet.partitions.length,
          )
        );
      },
      maxMs,
    );
  }

  /** Resolves when every partition and every bot is had by one of these. */
  async isHad(by: Iterable<Instance> = this.instances, maxMs = 30_000): Promise<void> {
    const all = this.simulator.botIds.length + (await this.#partitions());
    await until(
      "an owner for everything",
      async () => {
        const living = new Set([...by].map(({ knownAs }) => knownAs));
        const owners = [...(await this.#owners()).values()];
        return owners.length === all && owners.every((id) => living.has(id));
      },
      maxMs,
    );
  }

  /** kill -9. Resolves when all it had sent has been received, with what it had then: nobody takes that over for seconds. */
  async kill(instance: Instance): Promise<FleetKill> {
    // Whatever nobody else has is then its own.
    const others = [...this.instances].filter((each) => each !== instance);
    if (instance.knownAs === undefined) await Promise.all(others.map(({ member }) => member));
    const at = Date.now();
    instance.process.kill("SIGKILL");
    const ending = await instance.process.exited;
    if (ending !== "SIGKILL") throw new Error(`it had ended with ${ending}: ${instance.process.output.stdout}`);
    this.instances.delete(instance);
    await this.#received();
    const overAt = Date.now();
    const owners = await this.#owners();
    const { knownAs } = instance;
    const isIts = (id: string): boolean => (knownAs === undefined ? !this.#members.has(id) : id === knownAs);
    const partitions = new Set(
      [...owners].flatMap(([name, id]) => (name.startsWith("p") && isIts(id) ? [Number(name.slice(1))] : [])),
    );
    for (const id of owners.values()) this.#members.add(id);
    const unsettled = await this.unsettled(partitions);
    const count = await this.#partitions();
    const had: FleetKill["had"] = (bot, chat) => partitions.has(partitionOfLane(toBotId(bot), toLaneKey(chat), count));
    return { at, overAt, unsettled, had };
  }

  /** SIGTERM. Resolves with how it ended. */
  async end(instance: Instance): Promise<Ending> {
    instance.process.kill("SIGTERM");
    this.instances.delete(instance);
    return await instance.process.exited;
  }

  /** As it stands in Redis, in the order of arrival within each partition. */
  async unsettled(partitions: Iterable<number>): Promise<readonly StoredUpdate[]> {
    const updates: StoredUpdate[] = [];
    for (const partition of partitions) {
      for (const row of (await this.redis.command("XRANGE", `${base}e${partition}`, "-", "+")) as StreamRow[]) {
        const [, meta = "", , body = "{}"] = row[1];
        const { bot, lane, updateId = -1 } = readMeta(meta);
        const { message } = JSON.parse(body) as { readonly message?: { readonly text?: string } };
        updates.push({ seq: seqOf(row), bot, updateId, lane, text: message?.text ?? null });
      }
    }
    return updates;
  }

  /** Resolves when nothing waits, neither at Telegram nor in the inbox. */
  async isIdle(maxMs = 120_000): Promise<void> {
    const partitions = await this.#partitions();
    await until(
      "every update settled",
      async () => {
        // In this order: what Telegram was told to forget is in the inbox.
        if ([...this.simulator.api.bots.values()].some(({ queue }) => queue.size > 0)) return false;
        for (let partition = 0; partition < partitions; partition++) {
          if (Number(await this.redis.command("XLEN", `${base}e${partition}`)) > 0) return false;
        }
        return true;
      },
      maxMs,
    );
  }

  async letters(): Promise<readonly StoredLetter[]> {
    return ((await this.redis.command("XRANGE", `${base}letters`, "-", "+")) as StreamRow[]).map(letterOf);
  }

  /** How often a bot was taken by an instance. */
  async takings(bot: number): Promise<number> {
    return Number(await this.redis.command("HGET", `${base}epochs`, `b${bot}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.instances].map(({ process }) => process[Symbol.asyncDispose]()));
    await this.simulator.stop();
    await this.redis.stop();
    await this.mongodb[Symbol.asyncDispose]();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #learn(instance: Instance): Promise<string> {
    const process = await instance.process.started;
    let id: string | undefined;
    await until("it has an id", async () => (id = (await process.status()).fleet?.self) !== undefined);
    instance.knownAs = id;
    this.#members.add(id ?? "");
    return id ?? "";
  }

  /** What has been sent before, by anybody, has arrived: a call of our own came in behind it. */
  async #received(): Promise<void> {
    for (let times = 0; times < 3; times++) {
      await Promise.all([fetch(`${this.simulator.url}/simulator/process`), this.redis.command("PING")]);
    }
  }

  /** `p<partition>` or `b<bot>` → id of the instance that has it, dead or alive. */
  async #owners(): Promise<ReadonlyMap<string, string>> {
    const cells = (await this.redis.command("HGETALL", `${base}claims`)) as readonly string[];
    const owners = new Map<string, string>();
    for (let at = 0; at < cells.length; at += 2) {
      const owner = /^\d+:(\w+)-/.exec(cells[at + 1] ?? "")?.[1];
      if (owner !== undefined) owners.set(cells[at] ?? "", owner);
    }
    return owners;
  }

  async #partitions(): Promise<number> {
    return Number(await this.redis.command("HGET", `${base}meta`, "partitions"));
  }
}

/** What an instance holds that dies in a transaction is free after seconds, not after a minute. */
async function endTransactionsSoon({ url }: MongodbServer): Promise<void> {
  await using client = new MongoClient(url);
  await client.db("admin").command({ setParameter: 1, transactionLifetimeLimitSeconds: 3 });
}

function isAtWork(instance: InstanceStatus | undefined): instance is InstanceStatus {
  return instance?.state === "running" && instance.ready;
}
