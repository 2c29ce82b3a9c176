/** The store in Redis does what the store in memory does: what the simulation shows of that one holds for Redis only as far as this does. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import type { Committed, Group, InboxStore, StoredEntry } from "../../src/inbox/store.ts";
import { toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import { describeLive } from "./live.ts";
import { own, redisServer } from "./programs.ts";
import { openRedisStore, redisInboxLimits } from "./redis-inbox-rig.ts";
import { LiveRedis } from "./redis-server.ts";

setDefaultTimeout(60_000);

const partitions = 3;
const limits = {
  ...redisInboxLimits,
  readMaxEntries: 4,
  runKeepIds: 6,
  runExtendIds: 5,
  runsMaxPerBot: 2,
  runForgetMs: 50,
};

const bot = fc.constantFrom(7_000_000_001, 42).map(toBotId);
const seq = fc.integer({ min: 1, max: 40 }).map(toSeq);
const lane = fc.constantFrom(1, 2, -1_002_000_000_123, "poll:5", "", 'a "b" c').map(toLaneKey);
const text = fc.constantFrom("{}", '{"a":"Ж \\r\\n 👋"}', "[1,2]", "x y");
const sends = fc.constantFrom("[]", '[{"call":0}]');
const mark = fc.record({
  seq,
  attempts: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
  started: fc.option(fc.boolean(), { nil: undefined }),
  sends: fc.option(sends, { nil: undefined }),
});
const death = fc.record({
  seq,
  error: fc.constantFrom("boom", ""),
  attempts: fc.integer({ min: 0, max: 5 }),
  sends,
  effectsUnknown: fc.boolean(),
});
const letterId = fc.integer({ min: 1, max: 12 });
const letter = fc.oneof(
  fc.record({ kind: fc.constant("retry" as const), id: letterId, again: fc.boolean() }),
  fc.record({ kind: fc.constant("drop" as const), id: letterId }),
);
const append = fc
  .record({
    bot,
    receivedAt: fc.integer({ min: 1, max: 1_000 }),
    rows: fc.array(fc.tuple(fc.integer({ min: 0, max: 25 }), lane, text), { maxLength: 6 }),
    malformed: fc.array(fc.record({ lane, body: text, error: fc.constant("no id") }), { maxLength: 2 }),
  })
  .map(({ rows, bot: of, receivedAt, malformed }) => ({
    bot: of,
    receivedAt,
    malformed,
    token: "",
    ids: rows.map(([id]) => id),
    lanes: rows.map(([, each]) => each),
    bodies: rows.map(([, , body]) => body),
  }));
const few = { maxLength: 3 };
const group = fc.record({
  tokens: fc.constant(["", "", ""]),
  marks: fc.array(mark, few),
  done: fc.array(seq, { maxLength: 8 }),
  deaths: fc.array(death, few),
  letters: fc.array(letter, few),
  appends: fc.array(append, few),
});

/** Everything that a store shows. */
async function seenIn(store: InboxStore): Promise<unknown> {
  const chunks = [];
  for (let partition = 0; partition < partitions; partition++) {
    for (const [after, max] of [
      [0, 100],
      [5, 3],
    ] as const) {
      const chunk = await store.unsettled(toSeq(after), max, partition);
      chunks.push({ ...chunk, entries: chunk.entries.map(withoutBody) });
    }
  }
  const seqs = Array.from({ length: 80 }, (_, at) => toSeq(at + 1));
  const bodies = (await store.bodies(seqs)).map((each) => ({
    seq: each.seq,
    updateId: each.updateId,
    receivedAt: each.receivedAt,
    body: each.body,
    // Remembering that there are none is the same as remembering nothing.
    sends: each.sends ?? "[]",
  }));
  return {
    chunks,
    bodies,
    letters: await store.letters({ max: 100 }),
    page: await store.letters({ bot: toBotId(42), after: 2, max: 2 }),
    counts: sorted(await store.letterCounts()),
    backlog: sorted(await store.backlog()),
  };
}

/** Of one that is read along, or not. */
function withoutBody(entry: StoredEntry): StoredEntry {
  const { seq: of, bot: its, lane: at, attempts, suspicion, receivedAt } = entry;
  return { seq: of, bot: its, lane: at, attempts, suspicion, receivedAt };
}

const sorted = (counts: ReadonlyMap<number, number>) => [...counts].toSorted(([a], [b]) => a - b);

function endOf({ appends, letters, settledBelow, fenced = [] }: Committed): unknown {
  return {
    appends: appends.map(({ firsts, ...end }) => ({ ...end, firsts: [0, 1, 2].map((at) => firsts[at] ?? null) })),
    letters,
    settledBelow: [...settledBelow],
    fenced: [...fenced],
  };
}

describeLive("the inbox in Redis and its model", [own(redisServer)], () => {
  let redis: LiveRedis;
  beforeAll(async () => {
    redis = await LiveRedis.start();
  });
  afterAll(() => redis.stop());

  test("answer the same and hold the same, whatever is written", async () => {
    let [stored, died, retried] = [0, 0, 0];
    const property = fc.asyncProperty(fc.array(group, { minLength: 1, maxLength: 12 }), async (groups) => {
      await redis.command("FLUSHALL");
      const store = (await openRedisStore(redis.url, { partitions, limits })).store;
      const model = createMemoryStore({ durable: emptyDurable(partitions), limits, deduplicate: true, now: 1 });
      let now = 1_000;
      for (const parts of groups) {
        // As the front does, which asks for a letter before it changes it.
        const present = new Set((await model.letters({ max: 100 })).map(({ id }) => id));
        const letters = parts.letters.filter(({ id }) => present.has(id));
        const written: Group = { ...parts, letters, now: (now += 20) };
        const [real, wanted] = [await store.commit(written), await model.commit(written)];
        expect(endOf(real)).toEqual(endOf(wanted));
        expect(await seenIn(store)).toEqual(await seenIn(model));
        retried += wanted.letters.filter(({ kind }) => kind === "retried").length;
      }
      await store.close(true);
      const left = await model.letters({ max: 100 });
      died += left.length;
      stored += [...(await model.backlog()).values()].reduce((sum, count) => sum + count, 0);
    });
    await fc.assert(property, { numRuns: Number(process.env["RUNS"] ?? 150) });
    expect(Math.min(stored, died, retried)).toBeGreaterThan(5);
  });
});
