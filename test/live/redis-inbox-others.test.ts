/** What an inbox over Redis knows of the partitions that other instances have, also where Redis loses what came last. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import type { Inbox, Partition } from "../../src/inbox/inbox.ts";
import { partitionOfLane } from "../../src/inbox/partitions.ts";
import type { RedisInboxOptions } from "../../src/inbox/redis.ts";
import { toLaneKey } from "../../src/ids.ts";
import { botClaim, codeOf, message, partitionClaim, take } from "../contract/inbox.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { always, openRedisInbox } from "./redis-inbox-rig.ts";
import { until } from "./redis-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(60_000);

const done = { kind: "done", how: "handled" } as const;
const { bot } = botClaim();
/** One chat of each of two partitions. */
const chats = [0, 1].map((partition) => [1, 2, 3, 4, 5, 6, 7, 8].find((chat) => partitionOf(chat) === partition) ?? 0);

function partitionOf(chat: number): number {
  return partitionOfLane(bot, toLaneKey(chat), 2);
}

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.stop().catch(() => {});
});

function opened<T extends { stop(): Promise<unknown> }>(each: T): T {
  open.push(each);
  return each;
}

/** Two instances over two partitions, each of which has one. */
async function twoOver(redis: LiveRedis, options: Partial<RedisInboxOptions> = {}) {
  const inboxes: Inbox[] = [];
  const partitions: Partition[] = [];
  for (const number of [0, 1]) {
    const inbox = opened(await openRedisInbox(redis.url, { partitions: 2, ...options }));
    inboxes.push(inbox);
    partitions.push(await inbox.open({ ...partitionClaim(), partition: number }));
  }
  const [one, other] = inboxes as [Inbox, Inbox];
  const [, right] = partitions as [Partition, Partition];
  return { one, other, right };
}

describeLive("an inbox in Redis with several owners", [own(redisServer)], () => {
  test("knows below which everything is settled in a partition that another instance has, and what is not settled above", async () => {
    const { one, other, right } = await twoOver(opened(await LiveRedis.start(always)));
    const chat = chats[1] ?? 0;
    await one.append(botClaim(), [message(1, chat), message(2, chat), message(3, chat)]);
    const entries = await take(right, 3);
    const [first, second, third] = entries.map(({ seq }) => seq);
    if (first === undefined || second === undefined || third === undefined) throw new Error("three");
    await Promise.all([right.settle(first, done), right.settle(third, done)]);
    expect(await one.unsettled([first, second, third])).toEqual(new Set([second]));
    await until(() => one.settledBelow(1) === second);
    expect(other.settledBelow(1)).toBe(second);
    await right.settle(second, done);
    await until(() => one.settledBelow(1) > third);
  });

  test("ends the process where Redis was emptied: numbers begin anew, and nothing that is known holds any more", async () => {
    const redis = opened(await LiveRedis.start(always));
    const reasons: string[] = [];
    const inbox = opened(await openRedisInbox(redis.url, { onBroken: (reason) => void reasons.push(String(reason)) }));
    await inbox.append(botClaim(), [message(1)]);
    await redis.command("FLUSHALL");
    // Nothing is written under numbers of nobody.
    expect(await codeOf(inbox.append(botClaim(), [message(2)]))).toBe("inbox_refused");
    expect(await redis.command("EXISTS", "botfleet:inbox:{s0}:next")).toBe(0);
    await until(() => reasons.length > 0);
    expect(reasons).toEqual(["Error: Redis does not hold the inbox any more that it held"]);
    expect(await codeOf(inbox.append(botClaim(), [message(3)]))).toBe("inbox_refused");
  });

  test("knows what waits in the whole fleet, by partition and by bot, a moment later", async () => {
    const { one, right } = await twoOver(opened(await LiveRedis.start(always)));
    const [left = 0, chat = 0] = chats;
    await one.append(botClaim(), [message(1, left), message(2, chat), message(3, chat)]);
    await until(() => Bun.deepEquals(one.lastBacklog(), { partitions: [1, 2], bots: new Map([[bot, 3]]) }));
    for (const { seq } of await take(right, 2)) await right.settle(seq, done);
    await until(() => Bun.deepEquals(one.lastBacklog(), { partitions: [1, 0], bots: new Map([[bot, 1]]) }));
  });
});
