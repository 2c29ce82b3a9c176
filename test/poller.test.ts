/** What the poller promises. Longer than other files because the promises of one part belong side by side. */
import { expect, test } from "bun:test";
import { Fault } from "../src/faults.ts";
import { toBotId, toToken } from "../src/ids.ts";
import type { Update } from "../src/ids.ts";
import type { BotClaim } from "../src/leases/leases.ts";
import type { Appended } from "../src/inbox/inbox.ts";
import { createPoller } from "../src/poller.ts";
import type { Poller, PollerEvents, PollerOptions } from "../src/poller.ts";
import type { Room } from "../src/room.ts";
import type { Answer } from "../src/telegram/answers.ts";
import type { Client } from "../src/telegram/client.ts";
import { FakeClock, settled } from "./support/fake-clock.ts";

const limits = {
  pollTimeoutS: 30,
  pollMaxUpdates: 100,
  pollGraceMs: 10_000,
  retryFirstMs: 600,
  retryCapMs: 30_000,
  conflictWaitMs: 3_000,
  disabledWaitsMs: [60_000, 120_000, 300_000, 600_000],
};

type Method = "getMe" | "getUpdates" | "deleteWebhook";
/** What Telegram does with a request. */
type Step = Answer | Error;

const me = { id: 4242, is_bot: true, first_name: "A", username: "a_bot" };
const ok = (result: unknown): Answer => ({ ok: true, result });
const no = (code: number, description: string, parameters?: { retry_after: number }): Answer => ({
  ok: false,
  error_code: code,
  description,
  ...(parameters && { parameters }),
});
const updates = (...ids: unknown[]): Answer => ok(ids.map((id) => ({ update_id: id, message: {} })));
const stored: Appended = { stored: 1, known: 0, malformed: 0 };
const outage = new Fault("unavailable", "Bot 4242: no answer to getUpdates (closed ECONNRESET).");

class World {
  readonly clock = new FakeClock();
  readonly sent: { method: string; payload: Record<string, unknown>; atMs: number; maxMs: number | undefined }[] = [];
  /** What the next requests get; afterwards: getMe and deleteWebhook succeed, a poll stays open until it is aborted. */
  readonly answers: Record<Method, Step[]>;
  readonly appended: unknown[][] = [];
  append: () => Promise<Appended> = () => Promise.resolve(stored);
  valid = true;
  isLost = false;
  readonly claim: BotClaim = {
    bot: toBotId(4242),
    token: "",
    valid: () => this.valid && !this.isLost,
    lost: () => this.isLost,
  };
  room: { ready: Room["ready"]; wait: Room["wait"] } = {
    ready: () => true,
    wait: (): Promise<void> => Promise.resolve(),
  };
  readonly told: string[] = [];
  readonly options: PollerOptions;
  readonly poller: Poller;

  constructor(answers: Partial<Record<Method, Step[]>> = {}, events: Partial<PollerEvents> = {}) {
    this.answers = { getMe: [], getUpdates: [], deleteWebhook: [], ...answers };
    this.options = {
      name: "shop",
      client: this.client(),
      inbox: {
        append: async (_, batch) => {
          this.appended.push(batch.map((update: Update | null) => update?.update_id));
          return { ...(await this.append()), malformed: 0 };
        },
      },
      allowedUpdates: ["message", "chat_member"],
      room: { ready: () => this.room.ready(), wait: (signal) => this.room.wait(signal) },
      clock: this.clock,
      random: () => 0.5,
      limits,
      events: {
        onPoll: (outcome, count) => this.told.push(count === 0 ? outcome : `${outcome} ${count}`),
        onAppended: (appended) => this.told.push(`appended ${appended.stored}+${appended.known}`),
        onAppendFailed: () => this.told.push("append failed"),
        onState: ({ phase }) => this.told.push(`> ${phase}`),
        onFenced: () => this.told.push("fenced"),
        onRestart: (words) => this.told.push(`restart: ${words}`),
        ...events,
      },
    };
    this.poller = createPoller(this.options);
    this.poller.hold({
      bot: toBotId(4242),
      token: "",
      valid: () => this.valid && !this.isLost,
      lost: () => this.isLost,
    });
  }

  private client(): Client {
    return {
      token: toToken("4242:AAsecretsecretsecretsecret") as NonNullable<ReturnType<typeof toToken>>,
      exchange: (method, payload, { signal, maxMs } = {}) => {
        this.sent.push({ method, payload: payload as Record<string, unknown>, atMs: this.clock.monotonic(), maxMs });
        const step = this.answers[method as Method].shift();
        if (step instanceof Error) return Promise.reject(step);
        if (step !== undefined) return Promise.resolve(step);
        if (method === "getMe") return Promise.resolve(ok(me));
        if (method === "deleteWebhook") return Promise.resolve(ok(true));
        return new Promise((_, reject) => {
          signal?.addEventListener("abort", () => reject(new Fault("attempt_revoked", "called off")));
        });
      },
      transformer: () => Promise.reject(new Error("not for the poller")),
      apiOptions: {},
    };
  }

  /** Starts the poller and lets everything happen that needs no time. */
  async start(): Promise<this> {
    void this.poller.start();
    await settled();
    return this;
  }

  polls(): typeof this.sent {
    return this.sent.filter(({ method }) => method === "getUpdates");
  }

  offsets(): unknown[] {
    return this.polls().map(({ payload }) => payload["offset"]);
  }

  /** Times between the polls, ms. */
  gapsMs(): number[] {
    return this.polls().flatMap(({ atMs }, at, all) => (at === 0 ? [] : [atMs - (all[at - 1]?.atMs ?? 0)]));
  }
}

test("a poll asks for 100 updates of the declared kinds from offset 0, and may take its timeout and a grace", async () => {
  const world = await new World().start();
  expect(world.sent.map(({ method }) => method)).toEqual(["getMe", "getUpdates"]);
  expect(world.sent[1]).toMatchObject({
    payload: { offset: 0, limit: 100, timeout: 30, allowed_updates: ["message", "chat_member"] },
    maxMs: 40_000,
  });
  expect(world.poller.state()).toMatchObject({ phase: "polling", error: undefined, polledAt: undefined });
});

test("start resolves with the bot, and keeps asking until Telegram has told who it is", async () => {
  const world = new World({ getMe: [outage, no(500, "Internal"), no(429, "Too Many Requests", { retry_after: 7 })] });
  const started = world.poller.start();
  await world.clock.advance(30_000);
  expect(await started).toMatchObject({ username: "a_bot" });
  expect(world.sent.filter(({ method }) => method === "getMe")).toHaveLength(4);
  expect(world.sent.at(-1)?.method).toBe("getUpdates");
});

test("start resolves with undefined where the poller is stopped before the bot is known", async () => {
  const world = new World({ getMe: Array.from({ length: 50 }, () => outage) });
  const started = world.poller.start();
  await world.clock.advance(5_000);
  expect(world.poller.state().phase).toBe("waiting");
  await world.poller.stop();
  expect(await started).toBeUndefined();
  expect(world.poller.state().phase).toBe("stopped");
  expect(world.clock.pending()).toBe(0);
});

test("the next offset is the last id of this batch plus one, also after the numbers fell", async () => {
  const world = await new World({ getUpdates: [updates(7, 8, 9), updates(500), updates(3, 4)] }).start();
  expect(world.offsets()).toEqual([0, 10, 501, 5]);
  expect(world.appended).toEqual([[7, 8, 9], [500], [3, 4]]);
  expect(world.told).toContain("updates 3");
  expect(world.told).toContain("appended 1+0");
});

test("the next offset is not sent while the inbox is still writing", async () => {
  const world = new World({ getUpdates: [updates(7)] });
  const written = Promise.withResolvers<Appended>();
  world.append = () => written.promise;
  await world.start();
  await world.clock.advance(60_000);
  expect(world.offsets()).toEqual([0]);
  written.resolve(stored);
  await settled();
  expect(world.offsets()).toEqual([0, 8]);
});

test("after a failed append the same offset is polled again, each time later, never within 600 ms", async () => {
  const world = new World({ getUpdates: Array.from({ length: 30 }, () => updates(7)) });
  world.append = () => Promise.reject(new Fault("inbox_refused", "the disk is full"));
  await world.start();
  expect(world.poller.state()).toMatchObject({ phase: "waiting" });
  expect(world.poller.state().error).toContain("the disk is full");
  await world.clock.advance(120_000);
  expect(new Set(world.offsets())).toEqual(new Set([0]));
  const gaps = world.gapsMs();
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(600);
  expect(gaps.slice(0, 3)).toEqual([600, 1_200, 2_400]);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(30_000 * 1.25);
  world.append = () => Promise.resolve(stored);
  await world.clock.advance(60_000);
  expect(world.offsets().at(-1)).toBe(8);
  expect(world.poller.state()).toMatchObject({ phase: "polling", error: undefined });
});

test("whatever an append rejects with, polling goes on", async () => {
  for (const error of [new Error("bug"), undefined, "text", new Fault("unavailable", "Redis is away")]) {
    const world = new World({ getUpdates: [updates(7), updates(7)] });
    let first = true;
    world.append = () => {
      if (!first) return Promise.resolve(stored);
      first = false;
      return Promise.reject(error);
    };
    await world.start();
    await world.clock.advance(1_000);
    expect(world.offsets()).toEqual([0, 0, 8]);
    expect(world.told.filter((line) => line.startsWith("restart"))).toEqual([]);
  }
});

test.each<[string, Step]>([
  ["nothing", outage],
  ["500", no(500, "Internal Server Error: restart")],
  ["400", no(400, "Logged out")],
  ["421", no(421, "Misdirected Request: unallowed token specified")],
  ["403", no(403, "Forbidden")],
  ["429 without a time", no(429, "Too Many Requests")],
  ["a result that is no list", ok({ update_id: 1 })],
  ["nothing for a result", ok(null)],
  ["something like a list for a result", ok({ length: 1, 0: { update_id: 7 } })],
  ["a list without a usable id", ok([{ message: {} }, null, { update_id: "7" }, { update_id: -7 }])],
  ["an error of another kind", new TypeError("bug")],
])("%s for an answer is waited out, longer each time up to a cap, and stop ends the wait", async (_, step) => {
  const world = await new World({ getUpdates: Array.from({ length: 100 }, () => step) }).start();
  expect(world.poller.state().phase).toBe("waiting");
  expect(world.poller.state().error).toContain("shop");
  await world.clock.advance(300_000);
  const gaps = world.gapsMs();
  expect(gaps.slice(0, 6)).toEqual([600, 1_200, 2_400, 4_800, 9_600, 19_200]);
  expect(new Set(gaps.slice(6))).toEqual(new Set([30_000]));
  expect(world.appended).toEqual([]);
  expect(new Set(world.offsets())).toEqual(new Set([0]));
  expect(world.told.filter((line) => line.startsWith("restart"))).toEqual([]);
  await world.poller.stop();
  expect(world.clock.pending()).toBe(0);
});

test("a poll without updates shows that all is well again", async () => {
  const world = await new World({ getUpdates: [outage, updates()] }).start();
  await world.clock.advance(600);
  expect(world.poller.state()).toMatchObject({ phase: "polling", error: undefined, polledAt: world.clock.now() });
});

test("a batch that was stored makes the next failed append a first one again", async () => {
  const world = new World({ getUpdates: [updates(1), updates(1), updates(1), updates(2), updates(2)] });
  let appends = 0;
  world.append = () => (++appends === 3 ? Promise.resolve(stored) : Promise.reject(new Fault("inbox_refused", "full")));
  await world.start();
  await world.clock.advance(2_500);
  expect(world.gapsMs()).toEqual([600, 1_200, 0, 600]);
});

test("a success makes the next failure a first one again", async () => {
  const world = await new World({ getUpdates: [outage, outage, updates(1), outage] }).start();
  await world.clock.advance(1_800);
  expect(world.poller.state()).toMatchObject({ phase: "waiting" });
  await world.clock.advance(600);
  expect(world.gapsMs()).toEqual([600, 1_200, 0, 600]);
});

test("waits are jittered, so that bots that failed together do not come back together", async () => {
  const gaps = new Set<number>();
  for (const chance of [0, 0.3, 0.9]) {
    const world = new World({ getUpdates: [no(409, "Conflict: terminated by other getUpdates request"), outage] });
    const { clock } = world;
    const poller = createPoller({ ...world.options, random: () => chance });
    poller.hold(world.claim);
    void poller.start();
    await clock.advance(10_000);
    gaps.add(world.gapsMs()[0] as number);
  }
  expect(gaps.size).toBe(3);
});

test("a batch in which some updates have no usable id is stored whole and passed by its last usable one", async () => {
  const world = await new World({ getUpdates: [updates(5, "x", 6, -1, null)] }).start();
  expect(world.appended).toEqual([[5, "x", 6, -1, null]]);
  expect(world.offsets()).toEqual([0, 7]);
});

test.each([
  ["401", no(401, "Unauthorized")],
  ["404", no(404, "Not Found")],
])("%s disables the bot, says so, and is tried again after 1, 2, 5, then every 10 minutes", async (_, step) => {
  const world = await new World({ getUpdates: Array.from({ length: 6 }, () => step) }).start();
  expect(world.poller.state()).toMatchObject({ phase: "disabled" });
  expect(world.poller.state().error).toContain("@BotFather");
  await world.clock.advance(60_000 * (1 + 2 + 5 + 10 + 10) + 30_000);
  expect(world.gapsMs()).toEqual([60_000, 120_000, 300_000, 600_000, 600_000]);
  // It does not flicker while it is tried again.
  expect(world.told.filter((line) => line.startsWith(">"))).toEqual(
    expect.arrayContaining(["> polling", "> disabled"]) as string[],
  );
  expect(world.told.filter((line) => line === "> polling")).toHaveLength(1);
  world.answers.getUpdates.push(updates(1));
  await world.clock.advance(600_000);
  expect(world.poller.state()).toMatchObject({ phase: "polling", error: undefined });
});

test("a token that getMe finds refused disables the bot as well, and stop ends that wait", async () => {
  const world = new World({ getMe: [no(401, "Unauthorized"), no(404, "Not Found")] });
  const started = world.poller.start();
  await settled();
  expect(world.poller.state().phase).toBe("disabled");
  await world.clock.advance(60_000);
  await world.poller.stop();
  expect(await started).toBeUndefined();
});

test("another poller's conflict is waited out, longer each time, and polling goes on", async () => {
  const conflict = no(
    409,
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
  );
  const world = await new World({ getUpdates: [conflict, conflict, conflict, conflict, conflict, updates(1)] }).start();
  expect(world.poller.state().error).toContain("Another program polls bot shop");
  await world.clock.advance(200_000);
  expect(world.gapsMs()).toEqual([3_000, 6_000, 12_000, 24_000, 30_000, 0]);
  expect(world.appended).toEqual([[1]]);
});

test("a webhook is deleted without dropping updates, then polling goes on", async () => {
  const active = no(
    409,
    "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
  );
  const world = await new World({ getUpdates: [active, updates(1)] }).start();
  await world.clock.advance(1_000);
  expect(world.sent.map(({ method }) => method)).toEqual([
    "getMe",
    "getUpdates",
    "deleteWebhook",
    "getUpdates",
    "getUpdates",
  ]);
  expect(world.sent[2]?.payload).toEqual({ drop_pending_updates: false });
  expect(world.appended).toEqual([[1]]);
});

test("a webhook that cannot be deleted, or that comes back, is waited out with growing patience", async () => {
  const active = no(409, "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete");
  const world = await new World({
    getUpdates: Array.from({ length: 20 }, () => active),
    deleteWebhook: [outage, no(500, "Internal")],
  }).start();
  await world.clock.advance(60_000);
  expect(world.gapsMs().slice(0, 4)).toEqual([600, 1_200, 2_400, 4_800]);
});

test("429 is waited out as long as Telegram says, be it an hour, and stop ends the wait", async () => {
  const world = await new World({ getUpdates: [no(429, "Too Many Requests", { retry_after: 3_600 })] }).start();
  await world.clock.advance(3_599_999);
  expect(world.polls()).toHaveLength(1);
  await world.clock.advance(1_000);
  expect(world.polls()).toHaveLength(2);
  const stopped = await new World({ getUpdates: [no(429, "Too Many Requests", { retry_after: 3_600 })] }).start();
  await stopped.poller.stop();
  expect(stopped.clock.pending()).toBe(0);
});

test("while there is no room no poll is open, and polling goes on when there is", async () => {
  const world = new World({ getUpdates: [updates(1)] });
  const room = Promise.withResolvers<void>();
  world.room = { ready: () => world.appended.length === 0, wait: () => room.promise };
  await world.start();
  await world.clock.advance(3_600_000);
  expect(world.polls()).toHaveLength(1);
  expect(world.poller.state().phase).toBe("full");
  world.room.ready = () => true;
  room.resolve();
  await settled();
  expect(world.offsets()).toEqual([0, 2]);
  expect(world.poller.state().phase).toBe("polling");
});

test("stop ends the wait for room", async () => {
  const world = new World();
  world.room = {
    ready: () => false,
    wait: (signal) => new Promise((resolve) => signal.addEventListener("abort", () => resolve())),
  };
  await world.start();
  await world.poller.stop();
  expect(world.polls()).toHaveLength(0);
});

test("a server that answers nothing at once is not asked without pause", async () => {
  const world = await new World({ getUpdates: Array.from({ length: 100 }, () => updates()) }).start();
  await world.clock.advance(6_000);
  expect(world.polls()).toHaveLength(11);
  expect(world.poller.state()).toMatchObject({ phase: "polling", error: undefined });
});

test("a server that repeats what it was told to forget is not asked without pause", async () => {
  const world = await new World({ getUpdates: Array.from({ length: 100 }, () => updates(7)) }).start();
  await world.clock.advance(6_000);
  expect(world.polls().length).toBeLessThanOrEqual(13);
});

test("stop aborts the open poll and nothing is sent afterwards", async () => {
  const world = await new World().start();
  await world.poller.stop();
  await world.poller.stop();
  await world.clock.advance(3_600_000);
  expect(world.polls()).toHaveLength(1);
  expect(world.poller.state()).toMatchObject({ phase: "stopped", error: undefined });
  // The poll that was called off is no failure.
  expect(world.told).toEqual(["> polling", "> stopped"]);
});

test("stop waits for the append in flight, confirms nothing and polls no more", async () => {
  const world = new World({ getUpdates: [updates(7)] });
  const written = Promise.withResolvers<Appended>();
  world.append = () => written.promise;
  await world.start();
  let stopped = false;
  const stopping = world.poller.stop().then(() => (stopped = true));
  await settled();
  expect(stopped).toBe(false);
  written.resolve(stored);
  await stopping;
  expect(world.sent.map(({ method }) => method)).toEqual(["getMe", "getUpdates"]);
});

/** A world whose first poll is answered by hand. */
async function answeredLate(): Promise<{ world: World; poller: Poller; answer: (step: Answer) => void }> {
  const world = new World();
  const { client } = world.options;
  const answer = Promise.withResolvers<Answer>();
  const poller = createPoller({
    ...world.options,
    client: {
      ...client,
      exchange: (method, ...rest) => (method === "getMe" ? client.exchange(method, ...rest) : answer.promise),
    },
  });
  poller.hold(world.claim);
  void poller.start();
  await settled();
  return { world, poller, answer: answer.resolve };
}

test("updates that arrive while the poller stops are left to Telegram", async () => {
  const { world, poller, answer } = await answeredLate();
  const stopping = poller.stop();
  answer(updates(1));
  await stopping;
  expect(world.appended).toEqual([]);
});

test("a poller stopped before its start never polls", async () => {
  const world = new World();
  await world.poller.stop();
  expect(await world.poller.start()).toBeUndefined();
  expect(world.sent).toEqual([]);
});

test("with a claim lost before a poll the bot is polled elsewhere", async () => {
  const world = await new World({ getUpdates: [outage] }).start();
  world.isLost = true;
  await world.clock.advance(60_000);
  world.poller.claimChanged();
  await settled();
  expect(world.polls()).toHaveLength(1);
  expect(world.poller.state()).toMatchObject({ phase: "elsewhere", error: undefined });
  await world.poller.stop();
});

test("with a claim lost while the poll was open nothing is appended", async () => {
  const { world, poller, answer } = await answeredLate();
  world.isLost = true;
  answer(updates(1));
  await settled();
  expect(world.appended).toEqual([]);
  poller.claimChanged();
  await settled();
  expect(poller.state().phase).toBe("elsewhere");
});

test("a claim that is not confirmed in time ends the open poll; confirmed again, polling goes on without asking who the bot is", async () => {
  const world = await new World({ getUpdates: [updates(1)] }).start();
  world.valid = false;
  world.poller.claimChanged();
  await world.clock.advance(60_000);
  expect(world.polls()).toHaveLength(2);
  expect(world.poller.state()).toMatchObject({ phase: "waiting" });
  expect(world.poller.state().error).toContain("is not known");
  world.valid = true;
  world.poller.claimChanged();
  await settled();
  expect(world.sent.map(({ method }) => method)).toEqual(["getMe", "getUpdates", "getUpdates", "getUpdates"]);
  expect(world.offsets()).toEqual([0, 2, 0]);
  await world.poller.stop();
});

test("a claim that is let go of ends the open poll; a later one begins anew", async () => {
  const world = await new World({ getUpdates: [updates(1)] }).start();
  await world.poller.letGo();
  await settled();
  expect(world.poller.state().phase).toBe("elsewhere");
  await world.clock.advance(60_000);
  expect(world.polls()).toHaveLength(2);
  world.poller.hold(world.claim);
  await settled();
  expect(world.offsets()).toEqual([0, 2, 0]);
  await world.poller.stop();
});

test("a claim is let go of when no append is in flight", async () => {
  const append = Promise.withResolvers<Appended>();
  const world = new World({ getUpdates: [updates(1)] });
  world.append = () => append.promise;
  await world.start();
  let isFree = false;
  void world.poller.letGo().then(() => (isFree = true));
  await settled();
  expect(isFree).toBe(false);
  append.resolve(stored);
  await settled();
  expect(isFree).toBe(true);
  await world.poller.stop();
});

test("a bot without a claim is known, and not polled", async () => {
  const world = new World();
  await world.poller.letGo();
  expect(await world.poller.start()).toMatchObject({ is_bot: true });
  await settled();
  expect(world.sent.map(({ method }) => method)).toEqual(["getMe"]);
  expect(world.poller.state().phase).toBe("elsewhere");
  await world.poller.stop();
});

test("after a fenced append, which says that the claim is lost, the next poll waits until that is known, or for a while", async () => {
  const world = new World({ getUpdates: [updates(1), updates(1)] });
  world.append = () => Promise.reject(new Fault("inbox_fenced", "another instance polls this bot"));
  await world.start();
  expect(world.told.filter((line) => line === "fenced")).toHaveLength(1);
  await world.clock.advance(limits.retryCapMs - 1);
  expect(world.polls()).toHaveLength(1);
  await world.clock.advance(1);
  expect(world.polls()).toHaveLength(2);
  world.isLost = true;
  world.poller.claimChanged();
  await world.clock.advance(60_000);
  expect(world.polls()).toHaveLength(2);
  expect(world.poller.state().phase).toBe("elsewhere");
});

test("a fault of botfleet's own restarts the polling with back-off and is told without secrets", async () => {
  let bugs = 3;
  const world: World = new World(
    { getUpdates: Array.from({ length: 10 }, (_, at) => updates(at + 1)) },
    {
      onPoll: () => {
        if (bugs-- > 0) throw new Error("bug with 4242:AAsecretsecretsecretsecret");
      },
    },
  );
  await world.start();
  await world.clock.advance(60_000);
  expect(world.told.filter((line) => line.startsWith("restart"))).toEqual(
    Array.from({ length: 3 }, () => "restart: Error: bug with 4242:<token>"),
  );
  expect(world.gapsMs().slice(0, 3)).toEqual([600, 1_200, 2_400]);
  expect(world.poller.state().phase).toBe("polling");
  expect(world.sent.filter(({ method }) => method === "getMe")).toHaveLength(1);
});

test("events that always throw end neither the process nor the stop", async () => {
  const bug = (): never => {
    throw new Error("bug");
  };
  const world = new World(
    { getUpdates: [updates(1)] },
    { onPoll: bug, onAppended: bug, onState: bug, onRestart: bug, onFenced: bug },
  );
  await world.start();
  await world.clock.advance(10_000);
  world.valid = false;
  await world.clock.advance(60_000);
  await world.poller.stop();
  expect(world.poller.state().phase).toBe("stopped");
});

test("the state tells since when, and when a poll last went well", async () => {
  const world = new World({ getUpdates: [updates(1), outage] });
  const startedAt = world.clock.now();
  await world.start();
  expect(world.poller.state()).toMatchObject({ phase: "waiting", since: startedAt, polledAt: startedAt });
  await world.clock.advance(600);
  expect(world.poller.state()).toMatchObject({ phase: "polling", since: startedAt + 600, polledAt: startedAt });
  expect(world.poller.state().error).toContain("ECONNRESET");
});
