/** The inbox over a Redis that three real sentinels watch: the primary dies, a replica takes its place. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { botClaim, codeOf, idsOf, messages, partitionClaim, take } from "../contract/inbox.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { always, openRedisInbox } from "./redis-inbox-rig.ts";
import { until } from "./redis-rig.ts";
import { areWatching, startSentinels } from "./redis-sentinels.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(60_000);

const open: { stop(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of open.splice(0).toReversed()) await each.stop().catch(() => {});
});

function opened<T extends { stop(): Promise<unknown> }>(each: T): T {
  open.push(each);
  return each;
}

const done = { kind: "done", how: "handled" } as const;

describeLive("an inbox whose Redis fails over", [own(redisServer)], () => {
  test("goes on with the replica: what that has is handed out once, seqs go on above those given out, and operators are told", async () => {
    const primary = opened(await LiveRedis.start(always));
    const replicaOf = ["--replicaof", "127.0.0.1", String(primary.port)];
    const replica = opened(await LiveRedis.start([...always, ...replicaOf]));
    const { hosts } = opened(await startSentinels(primary.port));
    const lines: string[] = [];
    const say = (text: string): void => void lines.push(text);
    const log = { info: say, warn: say, error: say };
    const inbox = opened(await openRedisInbox(`redis+sentinel://${hosts}/main`, { log }));
    const partition = await inbox.open(partitionClaim());
    await inbox.append(botClaim(), messages(1, 10));
    const entries = await take(partition, 10);
    for (const { seq } of entries.slice(0, 4)) await partition.settle(seq, done);
    // The replica follows with a delay.
    await until(async () => String(await replica.command("XLEN", "botfleet:inbox:{s0}:e0")) === "6");
    await until(() => areWatching(hosts));
    await primary.kill();
    await until(() => inbox.state() === "failing");
    await until(async () => (await codeOf(inbox.append(botClaim(), messages(9, 12)))) === undefined);
    // Its connections are cut as it is promoted.
    await until(async () => String(await replica.command("ROLE").catch(() => "")).startsWith("master"));
    const after = await take(partition, 2);
    expect(await idsOf(partition, after)).toEqual([11, 12]);
    expect(after[0]?.seq).toBeGreaterThan((entries.at(-1)?.seq ?? 0) + 1);
    await Promise.all([...entries, ...after].map(({ seq }) => partition.settle(seq, done)));
    expect(await inbox.backlog()).toEqual(new Map());
    expect(inbox.state()).toBe("ok");
    expect(lines.join()).toContain("another one took its place: what the last moments brought may be lost");
  });
});
