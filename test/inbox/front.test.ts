/** What the front promises over any store, with a store that fails, is slow, loses answers or breaks when told to. Longer than other files because the promises of one part belong side by side. */
import { describe, expect, test } from "bun:test";
import { createInbox, type FrontOptions } from "../../src/inbox/front.ts";
import type { Appended, Inbox, InboxState } from "../../src/inbox/inbox.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import type { Committed, Group, InboxStore } from "../../src/inbox/store.ts";
import { toSeq } from "../../src/ids.ts";
import { botClaim, codeOf, idsOf, message, messages, partitionClaim, take } from "../contract/inbox.ts";
import { FakeClock, settled } from "../support/fake-clock.ts";
import { inboxLimits } from "./limits.ts";

const done = { kind: "done", how: "handled" } as const;
const { groupMaxMs, groupMaxWrites, writeRetryMs, diskCheckMs } = inboxLimits;

type Fate = "ok" | "fails" | "applied, answer lost";

class World {
  readonly clock = new FakeClock();
  readonly durable = emptyDurable();
  readonly groups: Group[] = [];
  readonly states: InboxState[] = [];
  /** How the next commits end; `ok` afterwards. */
  readonly fates: Fate[] = [];
  /** Commits wait here until released. */
  held: PromiseWithResolvers<void> | undefined;
  areReadsFailing = false;
  readonly broken = Promise.withResolvers<unknown>();
  readonly store: InboxStore;
  readonly inbox: Inbox;

  constructor(options: Partial<FrontOptions> = {}) {
    const kept = createMemoryStore({
      durable: this.durable,
      limits: inboxLimits,
      deduplicate: true,
      now: this.clock.now(),
    });
    this.store = {
      ...kept,
      broken: this.broken.promise,
      commit: (group) => this.commit(kept, group),
      unsettled: async (after, max, partition) => {
        if (this.areReadsFailing) throw new Error("unreadable");
        return kept.unsettled(after, max, partition);
      },
    };
    this.inbox = createInbox({ store: this.store, clock: this.clock, limits: inboxLimits, ...options });
    this.inbox.onState((state) => this.states.push(state));
  }

  private async commit(kept: InboxStore, group: Group): Promise<Committed> {
    this.groups.push(group);
    const fate = this.fates.shift() ?? "ok";
    await this.held?.promise;
    if (fate === "fails") throw new Error("disk full");
    const committed = await kept.commit(group);
    if (fate === "applied, answer lost") throw new Error("answer lost");
    return committed;
  }

  hold(): void {
    this.held = Promise.withResolvers();
  }

  release(): void {
    this.held?.resolve();
    this.held = undefined;
  }
}

/** Whether it has ended, without waiting. */
async function hasEnded(promise: Promise<unknown>): Promise<boolean> {
  let ended = false;
  void promise.then(
    () => (ended = true),
    () => (ended = true),
  );
  await settled();
  return ended;
}

describe("group commit", () => {
  test("writes of all bots that come within `groupMaxMs` share one commit", async () => {
    const { inbox, clock, groups } = new World();
    const appends = [1, 2, 3].map((id) => inbox.append(botClaim(), [message(id)]));
    await clock.advance(groupMaxMs - 1);
    appends.push(inbox.append(botClaim(), [message(4)]));
    expect(groups).toHaveLength(0);
    await clock.advance(1);
    expect(groups.map((group) => group.appends.length)).toEqual([4]);
    expect((await Promise.all(appends)).map((appended: Appended) => appended.stored)).toEqual([1, 1, 1, 1]);
  });

  test("an outcome waits `settleMaxMs` at most, and goes along with whatever is written before", async () => {
    const { inbox, clock, groups } = new World({ limits: { ...inboxLimits, settleMaxMs: 25 } });
    const partition = await inbox.open(partitionClaim());
    void inbox.append(botClaim(), messages(1, 3));
    await clock.advance(groupMaxMs);
    const [first, second] = await take(partition, 2);
    const settling = partition.settle(first?.seq ?? toSeq(0), done);
    await clock.advance(24);
    expect(groups).toHaveLength(1);
    await clock.advance(1);
    await settling;
    expect(groups).toHaveLength(2);
    void partition.settle(second?.seq ?? toSeq(0), done);
    await clock.advance(groupMaxMs);
    void inbox.append(botClaim(), [message(9)]);
    await clock.advance(groupMaxMs);
    expect(groups[2]).toMatchObject({ done: [second?.seq], appends: [{ ids: [9] }] });
  });

  test("`groupMaxWrites` writes do not wait for others", async () => {
    const { inbox, groups } = new World();
    expect((await inbox.append(botClaim(), messages(1, groupMaxWrites))).stored).toBe(groupMaxWrites);
    expect(groups).toHaveLength(1);
  });

  test("an append resolves only after its commit, and the next group gathers meanwhile", async () => {
    const world = new World();
    const { inbox, clock, groups } = world;
    world.hold();
    const first = inbox.append(botClaim(), [message(1)]);
    await clock.advance(groupMaxMs);
    const second = inbox.append(botClaim(), [message(2)]);
    const third = inbox.append(botClaim(), [message(3)]);
    await clock.advance(groupMaxMs * 5);
    expect(await hasEnded(first)).toBe(false);
    expect(groups).toHaveLength(1);
    world.release();
    await first;
    expect(await Promise.all([second, third])).toHaveLength(2);
    expect(groups.map((group) => group.appends.length)).toEqual([1, 2]);
  });

  test("an entry is handed out only after its commit", async () => {
    const world = new World();
    const partition = await world.inbox.open(partitionClaim());
    const next = partition.next(1);
    world.hold();
    void world.inbox.append(botClaim(), [message(1)]);
    await world.clock.advance(groupMaxMs * 5);
    expect(await hasEnded(next)).toBe(false);
    world.release();
    expect(await idsOf(partition, await next)).toEqual([1]);
  });

  test("a claim lost while the write waits fences it", async () => {
    const { inbox, clock, durable } = new World();
    let isValid = true;
    const claim = botClaim(undefined, () => isValid);
    const end = codeOf(inbox.append(claim, [message(1)]));
    isValid = false;
    await clock.advance(groupMaxMs);
    expect(await end).toBe("inbox_fenced");
    expect(durable.entries.size).toBe(0);
  });
});

describe("a store that fails", () => {
  async function withEntry(): Promise<{ world: World; settle: () => Promise<void> }> {
    const world = new World();
    const partition = await world.inbox.open(partitionClaim());
    const appended = world.inbox.append(botClaim(), [message(1)]);
    await world.clock.advance(groupMaxMs);
    await appended;
    const [entry] = await take(partition, 1);
    return { world, settle: () => partition.settle(entry?.seq ?? toSeq(0), done) };
  }

  test("refuses the appends of its group and says why", async () => {
    const { inbox, clock, fates } = new World();
    fates.push("fails");
    const appended = inbox.append(botClaim(), [message(1)]);
    const refusal = codeOf(appended);
    await clock.advance(groupMaxMs);
    expect(await refusal).toBe("inbox_refused");
    expect(await appended.catch(String)).toContain("disk full");
  });

  test("keeps settles and tries them every `writeRetryMs` until they are written; handlers are told to wait", async () => {
    const { world, settle } = await withEntry();
    world.fates.push("fails", "fails", "fails");
    const settling = settle();
    await world.clock.advance(groupMaxMs);
    expect(world.inbox.state()).toBe("failing");
    await world.clock.advance(writeRetryMs * 2);
    expect(await hasEnded(settling)).toBe(false);
    expect(world.durable.entries.size).toBe(1);
    await world.clock.advance(writeRetryMs);
    await settling;
    expect(world.durable.entries.size).toBe(0);
    expect(world.states).toEqual(["failing", "ok"]);
  });

  test("is tried with the settles alone first, so that no append keeps them from the disk", async () => {
    const { world, settle } = await withEntry();
    world.fates.push("fails");
    const settling = settle();
    await world.clock.advance(groupMaxMs);
    const appended = world.inbox.append(botClaim(), [message(2)]);
    await world.clock.advance(writeRetryMs);
    await settling;
    await world.clock.advance(groupMaxMs);
    expect((await appended).stored).toBe(1);
    expect(world.groups.slice(-2).map((group) => [group.done.length, group.appends.length])).toEqual([
      [1, 0],
      [0, 1],
    ]);
  });

  test("is found to work again even when nobody writes", async () => {
    const { inbox, clock, fates, states } = new World();
    fates.push("fails", "fails");
    const refusal = codeOf(inbox.append(botClaim(), [message(1)]));
    await clock.advance(groupMaxMs);
    await refusal;
    await clock.advance(writeRetryMs);
    expect(inbox.state()).toBe("failing");
    await clock.advance(writeRetryMs);
    expect(states).toEqual(["failing", "ok"]);
  });

  test("and applied an append without saying so: it is handed out all the same, in order, and known when it comes again", async () => {
    const { inbox, clock, fates } = new World();
    const partition = await inbox.open(partitionClaim());
    const next = partition.next(10);
    fates.push("applied, answer lost");
    const refusal = codeOf(inbox.append(botClaim(), messages(1, 2)));
    await clock.advance(groupMaxMs);
    expect(await refusal).toBe("inbox_refused");
    const again = inbox.append(botClaim(), messages(1, 3));
    await clock.advance(writeRetryMs + groupMaxMs);
    expect(await again).toEqual({ stored: 1, known: 2, malformed: 0 });
    const first = await next;
    expect(await idsOf(partition, [...first, ...(await take(partition, 3 - first.length))])).toEqual([1, 2, 3]);
  });

  test("and applied settles and letter changes without saying so: they end as done", async () => {
    const { inbox, clock, fates } = new World();
    const partition = await inbox.open(partitionClaim());
    const write = async <T>(work: Promise<T>): Promise<T> => {
      await clock.advance(groupMaxMs + writeRetryMs * 2);
      return work;
    };
    await write(inbox.append(botClaim(), messages(1, 2)));
    const [first, second] = await take(partition, 2);
    fates.push("applied, answer lost");
    const death = { kind: "dead", error: "boom", attempts: 5, sends: [], effectsUnknown: false } as const;
    await write(partition.settle(first?.seq ?? toSeq(0), death));
    await write(partition.settle(second?.seq ?? toSeq(0), death));
    const [letter, other] = await inbox.deadLetters.list({ max: 10 });
    fates.push("applied, answer lost");
    expect(await write(inbox.deadLetters.retry(letter?.id ?? 0, { again: false }))).toBe("retried");
    fates.push("applied, answer lost");
    expect(await write(inbox.deadLetters.drop(other?.id ?? 0))).toBe("dropped");
    expect(await idsOf(partition, await take(partition, 1))).toEqual([1]);
    expect(await inbox.deadLetters.list({ max: 10 })).toEqual([]);
    expect(await inbox.backlog()).toEqual(new Map([[botClaim().bot, 1]]));
  });

  test("when it cannot be read either, `next` waits and goes on", async () => {
    const world = new World();
    world.areReadsFailing = true;
    const partition = await world.inbox.open(partitionClaim());
    const next = partition.next(1);
    await world.clock.advance(writeRetryMs);
    expect(world.inbox.state()).toBe("failing");
    world.areReadsFailing = false;
    const appended = world.inbox.append(botClaim(), [message(1)]);
    await world.clock.advance(writeRetryMs);
    await appended;
    expect(await idsOf(partition, await next)).toEqual([1]);
    expect(world.inbox.state()).toBe("ok");
  });

  test("does not keep the inbox from stopping, and no clean end is recorded", async () => {
    const { world, settle } = await withEntry();
    world.fates.push("fails", "fails");
    const settling = codeOf(settle());
    const appended = codeOf(world.inbox.append(botClaim(), [message(2)]));
    await world.inbox.stop();
    expect([await settling, await appended]).toEqual(["unavailable", "inbox_refused"]);
    expect(world.durable.cleanEnd).toBe(false);
  });

  test("for good while the inbox stops: stopping ends, and no clean end is recorded", async () => {
    const world = new World();
    world.hold();
    const appended = codeOf(world.inbox.append(botClaim(), [message(1)]));
    await world.clock.advance(groupMaxMs);
    const stopping = world.inbox.stop();
    world.broken.resolve("the thread died");
    expect(await appended).toBe("inbox_refused");
    world.release();
    await stopping;
    expect(world.durable.cleanEnd).toBe(false);
  });

  test("for good: everything that waits rejects, and the owner is told to end the process", async () => {
    const told: unknown[] = [];
    const world = new World({ onBroken: (reason) => told.push(reason) });
    const partition = await world.inbox.open(partitionClaim());
    world.hold();
    const appended = codeOf(world.inbox.append(botClaim(), [message(1)]));
    await world.clock.advance(groupMaxMs);
    const settling = codeOf(partition.settle(toSeq(1), done));
    world.broken.resolve("the thread died");
    expect([await appended, await settling]).toEqual(["inbox_refused", "unavailable"]);
    expect(told).toEqual(["the thread died"]);
    world.release();
    await world.clock.advance(writeRetryMs * 10);
    expect(world.inbox.state()).toBe("failing");
    expect(await codeOf(world.inbox.append(botClaim(), [message(2)]))).toBe("inbox_refused");
  });
});

describe("the disk reserve", () => {
  test("turns the inbox `full` while it is touched; settling goes on", async () => {
    let free = 10_000;
    const { inbox, clock, states } = new World({ freeBytes: () => Promise.resolve(free) });
    await clock.advance(diskCheckMs);
    expect(inbox.state()).toBe("ok");
    free = 10;
    await clock.advance(diskCheckMs);
    expect(inbox.state()).toBe("full");
    const partition = await inbox.open(partitionClaim());
    const settling = partition.settle(toSeq(1), done);
    await clock.advance(groupMaxMs);
    await settling;
    free = 10_000;
    await clock.advance(diskCheckMs);
    expect(states).toEqual(["full", "ok"]);
    await inbox.stop();
    expect(clock.pending()).toBe(0);
  });

  test("is looked at as soon as a commit fails", async () => {
    let free = 10_000;
    const world = new World({ freeBytes: () => Promise.resolve(free) });
    await settled();
    free = 10;
    world.fates.push("fails");
    const refusal = codeOf(world.inbox.append(botClaim(), [message(1)]));
    await world.clock.advance(groupMaxMs);
    await refusal;
    await world.clock.advance(writeRetryMs);
    expect(world.states).toEqual(["failing", "full"]);
    await world.inbox.stop();
  });
});
