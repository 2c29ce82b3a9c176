/** Fleets of botfleet processes over one Redis, under load, and what their load balancer is told meanwhile. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Verdict } from "../../src/ops/health.ts";
import type { Status } from "../../src/ops/status.ts";
import { createRig, isIdle, type Rig, until } from "../chaos/rig.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { unsettledIn } from "./redis-contents.ts";
import type { LiveRedis } from "./redis-server.ts";

export interface FleetRig extends Rig {
  /** Those that were begun, in that order. */
  readonly instances: readonly BotfleetProcess[];
  /** One more instance, on a folder of its own. */
  begin(env?: Readonly<Record<string, string>>): BotfleetProcess;
  /** Every instance (default: all that were begun) is ready and has its even share, as each of them sees it. */
  shared(of?: readonly BotfleetProcess[]): Promise<void>;
  /** Nothing waits, neither at Telegram nor in the inbox, and nothing is in work. */
  idle(redis: LiveRedis, maxMs?: number): Promise<void>;
}

export interface FleetRigOptions {
  readonly redisUrl: string;
  readonly bots: number;
  /** A file of chaos/fixtures. */
  readonly module: string;
}

/** Leases are moved one by one, ms. */
const sharedMaxMs = 30_000;

export async function createFleetRig({ redisUrl, bots, module }: FleetRigOptions): Promise<FleetRig> {
  const rig = await createRig({ bots });
  const instances: BotfleetProcess[] = [];
  return {
    ...rig,
    instances,
    begin(env) {
      const dataDir = join(rig.dataDir, String(instances.length));
      mkdirSync(dataDir);
      const instance = rig.spawn(module, { dataDir, env: { REDIS_URL: redisUrl, ...env } });
      instances.push(instance);
      return instance;
    },
    shared: (of = instances) => until("even shares", () => areEven(of), sharedMaxMs),
    async idle(redis, maxMs = 60_000) {
      await until("every update settled", () => isFleetIdle(rig, instances, redis), maxMs);
    },
  };
}

/** Nothing waits, neither at Telegram nor in the inbox, and nothing is in work. */
export async function isFleetIdle(
  { simulator }: Pick<Rig, "simulator">,
  instances: readonly BotfleetProcess[],
  redis: LiveRedis,
): Promise<boolean> {
  const idle = await Promise.all(instances.map((instance) => isIdle({ simulator }, instance)));
  // What one of them has stored the other one may not have seen yet.
  return idle.every(Boolean) && (await unsettledIn(redis)).length === 0;
}

/** Every instance is ready and has its even share, as each of them sees it. */
export async function areEven(instances: readonly BotfleetProcess[]): Promise<boolean> {
  return (await Promise.all(instances.map(isEven))).every(Boolean);
}

async function isEven(instance: BotfleetProcess): Promise<boolean> {
  const status = await instance.status();
  const { state, fleet } = status;
  if (state !== "running" || fleet === undefined) return false;
  const here = fleet.instances.filter((each) => each.state === "running");
  const isShared = (of: "bots" | "partitions"): boolean =>
    Math.max(...here.map((each) => each[of])) - Math.min(...here.map((each) => each[of])) <= 1;
  const owners = new Set(here.map(({ id }) => id));
  const areOwned = ownersIn(status).every(({ owner = "" }) => owners.has(owner));
  return areOwned && here.every(({ ready }) => ready) && isShared("bots") && isShared("partitions");
}

export interface Owned {
  readonly owner?: string;
  readonly epoch?: number;
}

/** Who has each partition and each bot, in an order that stays the same. */
export function ownersIn({ bots, fleet }: Status): readonly Owned[] {
  const partitions: readonly Owned[] = fleet?.partitions ?? [];
  return partitions.concat(bots).map(({ owner = "", epoch = 0 }) => ({ owner, epoch }));
}

/** What `/ready` answered from some time on. */
export interface Watched {
  /** Changes of the answer, in their order. */
  readonly answers: readonly { readonly atMs: number; readonly status: number; readonly codes: readonly string[] }[];
  /** Longest time that it took to answer, ms. */
  readonly slowestMs: number;
  stop(): Promise<void>;
}

/** How often `/ready` is asked, ms. */
const askEveryMs = 50;

/** Times are those of `performance.now()`. */
export function watchReady(instance: Pick<BotfleetProcess, "page">): Watched {
  const answers: Watched["answers"][number][] = [];
  const over = new AbortController();
  let slowestMs = 0;
  const ask = async (): Promise<void> => {
    const askedAtMs = performance.now();
    const { status, text } = await instance.page("/ready");
    const atMs = performance.now();
    slowestMs = Math.max(slowestMs, atMs - askedAtMs);
    const codes = (JSON.parse(text) as Verdict).reasons.map(({ code }) => code);
    const last = answers.at(-1);
    if (last?.status === status && last.codes.join() === codes.join()) return;
    answers.push({ atMs, status, codes });
  };
  const asking = (async () => {
    while (!over.signal.aborted) {
      await ask();
      await Bun.sleep(askEveryMs);
    }
  })();
  return {
    answers,
    get slowestMs() {
      return slowestMs;
    },
    async stop() {
      over.abort();
      await asking;
    },
  };
}

/** The value of a counter or gauge; 0 where the series is not there. */
export async function metricOf(instance: BotfleetProcess, series: string): Promise<number> {
  const { text } = await instance.page("/metrics");
  const line = text.split("\n").find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? 0);
}
