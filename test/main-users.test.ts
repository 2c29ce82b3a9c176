/** What stored data is told of the updates that it remembers. */
import { expect, test } from "bun:test";
import { toSeq } from "../src/ids.ts";
import { createMemoryInbox, emptyDurable } from "../src/inbox/memory.ts";
import { partitionOfSeq } from "../src/inbox/partitions.ts";
import { knowledgeOf } from "../src/main-users.ts";
import { botClaim, message, partitionClaim, take } from "./contract/inbox.ts";
import { inboxLimits } from "./inbox/limits.ts";
import { FakeClock } from "./support/fake-clock.ts";

test("updates of every partition of the inbox are known by its name, those of another inbox may all come again", async () => {
  const clock = new FakeClock();
  const inbox = createMemoryInbox({ durable: emptyDurable(2), partitions: 2, clock, limits: inboxLimits });
  const { settled, isOwn } = knowledgeOf({ inbox, nameOf: (partition) => 100 + partition });
  const appended = inbox.append(
    botClaim(),
    [1, 2, 3, 4].map((chat) => message(chat, chat)),
  );
  await clock.advance(10);
  await appended;
  for (const number of [0, 1]) {
    const partition = await inbox.open({ ...partitionClaim(), partition: number });
    const [first = toSeq(0)] = (await take(partition, 1)).map(({ seq }) => seq);
    expect(partitionOfSeq(first, 2)).toBe(number);
    expect(await settled.unsettled(100 + number, [first])).toEqual(new Set([first]));
    expect(settled.below(100 + number)).toBeLessThanOrEqual(first);
    const end = partition.settle(first, { kind: "done", how: "handled" });
    await clock.advance(30);
    await end;
    await partition.close();
    expect(await settled.unsettled(100 + number, [first])).toEqual(new Set());
    expect(settled.below(100 + number)).toBeGreaterThan(first);
    expect(await settled.unsettled(99, [first])).toEqual(new Set([first]));
  }
  expect(settled.below(99)).toBe(toSeq(0));
  expect([99, 100, 101, 102].map(isOwn)).toEqual([false, true, true, false]);
});
