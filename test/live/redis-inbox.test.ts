/** The inbox over a real Redis that is killed, frozen, filled up, read only, restarted with less: nothing acknowledged is lost, nothing comes twice. Longer than other files because the troubles of one Redis belong side by side. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import type { Inbox, Partition } from "../../src/inbox/inbox.ts";
import type { RedisInboxOptions } from "../../src/inbox/redis.ts";
import { partitionOfLane } from "../../src/inbox/partitions.ts";
import { type Seq, toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import { botClaim, codeOf, idsOf, message, messages, partitionClaim, take } from "../contract/inbox.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { always, openRedisInbox, redisInboxLimits } from "./redis-inbox-rig.ts";
import { until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(60_000);

const done = { kind: "done", how: "handled" } as const;
const death = { kind: "dead", error: "boom", attempts: 5, sends: [], effectsUnknown: false } as const;
const base = "botfleet:inbox:{s0}:";
const { bot } = botClaim();

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.stop().catch(() => {});
});

async function startRedis(args: readonly string[] = always): Promise<LiveRedis> {
  const redis = await LiveRedis.start(args);
  open.push(redis);
  return redis;
}

async function openOver(redis: LiveRedis, options: Partial<RedisInboxOptions> = {}): Promise<Inbox> {
  const inbox = await openRedisInbox(redis.url, options);
  open.push(inbox);
  return inbox;
}

/** Appends batches of two, one after another, each until it is stored, as a poller does; settles every entry once it is handed out. */
class Load {
  readonly acknowledged: number[] = [];
  readonly handled: number[] = [];
  refusals = 0;
  private isOver = false;
  private readonly appending: Promise<void>;
  private readonly settled: Promise<void>[] = [];

  constructor(inbox: Inbox, partition: Partition) {
    this.appending = this.append(inbox);
    void this.settleAll(partition);
  }

  private async append(inbox: Inbox): Promise<void> {
    for (let id = 1; !this.isOver; id += 2) {
      const batch = messages(id, id + 1);
      while (!(await this.isStored(inbox.append(botClaim(), batch)))) await Bun.sleep(10);
      this.acknowledged.push(id, id + 1);
    }
  }

  private isStored(appended: Promise<unknown>): Promise<boolean> {
    return appended.then(
      () => true,
      () => {
        this.refusals++;
        return false;
      },
    );
  }

  private async settleAll(partition: Partition): Promise<void> {
    for (;;) {
      const entries = await partition.next(100);
      if (entries.length === 0) return;
      this.handled.push(...(await idsOf(partition, entries)).map(Number));
      this.settled.push(...entries.map(({ seq }) => partition.settle(seq, done)));
    }
  }

  /** Resolves when everything that was acknowledged has been handled and settled. */
  async end(): Promise<void> {
    this.isOver = true;
    await this.appending;
    await until(() => this.handled.length >= this.acknowledged.length);
    await Promise.all(this.settled);
  }
}

describeLive("the inbox over Redis", [own(redisServer)], () => {
  describe("claims", () => {
    test("a write under a token that is not the present one is fenced and changes nothing; its neighbours go on", async () => {
      const redis = await startRedis();
      const inbox = await openOver(redis);
      await redis.command("HSET", `${base}claims`, "p0", "1:a", `b${bot}`, "1:a");
      const partition = await inbox.open({ ...partitionClaim(), token: "1:a" });
      await inbox.append({ ...botClaim(), token: "1:a" }, messages(1, 3));
      const [first] = await take(partition, 3);
      const seq = first?.seq ?? toSeq(0);
      // Of the same number, as after an INCR that Redis lost.
      await redis.command("HSET", `${base}claims`, "p0", "1:b", `b${bot}`, "1:b");
      const ends = [
        partition.settle(seq, done),
        partition.settle(seq, death),
        partition.mark([{ seq, attempts: 3 }]),
        inbox.append({ ...botClaim(), token: "1:a" }, [message(4)]),
        inbox.append(botClaim(toBotId(5)), [message(9)]),
      ];
      expect(await Promise.all(ends.map(codeOf))).toEqual([...Array<string>(4).fill("inbox_fenced"), undefined]);
      expect(await inbox.backlog()).toEqual(
        new Map([
          [bot, 3],
          [toBotId(5), 1],
        ]),
      );
      expect(await codeOf(inbox.open({ ...partitionClaim(), token: "1:a" }))).toBe("inbox_fenced");
      const taken = await openOver(redis);
      const next = await taken.open({ ...partitionClaim(), token: "1:b" });
      const entries = await take(next, 4);
      expect(entries.map(({ attempts, suspicion }) => [attempts, suspicion])).toEqual(
        entries.map(() => [0, "suspect"]),
      );
      expect((await taken.append({ ...botClaim(), token: "1:b" }, messages(1, 4))).known).toBe(3);
    });

    test("an instance that hands over in order leaves no suspects", async () => {
      const redis = await startRedis();
      const first = await openOver(redis);
      await first.open(partitionClaim());
      await first.append(botClaim(), messages(1, 2));
      await first.stop();
      const partition = await (await openOver(redis)).open(partitionClaim());
      expect((await take(partition, 2)).map(({ suspicion }) => suspicion)).toEqual(["none", "none"]);
    });
  });

  test("two instances share bots and partitions: every chat in order, every update once", async () => {
    const redis = await startRedis();
    const partitions = 4;
    const inboxes = [await openOver(redis, { partitions }), await openOver(redis, { partitions: 9 })] as const;
    expect(inboxes.map((inbox) => inbox.partitions)).toEqual([4, 4]);
    const opened = await Promise.all(
      [0, 1, 2, 3].map((partition) => inboxes[partition % 2 === 0 ? 0 : 1].open({ ...partitionClaim(), partition })),
    );
    const updates = 600;
    const byPartition = Map.groupBy(
      Array.from({ length: updates }, (_, at) => at + 1),
      (id) => partitionOfLane(bot, toLaneKey(id % 30), partitions),
    );
    const reading = opened.map(async (partition) => {
      const entries = await take(partition, byPartition.get(partition.number)?.length ?? 0, 7);
      const ids = await idsOf(partition, entries);
      await Promise.all(entries.map(({ seq }) => partition.settle(seq, done)));
      return ids;
    });
    for (let id = 1; id <= updates; id += 4) {
      const batch = [0, 1, 2, 3].map((more) => message(id + more, (id + more) % 30));
      await inboxes[(id >> 2) % 2 === 0 ? 0 : 1].append(botClaim(), batch);
      // The other one hears of a bot whose numbering it does not know: nothing is stored twice.
      if (id % 5 === 0) expect((await inboxes[(id >> 2) % 2 === 0 ? 1 : 0].append(botClaim(), batch)).known).toBe(4);
    }
    for (const [at, ids] of (await Promise.all(reading)).entries()) expect(ids).toEqual(byPartition.get(at) ?? []);
    expect(await inboxes[0].backlog()).toEqual(new Map());
  });

  test("what another instance appends is heard of at once, not only when it is looked for", async () => {
    const redis = await startRedis();
    const limits = { ...redisInboxLimits, lookMs: 600_000 };
    const [one, other] = [await openOver(redis, { limits }), await openOver(redis, { limits })];
    const partition = await one.open(partitionClaim());
    await until(async () => String(await redis.command("PUBSUB", "CHANNELS", "botfleet:*")) !== "");
    for (let id = 1; id <= 20; id++) {
      const next = partition.next(1);
      await other.append(botClaim(), [message(id)]);
      expect(await idsOf(partition, await next)).toEqual([id]);
    }
  });

  describe("an outage", () => {
    test("kill -9 and restart (AOF always), again and again: nothing acknowledged is lost, nothing comes twice", async () => {
      const redis = await startRedis();
      const inbox = await openOver(redis);
      const load = new Load(inbox, await inbox.open(partitionClaim()));
      for (let round = 1; round <= 4; round++) {
        await until(() => load.acknowledged.length > round * 60);
        await redis.kill();
        await until(() => inbox.state() === "failing");
        await redis.boot();
        await until(() => inbox.state() === "ok");
      }
      await load.end();
      expect(load.handled).toEqual(load.acknowledged);
      expect(load.refusals).toBeGreaterThan(0);
      expect(await inbox.backlog()).toEqual(new Map());
      expect(await redis.command("XLEN", `${base}e0`)).toBe(0);
    });

    test("a Redis that hangs is given up in time; what it does late is found again and not done twice", async () => {
      const redis = await startRedis();
      const inbox = await openOver(redis);
      const load = new Load(inbox, await inbox.open(partitionClaim()));
      for (let round = 1; round <= 2; round++) {
        await until(() => load.acknowledged.length > round * 60);
        redis.signal("SIGSTOP");
        const startedAt = performance.now();
        await until(() => inbox.state() === "failing");
        expect(performance.now() - startedAt).toBeLessThan(5_000);
        await Bun.sleep(1_200);
        redis.signal("SIGCONT");
        await until(() => inbox.state() === "ok");
      }
      await load.end();
      expect(load.handled).toEqual(load.acknowledged);
      expect(await inbox.backlog()).toEqual(new Map());
    });

    test("connections that are cut and scripts that are forgotten cost nothing", async () => {
      const redis = await startRedis();
      const inbox = await openOver(redis);
      const load = new Load(inbox, await inbox.open(partitionClaim()));
      for (let round = 1; round <= 6; round++) {
        await until(() => load.acknowledged.length > round * 40);
        if (round % 2 === 0) await redis.command("SCRIPT", "FLUSH");
        else await redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      }
      await load.end();
      expect(load.handled).toEqual(load.acknowledged);
    });

    test("a Redis that has become read only refuses, and is used again when it is a primary", async () => {
      const redis = await startRedis();
      const inbox = await openOver(redis);
      const load = new Load(inbox, await inbox.open(partitionClaim()));
      await until(() => load.acknowledged.length > 40);
      await redis.command("REPLICAOF", "127.0.0.1", 1);
      await until(() => inbox.state() === "failing");
      await redis.command("REPLICAOF", "NO", "ONE");
      await until(() => inbox.state() === "ok");
      await load.end();
      expect(load.handled).toEqual(load.acknowledged);
    });

    test("is noticed while nobody writes", async () => {
      const redis = await startRedis();
      const inbox = await openOver(redis);
      await redis.kill();
      await until(() => inbox.state() === "failing");
      await redis.boot();
      await until(() => inbox.state() === "ok");
    });
  });

  test("a full Redis refuses appends and goes on settling, until there is room", async () => {
    const redis = await startRedis([...always, "--maxmemory", "30mb"]);
    const lines: string[] = [];
    const say = (text: string): void => void lines.push(text);
    const inbox = await openOver(redis, { log: { info: say, warn: say, error: say } });
    const partition = await inbox.open(partitionClaim());
    await inbox.append(botClaim(), messages(1, 50));
    const entries = await take(partition, 50);
    await redis.command("CONFIG", "SET", "maxmemory", "1mb");
    expect(await codeOf(inbox.append(botClaim(), [message(51)]))).toBe("inbox_refused");
    await until(() => inbox.state() === "full");
    expect(lines).toEqual(["the memory of Redis is full up to the reserve: polling stops until there is room"]);
    const [first, second, ...others] = entries.map(({ seq }) => seq);
    await partition.mark([{ seq: second ?? toSeq(0), attempts: 1, started: true }]);
    await partition.settle(first ?? toSeq(0), death);
    await Promise.all([...others, second ?? toSeq(0)].map((seq) => partition.settle(seq, done)));
    expect(await inbox.backlog()).toEqual(new Map());
    expect(await inbox.deadLetters.count()).toEqual(new Map([[bot, 1]]));
    const both = [inbox.append(botClaim(), [message(51)]), inbox.append(botClaim(), [message(52)])];
    expect(await Promise.all(both.map(codeOf))).toEqual(["inbox_refused", "inbox_refused"]);
    await redis.command("CONFIG", "SET", "maxmemory", "30mb");
    expect((await inbox.append(botClaim(), messages(51, 52))).stored).toBe(2);
    expect(await idsOf(partition, await take(partition, 2))).toEqual([51, 52]);
  });

  test("a restart that loses what came last gives no seq out again, and undoes nothing that was settled", async () => {
    const redis = await startRedis([]);
    const inbox = await openOver(redis);
    const partition = await inbox.open(partitionClaim());
    await inbox.append(botClaim(), messages(1, 4));
    const before = await take(partition, 4);
    // What is on the disk; everything after it is lost.
    await redis.command("SAVE");
    await inbox.append(botClaim(), messages(5, 8));
    const lost = await take(partition, 4);
    const [first, second, third, fourth] = before.map(({ seq }) => seq);
    if (first === undefined || second === undefined || third === undefined || fourth === undefined)
      throw new Error("four");
    await Promise.all([partition.settle(first, done), partition.settle(second, death)]);
    expect(partition.settledBelow()).toBe(third);
    await redis.kill();
    await redis.boot();
    await until(async () => (await codeOf(inbox.append(botClaim(), messages(5, 9)))) === undefined);
    const after = await take(partition, 5);
    expect(await idsOf(partition, after)).toEqual([5, 6, 7, 8, 9]);
    expect(Math.min(...after.map(({ seq }) => seq))).toBeGreaterThan(Math.max(...lost.map(({ seq }) => seq)));
    expect(await inbox.backlog()).toEqual(new Map([[bot, 7]]));
    expect(await inbox.deadLetters.count()).toEqual(new Map([[bot, 1]]));
    await Promise.all([third, fourth, ...seqs(after)].map((seq) => partition.settle(seq, done)));
    expect(await inbox.backlog()).toEqual(new Map());
  });

  test("a restart that loses what came last undoes nothing that either of two processes had settled", async () => {
    const redis = await startRedis([]);
    const inboxes = [await openOver(redis, { partitions: 2 }), await openOver(redis)];
    const partitions = await Promise.all(
      inboxes.map((inbox, number) => inbox.open({ ...partitionClaim(), partition: number })),
    );
    const chats = Array.from({ length: 20 }, (_, at) => message(1 + at, 1 + at));
    await inboxes[0]?.append(botClaim(), chats);
    const lengthOf = async (number: number): Promise<number> =>
      Number(await redis.command("XLEN", `${base}e${number}`));
    const taken = await Promise.all(
      partitions.map(async (partition, number) => take(partition, await lengthOf(number))),
    );
    expect(taken.every(({ length }) => length > 0)).toBe(true);
    await redis.command("SAVE");
    await Promise.all(
      partitions.flatMap((partition, number) => seqs(taken[number] ?? []).map((seq) => partition.settle(seq, done))),
    );
    await redis.kill();
    await until(() => inboxes.every((inbox) => inbox.state() === "failing"));
    await redis.boot();
    await until(() => inboxes.every((inbox) => inbox.state() === "ok"));
    expect(await Promise.all([lengthOf(0), lengthOf(1)])).toEqual([0, 0]);
  });

  test("kill -9 of a process loses nothing that was acknowledged, at any moment, several times in a row", async () => {
    const redis = await startRedis();
    const program = join(import.meta.dir, "fixtures", "redis-append.ts");
    let firstId = 1;
    for (let kill = 0; kill < 3; kill++) {
      const child = Bun.spawn([process.execPath, program, redis.url, String(firstId)], { stdout: "pipe" });
      let text = "";
      for await (const chunk of child.stdout) {
        text += new TextDecoder().decode(chunk);
        if (text.split("\n").length > 40 + kill * 17) break;
      }
      child.kill("SIGKILL");
      await child.exited;
      firstId = Math.max(0, ...Array.from(text.matchAll(/^acked (\d+)$/gm), ([, id]) => Number(id))) + 1;
    }
    const inbox = await openOver(redis);
    const partition = await inbox.open(partitionClaim());
    const [left = 0] = (await inbox.backlog()).values();
    const entries = await take(partition, left);
    const ids = (await idsOf(partition, entries)).map(Number);
    expect(messages(1, firstId - 1).filter(({ update_id: id }) => id % 3 !== 0 && !ids.includes(id))).toEqual([]);
    expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => a - b));
    expect(firstId).toBeGreaterThan(100);
    expect(entries.every(({ suspicion }) => suspicion !== "none")).toBe(true);
  });
});

function seqs(entries: readonly { readonly seq: Seq }[]): Seq[] {
  return entries.map(({ seq }) => seq);
}
