/**
 * What every inbox promises, run on each implementation: `inboxContract("memory", () => ...)`. Longer than other files because
 * the promises of one port belong side by side.
 */
import { describe, expect, test } from "bun:test";
import type { Death, Entry, Inbox, Partition } from "../../src/inbox/inbox.ts";
import { type BotId, type Seq, toBotId, toSeq, type Update } from "../../src/ids.ts";
import type { BotClaim, PartitionClaim } from "../../src/leases/leases.ts";

export interface InboxHarness {
  /** Starts the process that owns the inbox: opens it over what earlier ones left. */
  start(): Promise<Inbox>;
  /** Ends the process without any chance to tidy up. What was acknowledged has to be there after the next `start`. */
  crash(): Promise<void>;
  /** Removes everything. Called once, whatever state the inbox is in. */
  dispose(): Promise<void>;
}

export interface InboxHarnessOptions {
  /** Entries that wait in memory for the reader before they are read back from the store. */
  readonly handoverMaxEntries: number;
  readonly deduplicate: boolean;
}

const bot = toBotId(7_000_000_001);
const otherBot = toBotId(42);

export function botClaim(of: BotId = bot, valid: () => boolean = () => true): BotClaim {
  return { bot: of, token: "", valid, lost: () => !valid() };
}

export function partitionClaim(valid: () => boolean = () => true): PartitionClaim {
  return { partition: 0, token: "", valid, lost: () => !valid() };
}

export function message(id: number, chat = 1, text = `text ${id}`): Update {
  const from = { id: chat, is_bot: false, first_name: "Ann" };
  const sent = {
    message_id: id,
    date: 1_800_000_000,
    chat: { id: chat, type: "private", first_name: "Ann" },
    from,
    text,
  };
  return { update_id: id, message: sent } as Update;
}

export function messages(from: number, to: number, chat = 1): Update[] {
  return Array.from({ length: to - from + 1 }, (_, place) => message(from + place, chat));
}

/** Reads until `count` entries have come. Rejects when the inbox stops before. */
export async function take(partition: Partition, count: number, max = 1_000): Promise<Entry[]> {
  const taken: Entry[] = [];
  while (taken.length < count) {
    const entries = await partition.next(Math.min(max, count - taken.length));
    if (entries.length === 0) throw new Error(`the inbox stopped after ${taken.length} of ${count} entries`);
    taken.push(...entries);
  }
  return taken;
}

/** Update ids of entries, whether their bodies are at hand or have to be fetched. */
export async function idsOf(partition: Partition, entries: readonly Entry[]): Promise<(number | undefined)[]> {
  const fetched = await partition.bodies(entries.filter((entry) => entry.body === undefined).map((entry) => entry.seq));
  return entries.map((entry) => (entry.body ?? fetched.get(entry.seq))?.updateId);
}

const death: Death = { kind: "dead", error: "boom", attempts: 5, sends: [], effectsUnknown: false };
const done = { kind: "done", how: "handled" } as const;
const send = { call: 0, method: "sendMessage", hash: "123", result: { message_id: 5 } };

export function inboxContract(
  name: string,
  create: (options: InboxHarnessOptions) => Promise<InboxHarness> | InboxHarness,
): void {
  type Work = (inbox: Inbox, harness: InboxHarness) => Promise<void>;

  function promise(title: string, work: Work, options: Partial<InboxHarnessOptions> = {}): void {
    test(title, async () => {
      const harness = await create({ handoverMaxEntries: 1_000, deduplicate: true, ...options });
      try {
        await work(await harness.start(), harness);
      } finally {
        await harness.dispose();
      }
    });
  }

  const open = (inbox: Inbox): Promise<Partition> => inbox.open(partitionClaim());

  /** The process dies and a new one opens the inbox. */
  async function restart(harness: InboxHarness): Promise<{ inbox: Inbox; partition: Partition }> {
    await harness.crash();
    const inbox = await harness.start();
    return { inbox, partition: await open(inbox) };
  }

  describe(`inbox contract: ${name}`, () => {
    promise("what was appended is handed out in order, with its body", async (inbox) => {
      const partition = await open(inbox);
      expect(await inbox.append(botClaim(), [message(10, -100), message(11)])).toEqual({
        stored: 2,
        known: 0,
        malformed: 0,
      });
      await inbox.append(botClaim(otherBot), [message(5, 9)]);
      const entries = await take(partition, 3);
      expect(entries.map((entry) => [entry.bot, entry.lane as unknown])).toEqual([
        [bot, -100],
        [bot, 1],
        [otherBot, 9],
      ]);
      expect(await idsOf(partition, entries)).toEqual([10, 11, 5]);
      expect(entries[0]?.seq).toBeLessThan(entries[1]?.seq ?? 0);
      expect(entries.map((entry) => [entry.attempts, entry.suspicion])).toEqual(entries.map(() => [0, "none"]));
    });

    promise(
      "an entry tells when its batch was received, as its body does, also after a crash",
      async (inbox, harness) => {
        const partition = await open(inbox);
        const earliest = Date.now();
        await inbox.append(botClaim(), messages(1, 2));
        const before = (await take(partition, 2)).map((entry) => entry.receivedAt);
        expect(Math.min(...before)).toBeGreaterThanOrEqual(earliest);
        expect(Math.max(...before)).toBeLessThanOrEqual(Date.now());
        const { partition: after } = await restart(harness);
        const entries = await take(after, 2);
        expect(entries.map((entry) => entry.receivedAt)).toEqual(before);
        const bodies = await after.bodies(entries.map((entry) => entry.seq));
        expect([...bodies.values()].map((body) => body.receivedAt)).toEqual(before);
      },
    );

    promise("`next` waits for an entry and hands out at most `max`", async (inbox) => {
      const partition = await open(inbox);
      const waiting = partition.next(2);
      await inbox.append(botClaim(), messages(1, 3));
      const first = await waiting;
      const rest = await take(partition, 3 - first.length);
      expect(first.length).toBeLessThanOrEqual(2);
      expect(await idsOf(partition, [...first, ...rest])).toEqual([1, 2, 3]);
    });

    promise("a body comes back as it was received", async (inbox, harness) => {
      const odd = {
        update_id: 3,
        brand_new: { id: "q\u0000\ud800 é 👋", deep: [1.5, null, { a: "" }], big: 2 ** 53 - 1 },
      };
      const update = odd as unknown as Update;
      await inbox.append(botClaim(), [update]);
      const { partition } = await restart(harness);
      const [entry] = await take(partition, 1);
      const bodies = await partition.bodies([entry?.seq ?? toSeq(0)]);
      const body = bodies.get(entry?.seq ?? toSeq(0));
      expect(body?.update).toEqual(update);
      expect(body?.size).toBe(JSON.stringify(update).length);
      expect(body?.sends).toEqual([]);
      expect(Math.abs((body?.receivedAt ?? 0) - Date.now())).toBeLessThan(600_000);
    });

    promise("the lane of an entry is the same after a restart", async (inbox, harness) => {
      const poll = { update_id: 1, poll: { id: "half \ud800 surrogate" } } as unknown as Update;
      const before = await open(inbox);
      await inbox.append(botClaim(), [poll, message(2, -1_002_000_000_123)]);
      const lanes = (await take(before, 2)).map((entry) => entry.lane);
      const { partition } = await restart(harness);
      expect((await take(partition, 2)).map((entry) => entry.lane)).toEqual(lanes);
    });

    promise("an update appended before is ignored: waiting, settled, or after a crash", async (inbox, harness) => {
      const partition = await open(inbox);
      await inbox.append(botClaim(), messages(1, 3));
      expect(await inbox.append(botClaim(), [message(3), message(4), message(4)])).toEqual({
        stored: 1,
        known: 2,
        malformed: 0,
      });
      const entries = await take(partition, 4);
      expect(await idsOf(partition, entries)).toEqual([1, 2, 3, 4]);
      for (const { seq } of entries) await partition.settle(seq, done);
      expect((await inbox.append(botClaim(), messages(1, 4))).known).toBe(4);
      const again = await restart(harness);
      expect((await again.inbox.append(botClaim(), messages(1, 5))).stored).toBe(1);
      expect(await idsOf(again.partition, await take(again.partition, 1))).toEqual([5]);
    });

    promise("the same id of another bot is another update", async (inbox) => {
      await inbox.append(botClaim(), [message(1)]);
      expect((await inbox.append(botClaim(otherBot), [message(1)])).stored).toBe(1);
    });

    promise("a numbering that restarts lower or far higher is new", async (inbox) => {
      await inbox.append(botClaim(), [message(500_000_000)]);
      expect((await inbox.append(botClaim(), [message(7), message(8)])).stored).toBe(2);
      expect((await inbox.append(botClaim(), [message(1_900_000_000)])).stored).toBe(1);
      expect((await inbox.append(botClaim(), [message(500_000_000), message(8)])).known).toBe(2);
    });

    promise(
      "without deduplication an id delivered twice is two entries",
      async (inbox) => {
        const partition = await open(inbox);
        await inbox.append(botClaim(), [message(1)]);
        expect((await inbox.append(botClaim(), [message(1)])).stored).toBe(1);
        expect(await idsOf(partition, await take(partition, 2))).toEqual([1, 1]);
      },
      { deduplicate: false },
    );

    promise("elements that are no updates become dead letters once, the rest is stored", async (inbox) => {
      const broken = [null, "text", { update_id: -1 }, { update_id: 1.5 }, {}] as unknown as Update[];
      const partition = await open(inbox);
      const batch = [message(1), ...broken, message(2)];
      expect(await inbox.append(botClaim(), batch)).toEqual({ stored: 2, known: 0, malformed: 5 });
      expect(await inbox.append(botClaim(), batch)).toEqual({ stored: 0, known: 2, malformed: 0 });
      expect(await idsOf(partition, await take(partition, 2))).toEqual([1, 2]);
      const letters = await inbox.deadLetters.list({ max: 10 });
      expect(letters.map((letter) => letter.body)).toEqual(broken.map((element) => JSON.stringify(element)));
      expect(letters[0]?.error).toContain("update_id");
      expect(letters[0]?.updateId).toBeUndefined();
      expect(await inbox.deadLetters.retry(letters[0]?.id ?? 0, { again: true })).toBe("malformed");
    });

    promise("a batch nested too deeply to be written becomes a dead letter", async (inbox) => {
      const depth = 100_000;
      const deep = JSON.parse(`{"update_id":1,"x":${"[".repeat(depth)}${"]".repeat(depth)}}`) as Update;
      expect(await inbox.append(botClaim(), [deep, message(2)])).toEqual({ stored: 1, known: 0, malformed: 1 });
    });

    promise("an empty batch is stored at once", async (inbox) => {
      expect(await inbox.append(botClaim(), [])).toEqual({ stored: 0, known: 0, malformed: 0 });
    });

    promise(
      "what is unsettled is handed out after a clean end, in order, before what arrives",
      async (inbox, harness) => {
        const partition = await open(inbox);
        await inbox.append(botClaim(), messages(1, 5));
        const entries = await take(partition, 5);
        await partition.settle(entries[1]?.seq ?? toSeq(0), done);
        await inbox.stop();
        const second = await harness.start();
        await second.append(botClaim(), messages(6, 7));
        const reopened = await open(second);
        await second.append(botClaim(), [message(8)]);
        const after = await take(reopened, 7);
        expect(await idsOf(reopened, after)).toEqual([1, 3, 4, 5, 6, 7, 8]);
        expect(after.map((entry) => entry.suspicion)).toEqual(Array(7).fill("none"));
      },
    );

    promise("after a crash what is unsettled comes back in order, as suspects", async (inbox, harness) => {
      const before = await open(inbox);
      await inbox.append(botClaim(), messages(1, 4));
      const entries = await take(before, 2);
      await before.settle(entries[0]?.seq ?? toSeq(0), done);
      const { inbox: second, partition } = await restart(harness);
      await second.append(botClaim(), [message(5)]);
      const after = await take(partition, 4);
      expect(await idsOf(partition, after)).toEqual([2, 3, 4, 5]);
      expect(after.map((entry) => entry.suspicion)).toEqual(["suspect", "suspect", "suspect", "none"]);
    });

    promise("a clean end raises no suspicion and takes none away", async (inbox, harness) => {
      await open(inbox);
      await inbox.append(botClaim(), [message(1)]);
      const { inbox: second, partition } = await restart(harness);
      const [entry] = await take(partition, 1);
      await partition.mark([{ seq: entry?.seq ?? toSeq(0), started: true }]);
      await second.append(botClaim(), [message(2)]);
      await second.stop();
      const third = await open(await harness.start());
      expect((await take(third, 2)).map((one) => one.suspicion)).toEqual(["suspect", "none"]);
    });

    promise(
      "what was marked started when the process died must run alone; twice then it is dead",
      async (inbox, harness) => {
        await open(inbox);
        await inbox.append(botClaim(), messages(1, 2));
        const suspicions: (string | undefined)[] = [];
        for (let crash = 0; crash < 3; crash++) {
          const { partition } = await restart(harness);
          const [first] = await take(partition, 2);
          suspicions.push(first?.suspicion);
          await partition.mark([{ seq: first?.seq ?? toSeq(0), started: true, attempts: 1, sends: [send] }]);
        }
        const { inbox: last, partition } = await restart(harness);
        const left = await take(partition, 1);
        expect(suspicions).toEqual(["suspect", "alone", "alone"]);
        expect(left.map((entry) => entry.suspicion)).toEqual(["suspect"]);
        const [letter] = await last.deadLetters.list({ max: 10 });
        expect(letter).toMatchObject({
          bot,
          updateId: 1,
          error: "the process died twice while this update was handled alone",
          attempts: 1,
          sends: [send],
          effectsUnknown: true,
        });
      },
    );

    promise("a run that ended without ending the process is not held against the entry", async (inbox, harness) => {
      await inbox.append(botClaim(), [message(1)]);
      const { partition } = await restart(harness);
      const [entry] = await take(partition, 1);
      const seq = entry?.seq ?? toSeq(0);
      await partition.mark([{ seq, started: true }]);
      await partition.mark([{ seq, started: false }]);
      const { partition: after } = await restart(harness);
      expect((await take(after, 1))[0]?.suspicion).toBe("suspect");
    });

    promise("a crash counts only against what was marked in that very life of the process", async (inbox, harness) => {
      await inbox.append(botClaim(), [message(1)]);
      const { partition } = await restart(harness);
      const [entry] = await take(partition, 1);
      await partition.mark([{ seq: entry?.seq ?? toSeq(0), started: true }]);
      for (let crash = 0; crash < 3; crash++) await restart(harness);
      const { partition: alone } = await restart(harness);
      await alone.mark([{ seq: entry?.seq ?? toSeq(0), started: true }]);
      const { inbox: last, partition: after } = await restart(harness);
      expect((await take(after, 1))[0]?.suspicion).toBe("alone");
      expect(await last.deadLetters.list({ max: 1 })).toEqual([]);
    });

    promise("attempts and finished sends survive a crash; fields left out keep their value", async (inbox, harness) => {
      await inbox.append(botClaim(), messages(1, 2));
      const before = await open(inbox);
      const [first, second] = await take(before, 2);
      await before.mark([{ seq: first?.seq ?? toSeq(0), attempts: 2 }]);
      await before.mark([
        { seq: first?.seq ?? toSeq(0), sends: [send] },
        { seq: second?.seq ?? toSeq(0), attempts: 1 },
      ]);
      const { partition } = await restart(harness);
      const after = await take(partition, 2);
      expect(after.map((entry) => entry.attempts)).toEqual([2, 1]);
      const bodies = await partition.bodies(after.map((entry) => entry.seq));
      expect(after.map((entry) => bodies.get(entry.seq)?.sends)).toEqual([[send], []]);
    });

    promise("a settled entry is gone, settling or marking it again changes nothing", async (inbox, harness) => {
      const partition = await open(inbox);
      await inbox.append(botClaim(), messages(1, 2));
      const [entry] = await take(partition, 2);
      const seq = entry?.seq ?? toSeq(0);
      await partition.settle(seq, done);
      await partition.settle(seq, death);
      await partition.mark([{ seq, attempts: 3, started: true }]);
      expect((await partition.bodies([seq])).size).toBe(0);
      expect(await inbox.deadLetters.list({ max: 10 })).toEqual([]);
      const { partition: after } = await restart(harness);
      expect(await idsOf(after, await take(after, 1))).toEqual([2]);
    });

    promise("what is settled together with others takes none of its neighbours along", async (inbox, harness) => {
      const before = await open(inbox);
      await inbox.append(botClaim(), messages(1, 9));
      const entries = await take(before, 9);
      const odd = entries.filter((_, place) => place % 2 === 0).toReversed();
      await Promise.all([...odd, ...odd].map(({ seq }) => before.settle(seq, done)));
      const { partition } = await restart(harness);
      expect(await idsOf(partition, await take(partition, 4))).toEqual([2, 4, 6, 8]);
    });

    promise("a dead entry becomes a letter that survives a crash", async (inbox, harness) => {
      const before = await open(inbox);
      await inbox.append(botClaim(), [message(1)]);
      const [entry] = await take(before, 1);
      await before.settle(entry?.seq ?? toSeq(0), { ...death, sends: [send], effectsUnknown: true });
      const { inbox: second } = await restart(harness);
      const letters = await second.deadLetters.list({ max: 10 });
      expect(letters).toHaveLength(1);
      expect(letters[0]).toMatchObject({
        bot,
        updateId: 1,
        lane: 1,
        body: JSON.stringify(message(1)),
        error: "boom",
        attempts: 5,
        sends: [send],
        effectsUnknown: true,
      });
      expect(await second.deadLetters.count()).toEqual(new Map([[bot, 1]]));
      expect(await second.backlog()).toEqual(new Map());
    });

    promise("letters are listed in order of death, by bot and page by page", async (inbox) => {
      const partition = await open(inbox);
      await inbox.append(botClaim(), messages(1, 3));
      await inbox.append(botClaim(otherBot), [message(1)]);
      for (const { seq } of (await take(partition, 4)).toReversed()) await partition.settle(seq, death);
      const all = await inbox.deadLetters.list({ max: 10 });
      expect(all.map((letter) => [letter.bot, letter.updateId])).toEqual([
        [otherBot, 1],
        [bot, 3],
        [bot, 2],
        [bot, 1],
      ]);
      const page = await inbox.deadLetters.list({ bot, max: 2 });
      expect(page.map((letter) => letter.updateId)).toEqual([3, 2]);
      const after = page[1]?.id ?? 0;
      expect((await inbox.deadLetters.list({ bot, after, max: 2 })).map((letter) => letter.updateId)).toEqual([1]);
      expect(await inbox.deadLetters.count()).toEqual(
        new Map([
          [otherBot, 1],
          [bot, 3],
        ]),
      );
    });

    promise(
      "a retried letter comes last, with its sends and no attempts; a dropped one is gone",
      async (inbox, harness) => {
        const partition = await open(inbox);
        await inbox.append(botClaim(), messages(1, 3));
        const entries = await take(partition, 3);
        await partition.settle(entries[0]?.seq ?? toSeq(0), { ...death, sends: [send] });
        await partition.settle(entries[1]?.seq ?? toSeq(0), death);
        const [first, second] = await inbox.deadLetters.list({ max: 10 });
        expect(await inbox.deadLetters.retry(first?.id ?? 0, { again: false })).toBe("retried");
        expect(await inbox.deadLetters.retry(first?.id ?? 0, { again: false })).toBe("absent");
        expect(await inbox.deadLetters.drop(second?.id ?? 0)).toBe("dropped");
        expect(await inbox.deadLetters.drop(second?.id ?? 0)).toBe("absent");
        const [retried] = await take(partition, 1);
        const seq = retried?.seq ?? toSeq(0);
        expect(seq).toBeGreaterThan(entries[2]?.seq ?? 0);
        const receivedAt = first?.receivedAt ?? 0;
        expect(retried).toMatchObject({ bot, lane: 1, attempts: 0, suspicion: "none", receivedAt });
        expect((await partition.bodies([seq])).get(seq)).toMatchObject({ updateId: 1, sends: [send], receivedAt });
        const { inbox: last, partition: after } = await restart(harness);
        expect(await idsOf(after, await take(after, 2))).toEqual([3, 1]);
        expect(await last.deadLetters.list({ max: 10 })).toEqual([]);
      },
    );

    promise("a letter whose effects are unknown is retried only when asked again", async (inbox) => {
      const partition = await open(inbox);
      await inbox.append(botClaim(), [message(1)]);
      const [entry] = await take(partition, 1);
      await partition.settle(entry?.seq ?? toSeq(0), { ...death, effectsUnknown: true });
      const [letter] = await inbox.deadLetters.list({ max: 1 });
      expect(await inbox.deadLetters.retry(letter?.id ?? 0, { again: false })).toBe("effects_unknown");
      expect(await inbox.deadLetters.retry(letter?.id ?? 0, { again: true })).toBe("retried");
    });

    promise(
      "entries that do not fit into memory never overtake each other",
      async (inbox) => {
        const partition = await open(inbox);
        let nextId = 1;
        const appendSome = async (count: number): Promise<void> => {
          nextId += count;
          await inbox.append(botClaim(), messages(nextId - count, nextId - 1));
        };
        const seen: Entry[] = [];
        for (let round = 0; round < 30; round++) {
          const appends = [appendSome(1 + (round % 7)), round % 3 === 0 ? appendSome(4) : Promise.resolve()];
          if (round % 2 === 0) seen.push(...(await partition.next(3)));
          await Promise.all(appends);
          const settled = seen[round];
          if (settled !== undefined) await partition.settle(settled.seq, done);
        }
        seen.push(...(await take(partition, nextId - 1 - seen.length, 4)));
        const seqs = seen.map((entry) => entry.seq);
        expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
        expect(new Set(seqs).size).toBe(nextId - 1);
      },
      { handoverMaxEntries: 5 },
    );

    promise("`settledBelow` is the oldest unsettled entry, or what comes next", async (inbox) => {
      const partition = await open(inbox);
      await inbox.append(botClaim(), messages(1, 3));
      const [first, second, third] = (await take(partition, 3)).map((entry) => entry.seq);
      if (first === undefined || second === undefined || third === undefined) throw new Error("three were appended");
      expect(partition.settledBelow()).toBeLessThanOrEqual(first);
      await partition.settle(second, done);
      expect(partition.settledBelow()).toBe(first);
      await partition.settle(first, done);
      expect(partition.settledBelow()).toBe(third);
      await partition.settle(third, death);
      expect(partition.settledBelow()).toBeGreaterThan(third);
      await inbox.append(botClaim(), [message(4)]);
      const [fourth] = await take(partition, 1);
      expect(partition.settledBelow()).toBeLessThanOrEqual(fourth?.seq ?? 0);
    });

    promise("the backlog counts what is unsettled of each bot", async (inbox, harness) => {
      const before = await open(inbox);
      await inbox.append(botClaim(), messages(1, 3));
      await inbox.append(botClaim(otherBot), messages(1, 2));
      const [entry, other] = await take(before, 2);
      expect(await inbox.backlog()).toEqual(
        new Map([
          [bot, 3],
          [otherBot, 2],
        ]),
      );
      await before.settle(entry?.seq ?? toSeq(0), done);
      await before.settle(entry?.seq ?? toSeq(0), done);
      await before.settle(other?.seq ?? toSeq(0), death);
      expect(await inbox.backlog()).toEqual(
        new Map([
          [bot, 1],
          [otherBot, 2],
        ]),
      );
      await inbox.append(botClaim(otherBot), [message(3)]);
      const [letter] = await inbox.deadLetters.list({ max: 1 });
      await inbox.deadLetters.retry(letter?.id ?? 0, { again: true });
      expect(await inbox.backlog()).toEqual(
        new Map([
          [bot, 2],
          [otherBot, 3],
        ]),
      );
      const { inbox: second } = await restart(harness);
      expect(await second.backlog()).toEqual(
        new Map([
          [bot, 2],
          [otherBot, 3],
        ]),
      );
    });

    promise("a seq is never used twice, even after everything settled and a restart", async (inbox, harness) => {
      const used: Seq[] = [];
      let current = { inbox, partition: await open(inbox) };
      for (let life = 0; life < 3; life++) {
        await current.inbox.append(botClaim(), messages(life * 10, life * 10 + 9));
        for (const { seq } of await take(current.partition, 10)) {
          used.push(seq);
          await current.partition.settle(seq, done);
        }
        if (life === 0) await current.inbox.stop();
        current = await restart(harness);
      }
      expect(new Set(used).size).toBe(30);
      expect(used).toEqual(used.toSorted((a, b) => a - b));
    });

    promise("without a valid claim nothing is written", async (inbox) => {
      let isValid = true;
      const partition = await inbox.open(partitionClaim(() => isValid));
      await inbox.append(botClaim(), [message(1)]);
      const [entry] = await take(partition, 1);
      isValid = false;
      const seq = entry?.seq ?? toSeq(0);
      expect(
        await codeOf(
          inbox.append(
            botClaim(bot, () => false),
            [message(2)],
          ),
        ),
      ).toBe("inbox_fenced");
      expect(await codeOf(partition.settle(seq, done))).toBe("inbox_fenced");
      expect(await codeOf(partition.mark([{ seq, attempts: 1 }]))).toBe("inbox_fenced");
      expect(await inbox.backlog()).toEqual(new Map([[bot, 1]]));
    });

    promise("a new claim takes the partition over and is handed everything unsettled", async (inbox) => {
      const first = await open(inbox);
      await inbox.append(botClaim(), messages(1, 2));
      const [entry] = await take(first, 2);
      const waiting = first.next(1);
      const second = await open(inbox);
      expect(await waiting).toEqual([]);
      expect(await codeOf(first.settle(entry?.seq ?? toSeq(0), done))).toBe("inbox_fenced");
      expect(await idsOf(second, await take(second, 2))).toEqual([1, 2]);
    });

    promise(
      "tells below which everything is settled, and what is not settled, also of a partition that was closed",
      async (inbox, harness) => {
        const partition = await open(inbox);
        await inbox.append(botClaim(), messages(1, 3));
        const seqs = (await take(partition, 3)).map(({ seq }) => seq);
        const [first = toSeq(0), second = toSeq(0), third = toSeq(0)] = seqs;
        expect(await inbox.unsettled(seqs)).toEqual(new Set(seqs));
        await Promise.all([partition.settle(first, done), partition.settle(third, death)]);
        expect(inbox.settledBelow(0)).toBe(second);
        expect(await inbox.unsettled(seqs)).toEqual(new Set([second]));
        await partition.close();
        expect(inbox.settledBelow(0)).toBe(second);
        await harness.crash();
        const again = await harness.start();
        expect(again.settledBelow(0)).toBeLessThanOrEqual(second);
        expect(await again.unsettled(seqs)).toEqual(new Set([second]));
        const reopened = await open(again);
        await take(reopened, 1);
        expect(again.settledBelow(0)).toBe(second);
        await reopened.close();
        expect(again.settledBelow(0)).toBe(second);
      },
    );

    promise("stopping writes what is pending and ends `next`", async (inbox, harness) => {
      const partition = await open(inbox);
      await inbox.append(botClaim(), messages(1, 2));
      const [entry] = await take(partition, 2);
      const settled = partition.settle(entry?.seq ?? toSeq(0), done);
      const waiting = partition.next(1);
      const appended = inbox.append(botClaim(), [message(3)]);
      await inbox.stop();
      await settled;
      expect(await appended).toEqual({ stored: 1, known: 0, malformed: 0 });
      expect(await waiting).toEqual([]);
      expect(await partition.next(1)).toEqual([]);
      expect(await codeOf(inbox.append(botClaim(), [message(4)]))).toBe("inbox_refused");
      expect(await codeOf(partition.settle(entry?.seq ?? toSeq(0), done))).toBe("unavailable");
      const after = await open(await harness.start());
      expect(await idsOf(after, await take(after, 2))).toEqual([2, 3]);
    });
  });
}

/** The code with which `promise` rejects; undefined where it resolves. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => (error instanceof Error && "code" in error ? error.code : error),
  );
}
