/**
 * The fleet with everything around it faked: what each bot's state is, when its lanes are open, and that stop works at any moment. At the end,
 * once, 400 bots for real: a process, sockets and time as an operator has them. Longer than other files for its many moments of failure.
 */
import { describe, expect, test } from "bun:test";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { UserFromGetMe } from "grammy/types";
import { limits as allLimits } from "../config/limits.ts";
import { Fault } from "../src/faults.ts";
import { createFleet, type Fleet, type FleetBot } from "../src/fleet.ts";
import { type BotId, toBotId, toToken } from "../src/ids.ts";
import type { Appended, Inbox } from "../src/inbox/inbox.ts";
import type { Claim, Holder, Leases, Tenure } from "../src/leases/leases.ts";
import type { Log } from "../src/log.ts";
import type { Handler } from "../src/pipeline-options.ts";
import type { PollerPhase } from "../src/poller-state.ts";
import type { Room } from "../src/room.ts";
import type { Answer } from "../src/telegram/answers.ts";
import { startSimulator } from "../src/simulator/server.ts";
import type { Client } from "../src/telegram/client.ts";
import { startBotfleetProcess } from "./support/botfleet-process.ts";
import { readExposition } from "./support/exposition.ts";
import { FakeClock, settled } from "./support/fake-clock.ts";

type Step = Answer | Error | "hang";

const intervalMs = 100;
const handler: Handler = { handle: () => Promise.resolve() };
const ok = (result: unknown): Answer => ({ ok: true, result });
const no = (code: number, description: string): Answer => ({ ok: false, error_code: code, description });
const unauthorized = no(401, "Unauthorized");
const conflict = no(409, "Conflict: terminated by other getUpdates request");
const outage = new Fault("unavailable", "no answer (closed ECONNRESET)");

interface FakeBot {
  /** What the next calls get, the last one again and again; then getMe succeeds and a poll stays open. */
  readonly getMe: Step[];
  readonly getUpdates: Step[];
  createHandler: (me: UserFromGetMe) => Promise<Handler>;
  hasRoom: boolean;
}

class World {
  readonly clock = new FakeClock();
  readonly bots: readonly FakeBot[];
  /** Bots whose lanes are open. */
  readonly open = new Set<BotId>();
  /** Every opening and closing, such as `open 1`. */
  readonly gates: string[] = [];
  /** Calls by bot. */
  readonly calls = new Map<number, string[]>();
  /** Numbers of the bots that have a call open. */
  readonly waiting = new Set<number>();
  readonly logged: string[] = [];
  append: () => Promise<Appended> = () => Promise.resolve({ stored: 1, known: 0, malformed: 0 });
  /** Bots whose right to poll has not come. */
  readonly unclaimed = new Set<number>();
  readonly claims = new Map<number, { isValid: boolean; isLost: boolean }>();
  readonly tenures = new Map<number, Tenure>();
  doubts = 0;
  leasesStopped = 0;
  private made: Fleet | undefined;
  private holder: Holder | undefined;

  constructor(count: number) {
    this.bots = Array.from({ length: count }, () => ({
      getMe: [],
      getUpdates: [],
      createHandler: () => Promise.resolve(handler),
      hasRoom: true,
    }));
  }

  get fleet(): Fleet {
    return (this.made ??= this.build());
  }

  start(): Promise<void> {
    this.fleet.start();
    return settled();
  }

  phases(): PollerPhase[] {
    return this.fleet.bots().map(({ poller }) => poller.phase);
  }

  /** Of bot `number` (from 1). */
  polls(number: number): number {
    return (this.calls.get(number) ?? []).filter((method) => method === "getUpdates").length;
  }

  private build(): Fleet {
    const write =
      (level: string) =>
      (message: string): void =>
        void this.logged.push(`${level}: ${message}`);
    const log: Log = {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      child: () => log,
    };
    return createFleet({
      bots: this.bots.map((bot, index) => this.fleetBot(index + 1, bot)),
      inbox: { append: () => this.append() } as unknown as Inbox,
      pipeline: {
        setHandler: (bot, given) => {
          if ((given !== undefined) === this.open.has(bot)) return;
          this.gates.push(`${given === undefined ? "close" : "open"} ${bot}`);
          if (given === undefined) this.open.delete(bot);
          else this.open.add(bot);
        },
        room: (bot) => this.room(this.bots[bot - 1] as FakeBot),
        open: () => {
          throw new Error("no partition is claimed");
        },
      },
      nameOf: (partition) => partition,
      beforeGivenBack: async () => {},
      leases: this.leases(),
      clock: this.clock,
      random: () => 0.5,
      limits: { ...allLimits.poller, startIntervalMs: intervalMs },
      log,
    });
  }

  /** Gives the right to poll a bot. */
  claim(number: number): void {
    const state = { isValid: true, isLost: false };
    const claim: Claim = { token: "", valid: () => state.isValid && !state.isLost, lost: () => state.isLost };
    this.claims.set(number, state);
    const tenure = this.holder?.bot({ bot: toBotId(number), ...claim });
    if (tenure !== undefined) this.tenures.set(number, tenure);
  }

  /** Changes what a claim says, and tells. */
  async change(number: number, change: Partial<{ isValid: boolean; isLost: boolean }>): Promise<void> {
    Object.assign(this.claims.get(number) ?? {}, change);
    this.tenures.get(number)?.changed();
    await settled();
  }

  private leases(): Leases {
    return {
      start: (holder) => {
        this.holder = holder;
        for (const at of this.bots.keys()) if (!this.unclaimed.has(at + 1)) this.claim(at + 1);
      },
      doubt: () => void this.doubts++,
      stop: async () => {
        await Promise.all([...this.tenures.values()].map((tenure) => tenure.release()));
        this.leasesStopped++;
      },
    };
  }

  private fleetBot(number: number, bot: FakeBot): FleetBot {
    return {
      id: toBotId(number),
      name: `bot-${number}`,
      client: this.client(number, bot),
      updates: ["message"],
      createHandler: (me) => bot.createHandler(me),
      events: { onPoll() {}, onAppended() {}, onAppendFailed() {}, onFenced() {} },
    };
  }

  private room(bot: FakeBot): Room {
    return {
      ready: () => bot.hasRoom,
      wait: (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true })),
    };
  }

  private client(number: number, bot: FakeBot): Client {
    const calls: string[] = [];
    this.calls.set(number, calls);
    return {
      token: toToken(`${number}:AAsecretsecretsecretsecret`) as NonNullable<ReturnType<typeof toToken>>,
      exchange: (method, _payload, { signal } = {}) => {
        calls.push(method);
        const steps = method === "getMe" ? bot.getMe : bot.getUpdates;
        const step = steps.length > 1 ? steps.shift() : steps[0];
        if (step instanceof Error) return Promise.reject(step);
        if (step !== undefined && step !== "hang") return Promise.resolve(step);
        if (method === "getMe" && step === undefined) {
          return Promise.resolve(ok({ id: number, is_bot: true, first_name: "A", username: `a${number}_bot` }));
        }
        this.waiting.add(number);
        return new Promise((_, reject) => {
          const end = (): void => {
            this.waiting.delete(number);
            reject(new Fault("attempt_revoked", "called off"));
          };
          signal?.addEventListener("abort", end, { once: true });
        });
      },
      transformer: () => Promise.reject(new Error("not for the fleet")),
      apiOptions: {},
    };
  }
}

test("bots start one after another, and each one's lanes open once Telegram has told who it is", async () => {
  const world = new World(3);
  await world.start();
  expect(world.phases()).toEqual(["polling", "starting", "starting"]);
  expect([...world.open]).toEqual([toBotId(1)]);
  await world.clock.advance(intervalMs - 1);
  expect(world.calls.get(2)).toEqual([]);
  await world.clock.advance(1);
  expect(world.phases()).toEqual(["polling", "polling", "starting"]);
  await world.clock.advance(intervalMs);
  expect(world.gates).toEqual(["open 1", "open 2", "open 3"]);
  expect(world.fleet.bots().map(({ id, name }) => [id as number, name])).toEqual([
    [1, "bot-1"],
    [2, "bot-2"],
    [3, "bot-3"],
  ]);
  await world.fleet.stop();
});

describe("the other bots go on as if nothing were", () => {
  const expectOthersUnharmed = async (world: World): Promise<void> => {
    await world.clock.advance(3_600_000);
    expect([world.phases()[0], world.phases()[2]]).toEqual(["polling", "polling"]);
    expect([world.open.has(toBotId(1)), world.open.has(toBotId(3))]).toEqual([true, true]);
    expect(world.gates.filter((gate) => !gate.endsWith("2"))).toEqual(["open 1", "open 3"]);
    expect([world.calls.get(1), world.calls.get(3)]).toEqual([
      ["getMe", "getUpdates"],
      ["getMe", "getUpdates"],
    ]);
  };
  const second = (world: World): FakeBot => world.bots[1] as FakeBot;

  test("when a token is refused from the start: that bot is disabled and said so, its lanes stay closed, it is tried again", async () => {
    const world = new World(3);
    second(world).getMe.push(unauthorized);
    await world.start();
    await expectOthersUnharmed(world);
    expect(world.fleet.bots()[1]?.poller).toMatchObject({ phase: "disabled" });
    expect(world.fleet.bots()[1]?.poller.error).toContain("@BotFather");
    expect(world.open.has(toBotId(2))).toBe(false);
    expect(world.logged.filter((line) => line === "warn: token refused")).toHaveLength(1);
    // After 1, 2, 5 and then every 10 minutes.
    expect(world.calls.get(2)?.length).toBe(1 + 3 + 5);
    second(world).getMe.splice(0);
    await world.clock.advance(600_000);
    expect([world.phases()[1], world.open.has(toBotId(2))]).toEqual(["polling", true]);
    await world.fleet.stop();
  });

  test("when a token is refused later: that bot's lanes close, and open once Telegram takes it again", async () => {
    const world = new World(3);
    second(world).getUpdates.push(ok([{ update_id: 1, message: {} }]), unauthorized);
    await world.start();
    await expectOthersUnharmed(world);
    expect([world.phases()[1], world.open.has(toBotId(2))]).toEqual(["disabled", false]);
    second(world).getUpdates.splice(0, Infinity, ok([]), "hang");
    await world.clock.advance(602_000);
    expect([world.phases()[1], world.open.has(toBotId(2))]).toEqual(["polling", true]);
    expect(world.gates.filter((gate) => gate.endsWith("2"))).toEqual(["open 2", "close 2", "open 2"]);
    await world.fleet.stop();
  });

  test("when another program polls a bot for ever: it waits and goes on, its lanes stay open", async () => {
    const world = new World(3);
    second(world).getUpdates.push(conflict);
    await world.start();
    await expectOthersUnharmed(world);
    expect([world.phases()[1], world.open.has(toBotId(2))]).toEqual(["waiting", true]);
    expect(world.polls(2)).toBeGreaterThan(100);
    expect(world.polls(2)).toBeLessThan(200);
    // An hour of it is one line of the log that anyone reads.
    expect(world.logged.filter((line) => line.startsWith("warn"))).toEqual(["warn: polling failed"]);
    await world.fleet.stop();
  });

  test("when a module cannot be built: that bot stops with the reason, its lanes never open", async () => {
    const world = new World(3);
    second(world).createHandler = () => Promise.reject(new Fault("module_invalid", "Module shop.ts: it is broken."));
    await world.start();
    await expectOthersUnharmed(world);
    const { poller } = world.fleet.bots()[1] ?? {};
    expect(poller).toMatchObject({ phase: "stopped" });
    expect(poller?.error).toContain("cannot be built");
    expect([...world.waiting]).toEqual([1, 3]);
    expect(world.gates).not.toContain("open 2");
    expect(world.logged.filter((line) => line.startsWith("error"))).toHaveLength(1);
    await world.fleet.stop();
  });

  test("when a module throws at once instead of rejecting", async () => {
    const world = new World(3);
    second(world).createHandler = () => {
      throw new Error("no");
    };
    await world.start();
    await expectOthersUnharmed(world);
    expect(world.phases()[1]).toBe("stopped");
    await world.fleet.stop();
  });

  test("when a module takes for ever: the bot polls meanwhile, its lanes stay closed", async () => {
    const world = new World(3);
    second(world).createHandler = () => new Promise(() => {});
    await world.start();
    await expectOthersUnharmed(world);
    expect([world.phases()[1], world.open.has(toBotId(2))]).toEqual(["polling", false]);
    await world.fleet.stop();
  });

  test("when a right to poll does not come: the bot is known, its lanes open, for what others poll", async () => {
    const world = new World(3);
    world.unclaimed.add(2);
    await world.start();
    await expectOthersUnharmed(world);
    expect([world.phases()[1], world.open.has(toBotId(2)), world.polls(2)]).toEqual(["elsewhere", true, 0]);
    world.claim(2);
    await settled();
    expect([world.phases()[1], world.polls(2)]).toEqual(["polling", 1]);
    await world.fleet.stop();
  });

  test("when the right to poll is lost: that bot alone is polled no more, its lanes stay open", async () => {
    const world = new World(3);
    await world.start();
    await world.clock.advance(5_000);
    await world.change(2, { isLost: true });
    await expectOthersUnharmed(world);
    expect([world.phases()[1], world.open.has(toBotId(2)), world.polls(2)]).toEqual(["elsewhere", true, 1]);
    expect(world.logged).toContain("warn: another instance polls this bot now");
    await world.fleet.stop();
  });

  test("when the right to poll is not confirmed for a while: its poll ends, and goes on with the right", async () => {
    const world = new World(3);
    await world.start();
    await world.clock.advance(5_000);
    await world.change(2, { isValid: false });
    await expectOthersUnharmed(world);
    expect([world.phases()[1], world.polls(2)]).toEqual(["waiting", 1]);
    await world.change(2, { isValid: true });
    expect([world.phases()[1], world.polls(2)]).toEqual(["polling", 2]);
    await world.fleet.stop();
  });
});

test("what says that another instance may have a bot is asked about: a conflict, a fenced append", async () => {
  const world = new World(2);
  world.bots[0]?.getUpdates.push(conflict, "hang");
  world.bots[1]?.getUpdates.push(ok([{ update_id: 1, message: {} }]), "hang");
  world.append = () => Promise.reject(new Fault("inbox_fenced", "another instance polls this bot"));
  await world.start();
  expect(world.doubts).toBe(1);
  await world.clock.advance(intervalMs);
  expect(world.doubts).toBe(2);
  await world.fleet.stop();
});

describe("stop ends a bot", () => {
  const never = new Promise<never>(() => {});
  const until: Readonly<Record<string, (world: World, bot: FakeBot) => void | Promise<void>>> = {
    "that has not had its turn to start": () => {},
    "whose right to poll has not come": async (world) => {
      await world.clock.advance(intervalMs);
      await world.change(2, { isLost: true });
    },
    "whose getMe hangs": (world, bot) => {
      bot.getMe.push("hang");
      return world.clock.advance(intervalMs);
    },
    "that waits for its next getMe": (world, bot) => {
      bot.getMe.push(outage);
      return world.clock.advance(60_000);
    },
    "whose token is refused": (world, bot) => {
      bot.getMe.push(unauthorized);
      return world.clock.advance(60_000);
    },
    "whose module is being built": (world, bot) => {
      bot.createHandler = () => never;
      return world.clock.advance(intervalMs);
    },
    "whose module could not be built": (world, bot) => {
      bot.createHandler = () => Promise.reject(new Error("no"));
      return world.clock.advance(intervalMs);
    },
    "whose poll is open": (world) => world.clock.advance(60_000),
    "that waits for its next poll": (world, bot) => {
      bot.getUpdates.push(outage);
      return world.clock.advance(60_000);
    },
    "that has no room": (world, bot) => {
      bot.hasRoom = false;
      return world.clock.advance(60_000);
    },
    "whose batch is refused by the inbox": (world, bot) => {
      bot.getUpdates.push(ok([{ update_id: 1, message: {} }]));
      world.append = () => Promise.reject(new Fault("inbox_refused", "disk full"));
      return world.clock.advance(60_000);
    },
  };

  for (const [when, arrange] of Object.entries(until)) {
    test(when, async () => {
      const world = new World(2);
      await world.start();
      await arrange(world, world.bots[1] as FakeBot);
      let stopped = false;
      void world.fleet.stop().then(() => (stopped = true));
      await settled();
      expect(stopped).toBe(true);
      expect([world.clock.pending(), world.leasesStopped]).toEqual([0, 1]);
      // Nothing of it happens afterwards.
      const [gates, calls] = [world.gates.length, world.calls.get(2)?.length];
      await world.clock.advance(3_600_000);
      expect([world.gates.length, world.calls.get(2)?.length]).toEqual([gates, calls]);
    });
  }

  test("not before its append has ended, and does not open the lanes of a module that is built too late", async () => {
    const world = new World(2);
    const bot = world.bots[1] as FakeBot;
    const module = Promise.withResolvers<Handler>();
    const append = Promise.withResolvers<Appended>();
    bot.getUpdates.push(ok([{ update_id: 1, message: {} }]), "hang");
    bot.createHandler = () => module.promise;
    await world.start();
    world.append = () => append.promise;
    await world.clock.advance(intervalMs);
    let stopped = false;
    void world.fleet.stop().then(() => (stopped = true));
    await settled();
    expect([stopped, world.leasesStopped]).toEqual([false, 0]);
    append.resolve({ stored: 1, known: 0, malformed: 0 });
    module.resolve(handler);
    await settled();
    expect([stopped, world.leasesStopped]).toEqual([true, 1]);
    expect(world.gates).toEqual(["open 1"]);
  });
});

/** CPU time that the system charged to a process so far, ms, and its resident memory, MB; undefined where the system does not say. */
async function costOf(pid: number): Promise<{ readonly cpuMs: number; readonly rssMb: number } | undefined> {
  try {
    const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ") ?? [];
    const rss = /VmRSS:\s+(\d+) kB/.exec(await readFile(`/proc/${pid}/status`, "utf8"));
    return { cpuMs: (Number(fields[11]) + Number(fields[12])) * 10, rssMb: Math.round(Number(rss?.[1]) / 1_024) };
  } catch {
    return undefined; // Not Linux: the figures are for the reader, the test does not need them.
  }
}

async function eventually(isTrue: () => boolean, maxMs: number): Promise<boolean> {
  for (const endMs = performance.now() + maxMs; !isTrue(); await Bun.sleep(50))
    if (performance.now() > endMs) return false;
  return true;
}

test("400 bots in one real process all poll within 60 s at the default spread, are answered, and stop in order", async () => {
  const count = 400;
  const folder = await mkdtemp(join(tmpdir(), "botfleet-fleet-"));
  const simulator = await startSimulator({ bots: count });
  try {
    const file = join(folder, "bots.json");
    const bots = simulator.tokens.map((token, at) => ({ name: `shop-${at}`, token, module: "echo" }));
    await writeFile(file, JSON.stringify({ bots }));
    const startedAt = performance.now();
    await using botfleet = await startBotfleetProcess({
      apiRoot: simulator.url,
      dataDir: join(folder, "data"),
      env: { BOTS_FILE: file },
    });
    const { api, botIds, tokens } = simulator;
    const polling = (): number => botIds.filter((id) => api.bot(id).poll.waiting).length;
    expect(await eventually(() => polling() === count, 60_000)).toBe(true);
    const pollingAfterMs = Math.round(performance.now() - startedAt);
    const cost = await costOf(botfleet.pid);
    for (const token of tokens) api.people.person(7).say(token, "hello");
    expect(await eventually(() => api.journal.counts().sendsOk === count, 20_000)).toBe(true);
    const scrapedAt = performance.now();
    const { text } = await botfleet.page("/metrics");
    const scrapeMs = Math.round(performance.now() - scrapedAt);
    const connections = simulator.connections();
    console.log("400 bots", { pollingAfterMs, ...cost, connections, scrapeMs, metricsBytes: text.length });
    expect(readExposition(text).get("botfleet_updates_received_total")?.samples).toHaveLength(count);
    // What a scraper takes every few seconds must not grow unseen.
    expect(text.length).toBeLessThan(count * 2_000);
    const ready = await botfleet.page("/ready");
    expect(ready.status).toBe(200);
    botfleet.kill("SIGTERM");
    expect(await botfleet.exited).toBe(0);
  } finally {
    await simulator.stop();
    await rm(folder, { recursive: true, force: true });
  }
}, 120_000);
