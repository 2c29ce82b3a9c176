/** An inbox of several partitions, to which several processes append: over one store in memory that they share. */
import { describe, expect, test } from "bun:test";
import { systemClock } from "../../src/clock.ts";
import { createInbox } from "../../src/inbox/front.ts";
import type { Entry, Inbox, Partition } from "../../src/inbox/inbox.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import { partitionOfLane, partitionOfSeq } from "../../src/inbox/partitions.ts";
import type { InboxStore, StoreEvents } from "../../src/inbox/store.ts";
import { Fault } from "../../src/faults.ts";
import { toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import { botClaim, codeOf, idsOf, message, messages, take } from "../contract/inbox.ts";
import { inboxLimits } from "./limits.ts";

const partitions = 4;
const done = { kind: "done", how: "handled" } as const;

/** Two processes over one store; each is told of what the other one appends. */
function twoOver(more: (store: InboxStore) => Partial<InboxStore> = () => ({})): readonly [Inbox, Inbox] {
  const durable = emptyDurable(partitions);
  const watchers: StoreEvents[] = [];
  const create = (): Inbox => {
    const store = createMemoryStore({ durable, limits: inboxLimits, deduplicate: true, now: 1_000 });
    let own: StoreEvents | undefined;
    const shared: InboxStore = {
      ...store,
      async commit(group) {
        const committed = await store.commit(group);
        for (const each of watchers) {
          if (each === own) continue;
          for (const [partition, seq] of durable.lastSeqs) each.onArrived(partition, seq);
        }
        return committed;
      },
      watch(events) {
        own = events;
        watchers.push(events);
      },
      ...more(store),
    };
    return createInbox({ store: shared, partitions, clock: systemClock, limits: inboxLimits });
  };
  return [create(), create()];
}

const claimOf = (partition: number, token = "") => ({ partition, token, valid: () => true, lost: () => false });

describe("the partition of an update", () => {
  test("never changes: chats with unsettled entries would be handled out of order", () => {
    const bot = toBotId(7_000_000_001);
    const lanes = [1, -1_002_000_000_123, 987_654_321_012, "", "poll:5", "chat_join_request"].map(toLaneKey);
    expect(lanes.map((lane) => partitionOfLane(bot, lane, 64))).toEqual([53, 1, 14, 56, 19, 0]);
    expect(lanes.map((lane) => partitionOfLane(bot, lane, 1))).toEqual(lanes.map(() => 0));
  });

  test("spreads chats evenly, also those of one bot with neighbouring ids", () => {
    for (const count of [2, 7, 64]) {
      const found = Array<number>(count).fill(0);
      for (let chat = 0; chat < 10_000; chat++) {
        const partition = partitionOfLane(toBotId(42), toLaneKey(500_000_000 + chat), count);
        found[partition] = (found[partition] ?? 0) + 1;
      }
      expect(Math.min(...found)).toBeGreaterThan((10_000 / count) * 0.6);
      expect(Math.max(...found)).toBeLessThan((10_000 / count) * 1.4);
    }
  });
});

describe("an inbox of several partitions", () => {
  test("hands each chat out by its own partition, in order, whoever appended", async () => {
    const [one, other] = twoOver();
    const opened = await Promise.all(
      [0, 1, 2, 3].map((number) => (number % 2 === 0 ? one : other).open(claimOf(number))),
    );
    const seen: Promise<Entry[]>[] = [];
    const wanted = Array<number>(partitions).fill(0);
    for (let id = 1; id <= 200; id++) wanted[partitionOf(id % 20)] = (wanted[partitionOf(id % 20)] ?? 0) + 1;
    for (const partition of opened) seen.push(take(partition, wanted[partition.number] ?? 0, 5));
    for (let id = 1; id <= 200; id += 2) {
      const [first, second] = [message(id, id % 20), message(id + 1, (id + 1) % 20)];
      await (id % 3 === 0 ? one : other).append(botClaim(), [first, second]);
    }
    for (const partition of opened) {
      const entries = (await seen[partition.number]) ?? [];
      const ids = await idsOf(partition, entries);
      expect(ids).toEqual(ids.toSorted((a, b) => Number(a) - Number(b)));
      for (const { seq } of entries) expect(partitionOfSeq(seq, partitions)).toBe(partition.number);
      await Promise.all(entries.map(({ seq }) => partition.settle(seq, done)));
      expect(partition.settledBelow()).toBeGreaterThan(entries.at(-1)?.seq ?? toSeq(0));
    }
    expect(await one.backlog()).toEqual(new Map());
  });

  test("reads what another process appended before it hands out what it appended itself", async () => {
    const [one, other] = twoOver();
    const number = partitionOfLane(botClaim().bot, toLaneKey(1), partitions);
    const partition = await one.open(claimOf(number));
    const ids: (number | undefined)[] = [];
    for (let id = 1; id <= 60; id++) {
      await (id % 3 === 0 ? one : other).append(botClaim(), [message(id)]);
      if (id % 2 === 0) ids.push(...(await idsOf(partition, await partition.next(3))));
    }
    ids.push(...(await idsOf(partition, await take(partition, 60 - ids.length))));
    expect(ids).toEqual(messages(1, 60).map(({ update_id: id }) => id));
  });

  test("is behind until what was there has been read, and not because others go on to append", async () => {
    const [one, other] = twoOver();
    const number = partitionOf(1);
    await other.append(botClaim(), [message(1)]);
    const partition = await one.open(claimOf(number));
    expect(partition.isBehind()).toBe(true);
    const read = await partition.next(1);
    expect([read.length, partition.isBehind()]).toEqual([1, false]);
    await other.append(botClaim(), [message(2)]);
    expect(partition.isBehind()).toBe(false);
  });

  test("refuses a partition that there is not", async () => {
    const [one] = twoOver();
    expect(await one.open(claimOf(partitions)).catch(String)).toContain("there is no partition 4");
  });
});

describe("a partition that is closed", () => {
  const settleOf = (partition: Partition, entries: readonly Entry[]): Promise<unknown> =>
    codeOf(partition.settle(entries[0]?.seq ?? toSeq(0), done));

  test("hands out nothing more, is fenced, and is opened again by the next claim with what it left", async () => {
    const given: [number, string][] = [];
    const [one] = twoOver(() => ({
      takeOver: () => Promise.resolve(),
      release: async (partition, token) => void given.push([partition, token]),
    }));
    const number = partitionOf(1);
    const partition = await one.open(claimOf(number, "first"));
    await one.append(botClaim(), [message(1), message(2)]);
    const entries = await partition.next(1);
    await partition.close();
    await partition.close();
    expect(given).toEqual([[number, "first"]]);
    expect(await partition.next(1)).toEqual([]);
    expect(await settleOf(partition, entries)).toBe("inbox_fenced");
    const again = await one.open(claimOf(number, "second"));
    expect(await idsOf(again, await take(again, 2))).toEqual([1, 2]);
  });

  test("is not given back in the store where its claim was lost", async () => {
    let released = 0;
    const [one] = twoOver(() => ({ takeOver: () => Promise.resolve(), release: async () => void released++ }));
    const partition = await one.open({ ...claimOf(0), lost: () => true });
    await partition.close();
    expect([released, await partition.next(1)]).toEqual([0, []]);
  });

  test("says where its clean end could not be recorded", async () => {
    const [one] = twoOver(() => ({
      takeOver: () => Promise.resolve(),
      release: () => Promise.reject(new Error("no connection")),
    }));
    const partition = await one.open(claimOf(0));
    expect(await codeOf(partition.close())).toBe("unavailable");
    expect(await partition.next(1)).toEqual([]);
  });
});

describe("a partition of another instance", () => {
  test("is known as far as it was found settled, and never less", async () => {
    let events: StoreEvents | undefined;
    const [one] = twoOver(() => ({ watch: (given) => void (events ??= given) }));
    expect(one.settledBelow(2)).toBe(toSeq(0));
    events?.onSettledBelow(2, toSeq(14));
    events?.onSettledBelow(2, toSeq(10));
    expect(one.settledBelow(2)).toBe(toSeq(14));
    // Taken over: what it finds itself comes on top.
    const partition = await one.open(claimOf(2));
    expect(partition.settledBelow()).toBe(toSeq(14));
    expect(one.settledBelow(1)).toBe(toSeq(0));
  });
});

describe("a store that knows another claim", () => {
  test("fences the writes of one partition, and lets those of others through", async () => {
    const [one] = twoOver((store) => ({
      async commit(group) {
        const [fenced] = group.tokens.flatMap((token, partition) => (token === "old" ? [partition] : []));
        if (fenced === undefined) return store.commit(group);
        const others = group.done.filter((seq) => partitionOfSeq(seq, partitions) !== fenced);
        return { ...(await store.commit({ ...group, done: others })), fenced: [fenced] };
      },
    }));
    const mine = partitionOf(1);
    const chat = [2, 3, 4, 5, 6, 7, 8].find((each) => partitionOf(each) !== mine) ?? 0;
    const fenced = partitionOf(chat);
    const [left, right] = await Promise.all([one.open(claimOf(mine, "now")), one.open(claimOf(fenced, "old"))]);
    await one.append(botClaim(), [message(1, 1), message(2, chat)]);
    const [a, b] = [await left.next(1), await right.next(1)];
    const ends = [left.settle(a[0]?.seq ?? toSeq(0), done), right.settle(b[0]?.seq ?? toSeq(0), done)];
    expect(await Promise.all(ends.map(codeOf))).toEqual([undefined, "inbox_fenced"]);
    expect([...(await one.backlog()).values()]).toEqual([1]);
  });

  test("refuses an append whose claim it does not know, and one that it has no room for", async () => {
    for (const [refusal, code] of [
      ["fenced", "inbox_fenced"],
      ["full", "inbox_refused"],
    ] as const) {
      const [one] = twoOver(() => ({
        commit: async () => ({
          appends: [{ firsts: [], known: [], buried: 0, refusal }],
          letters: [],
          settledBelow: [],
        }),
      }));
      expect(await codeOf(one.append(botClaim(), [message(1)]))).toBe(code);
    }
  });

  const takingOver = (...ends: (Fault | undefined)[]) =>
    twoOver(() => ({
      async takeOver() {
        const end = ends.shift();
        if (end !== undefined) throw end;
      },
    }));
  const fenced = new Fault("inbox_fenced", "taken");

  test("ends a partition that cannot be taken over, which can be opened again under its claim", async () => {
    const [one] = takingOver(fenced);
    const claim = claimOf(partitionOf(1));
    expect(await codeOf(one.open(claim))).toBe("inbox_fenced");
    const partition = await one.open(claim);
    await one.append(botClaim(), [message(1)]);
    expect(await idsOf(partition, await take(partition, 1))).toEqual([1]);
  });

  test("ends one where that shows only before the first read: it says so, and can be opened again", async () => {
    const [one] = takingOver(new Fault("unavailable", "no connection"), fenced);
    const claim = claimOf(partitionOf(1));
    const partition = await one.open(claim);
    expect(await codeOf(partition.next(1))).toBe("inbox_fenced");
    await partition.close();
    const again = await one.open(claim);
    await one.append(botClaim(), [message(1)]);
    expect(await idsOf(again, await take(again, 1))).toEqual([1]);
  });
});

function partitionOf(chat: number): number {
  return partitionOfLane(botClaim().bot, toLaneKey(chat), partitions);
}
