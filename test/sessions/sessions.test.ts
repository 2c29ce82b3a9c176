/** What sessions promise over a store in memory. Longer than other files because the promises of one part belong side by side. */
import { expect, test } from "bun:test";
import { Composer, type Context, lazySession, type LazySessionFlavor, session, type SessionFlavor } from "grammy";
import { limits } from "../../config/limits.ts";
import { type Attempt, createAttemptScope } from "../../src/attempts.ts";
import { createSessionTier } from "../../src/cache/sessions.ts";
import { createStorageTier } from "../../src/cache/storage.ts";
import { Fault, faultOf } from "../../src/faults.ts";
import { type Seq, toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import { createSessions } from "../../src/sessions/sessions.ts";
import { MemorySessionStore } from "../../src/storage/memory-sessions.ts";
import type { Session, SessionWrite } from "../../src/storage/session-store.ts";
import { host, textUpdate } from "../bots/fixtures/scripted.ts";
import { fakeAttempt } from "../support/fake-attempt.ts";
import { FakeClock, settled } from "../support/fake-clock.ts";

const bot = toBotId(7);

function createRig() {
  const clock = new FakeClock();
  const durable = new MemorySessionStore();
  const scope = createAttemptScope();
  const state = { isDown: false, isDeaf: false, settledBelow: 0, open: undefined as ReadonlySet<number> | undefined };
  const reads: (readonly string[])[] = [];
  const writes: (readonly SessionWrite[])[] = [];
  const sessions = createSessions({
    store: {
      emptied: (after, max) => durable.emptied(after, max),
      removeSessions: (given) => durable.removeSessions(given),
      async writeSessions(given, writer) {
        writes.push(given);
        if (state.isDown) throw new Fault("unavailable", "storage is down");
        const written = await durable.writeSessions(given, writer);
        if (state.isDeaf) throw new Fault("unavailable", "no answer", { effect: "unknown" });
        return written;
      },
    },
    tier: createSessionTier({
      below: createStorageTier<string, Session>({
        store: {
          read(keys) {
            reads.push(keys);
            return durable.readSessions(keys);
          },
        },
        group: true,
        readMax: 100,
      }),
      clock,
      limits: limits.sessions,
    }),
    scope,
    settled: {
      below: () => toSeq(state.settledBelow),
      unsettled: async (_partition, seqs) =>
        new Set<Seq>(seqs.filter((seq) => state.open?.has(seq) ?? seq >= state.settledBelow)),
    },
    isOwn: (partition) => partition === 0,
    clock,
    random: () => 0.5,
    limits: { ...limits.sessions, groupMaxSessions: 1_000 },
    log: { debug: () => {} },
    newWriter: () => "writer",
  });

  /** Runs `work` as the handler of the update with this seq. */
  function inUpdate<T>(seq: number, work: () => Promise<T>, lane = 1): Promise<T> {
    return until(scope.run(attemptOf(seq, lane), work));
  }

  /** Moves time until `promise` has ended. */
  async function until<T>(promise: Promise<T>): Promise<T> {
    const over = { is: false };
    const watched = promise.finally(() => (over.is = true));
    watched.catch(() => {});
    for (let steps = 0; !over.is && steps < 10_000; steps++) await clock.advance(1);
    return watched;
  }

  return { clock, durable, state, reads, writes, sessions, inUpdate, until, scope };
}

function attemptOf(seq: number, lane: number, changes: Partial<Attempt> = {}): Attempt {
  return fakeAttempt(seq, { bot, lane: toLaneKey(lane), ...changes });
}

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "resolved",
    (error: unknown) => faultOf(error)?.code ?? String(error),
  );

test("a session is read as it was written, until it is deleted; those of other bots and names are others", async () => {
  const { sessions, inUpdate } = createRig();
  const storages = [sessions.of<object>(bot), sessions.of<object>(bot, "cart"), sessions.of<object>(toBotId(8))];
  await inUpdate(1, () => Promise.all(storages.map((storage, at) => storage.write("5", { at, text: "ёж 🦔 \ud800" }))));
  const found = await inUpdate(2, () => Promise.all(storages.map((storage) => storage.read("5"))));
  expect(found).toEqual([0, 1, 2].map((at) => ({ at, text: "ёж 🦔 \ud800" })));
  await inUpdate(3, async () => storages[0]?.delete("5"));
  expect(await inUpdate(4, async () => storages[0]?.read("5"))).toBeUndefined();
  expect(await inUpdate(5, async () => storages[1]?.read("5"))).toEqual({ at: 1, text: "ёж 🦔 \ud800" });
});

test("an update sees what it wrote itself, and when it runs again what was there before", async () => {
  const { sessions, inUpdate } = createRig();
  const storage = sessions.of<number>(bot);
  await inUpdate(1, () => storage.write("5", 1));
  const run = async () => {
    const before = await storage.read("5");
    await storage.write("5", 10);
    await storage.write("5", 11);
    return [before, await storage.read("5")];
  };
  expect(await inUpdate(2, run)).toEqual([1, 11]);
  expect(await inUpdate(2, run)).toEqual([1, 11]);
  expect(await inUpdate(3, () => storage.read("5"))).toBe(11);
});

test("a row of updates that comes again finds what each found at first, and changes nothing once more", async () => {
  const { sessions, inUpdate, durable } = createRig();
  const storage = sessions.of<number>(bot);
  const add = async () => {
    const before = (await storage.read("5")) ?? 0;
    await storage.write("5", before + 1);
    return before;
  };
  const show = () => storage.read("5");
  const row = [add, show, add, add];
  const runAll = async () => {
    const found: unknown[] = [];
    for (const [at, run] of row.entries()) found.push(await inUpdate(at + 1, run));
    return found;
  };
  expect(await runAll()).toEqual([0, 1, 1, 2]);
  expect(await runAll()).toEqual([0, 1, 1, 2]);
  expect(durable.sessions.get("7::5")?.value).toBe("3");
});

test("what did not change is not written, and a held session is not read", async () => {
  const { sessions, inUpdate, reads, writes } = createRig();
  const storage = sessions.of<object>(bot);
  await inUpdate(1, () => storage.write("5", { n: 1 }));
  for (let seq = 2; seq < 5; seq++) {
    await inUpdate(seq, async () => storage.write("5", (await storage.read("5")) ?? {}));
  }
  expect([reads.length, writes.length]).toEqual([1, 1]);
});

test("sessions of many updates are read together and written together", async () => {
  const { sessions, scope, reads, writes, until } = createRig();
  const storage = sessions.of<number>(bot);
  const updates = Array.from({ length: 50 }, (_, at) =>
    scope.run(attemptOf(at, at), async () => storage.write(String(at), ((await storage.read(String(at))) ?? 0) + 1)),
  );
  await until(Promise.all(updates));
  expect([reads.length, writes.length, writes[0]?.length]).toEqual([1, 1, 50]);
});

test("of two updates that change one session at a time the second runs again on what the first wrote", async () => {
  const { sessions, scope, inUpdate, until, durable } = createRig();
  const storage = sessions.of<number>(bot);
  const add = async () => storage.write("all", ((await storage.read("all")) ?? 0) + 1);
  const both = [1, 2].map((seq) => codeOf(scope.run(attemptOf(seq, seq), add)));
  expect(await until(Promise.all(both))).toEqual(["resolved", "unavailable"]);
  await inUpdate(2, add, 2);
  expect(durable.sessions.get("7::all")?.value).toBe("2");
});

test("a write that fails, or whose answer is lost, is an outage for its update; it takes effect once when it is done again", async () => {
  const { sessions, inUpdate, state, durable } = createRig();
  const storage = sessions.of<number>(bot);
  const add = async () => storage.write("5", ((await storage.read("5")) ?? 0) + 1);
  await inUpdate(1, add);
  state.isDown = true;
  expect(await codeOf(inUpdate(2, add))).toBe("unavailable");
  state.isDown = false;
  state.isDeaf = true;
  // An unknown effect would count as a message that may have been sent, towards a dead letter.
  expect(faultOf(await inUpdate(2, add).catch((error: unknown) => error))).toMatchObject({
    code: "unavailable",
    effect: "not_done",
  });
  state.isDeaf = false;
  await inUpdate(2, add);
  expect(durable.sessions.get("7::5")?.value).toBe("2");
});

test("outside of any update the last write wins, whatever was written meanwhile", async () => {
  const { sessions, until, durable } = createRig();
  const storage = sessions.of<number>(bot);
  await until(Promise.all([storage.write("5", 1), storage.write("5", 2)]));
  await durable.writeSessions(
    [
      {
        session: { key: "7::5", version: 1_900_000_000_000, value: "9", past: [] },
        expectedVersion: durable.sessions.get("7::5")?.version ?? 0,
      },
    ],
    "another",
  );
  await until(storage.write("5", 3));
  expect(await until(storage.read("5"))).toBe(3);
});

test("what updates may come again is remembered as long as they may, and no longer; too many of them wait", async () => {
  const { sessions, inUpdate, state, durable } = createRig();
  const storage = sessions.of<number>(bot);
  const pastOf = () => durable.sessions.get("7::5")?.past.map(({ seq }) => Number(seq));
  const { pastMax } = limits.sessions;
  for (let seq = 1; seq <= pastMax; seq++) await inUpdate(seq, () => storage.write("5", seq));
  expect(await codeOf(inUpdate(pastMax + 1, () => storage.write("5", 0)))).toBe("unavailable");
  expect(pastOf()).toHaveLength(pastMax);
  state.settledBelow = pastMax;
  await inUpdate(pastMax + 1, () => storage.write("5", 0));
  expect(pastOf()).toEqual([pastMax, pastMax + 1]);
});

test("what updates of another instance's inbox left behind is dropped when it is old, and neither blocks a session nor keeps one that is deleted", async () => {
  const { sessions, inUpdate, until, scope, clock, durable } = createRig();
  const storage = sessions.of<number>(bot);
  const { pastMax, othersMaxMs, sweepMs } = limits.sessions;
  for (let life = 1; life <= pastMax; life++) {
    await until(scope.run(attemptOf(1, 1, { partition: life }), () => storage.write("5", life)));
  }
  expect(await codeOf(inUpdate(1, () => storage.write("5", 0)))).toBe("unavailable");
  await clock.advance(othersMaxMs);
  await inUpdate(1, () => storage.write("5", 0));
  expect(durable.sessions.get("7::5")?.past.map(({ partition }) => partition)).toEqual([0]);
  await until(scope.run(attemptOf(2, 1, { partition: 9 }), () => storage.delete("5")));
  sessions.start();
  const own = durable.sessions.get("7::5")?.past.filter(({ partition }) => partition === 9);
  durable.sessions.set("7::5", { key: "7::5", version: 1, value: undefined, past: own ?? [] });
  await clock.advance(sweepMs * 2);
  expect(durable.sessions.size).toBe(1);
  await clock.advance(othersMaxMs);
  expect(durable.sessions.size).toBe(0);
  await sessions.stop();
});

test("an update finds its session as it is where its inbox was lost and begins its numbers anew", async () => {
  const { sessions, inUpdate, state, durable } = createRig();
  const storage = sessions.of<number>(bot);
  await inUpdate(900, () => storage.write("5", 1));
  await inUpdate(901, () => storage.write("5", 2));
  state.open = new Set([1]);
  expect(await inUpdate(1, () => storage.read("5"))).toBe(2);
  await inUpdate(1, () => storage.write("5", 3));
  expect(durable.sessions.get("7::5")).toMatchObject({ value: "3", past: [{ seq: 1 }] });
});

test("an update that runs again does not undo what was written outside of any update meanwhile", async () => {
  const { sessions, inUpdate, until } = createRig();
  const storage = sessions.of<number>(bot);
  const add = async () => storage.write("5", ((await storage.read("5")) ?? 0) + 1);
  await inUpdate(1, add);
  await until(storage.write("5", 100));
  await inUpdate(1, add);
  expect(await until(storage.read("5"))).toBe(100);
});

test("what a handler leaves running after its update has ended reads what is stored by now, and writes it", async () => {
  const { sessions, inUpdate, until, scope } = createRig();
  const storage = sessions.of<number>(bot);
  const attempt = { ...attemptOf(1, 1), isOver: false };
  await until(scope.run(attempt, () => storage.write("5", 1)));
  attempt.isOver = true;
  await inUpdate(2, () => storage.write("5", 2));
  expect(await until(scope.run(attempt, () => storage.read("5")))).toBe(2);
  await until(scope.run(attempt, () => storage.write("5", 3)));
  expect(await until(storage.read("5"))).toBe(3);
});

test("a read is an effect of its attempt that waits for storage, so that an outage is never the handler's fault", async () => {
  const { sessions, until, scope } = createRig();
  const answerers: unknown[] = [];
  const effect: Attempt["effect"] = (run, answerer) => {
    answerers.push(answerer);
    return run();
  };
  const storage = sessions.of<number>(bot);
  await until(scope.run(attemptOf(1, 1, { effect }), () => storage.read("5")));
  expect(answerers).toEqual(["storage"]);
});

test("a deleted session is taken away once its update is settled", async () => {
  const { sessions, inUpdate, state, durable, clock } = createRig();
  const storage = sessions.of<number>(bot);
  await inUpdate(1, () => storage.write("5", 1));
  await inUpdate(2, () => storage.delete("5"));
  sessions.start();
  state.settledBelow = 2;
  await clock.advance(limits.sessions.sweepMs);
  expect(durable.sessions.size).toBe(1);
  state.settledBelow = 3;
  await clock.advance(limits.sessions.sweepMs);
  expect(durable.sessions.size).toBe(0);
  await inUpdate(3, () => storage.write("5", 7));
  expect(await inUpdate(4, () => storage.read("5"))).toBe(7);
  await sessions.stop();
});

test("what is too long, no JSON or no name is refused with what to do, and nothing is stored", async () => {
  const { sessions, inUpdate, durable } = createRig();
  const storage = sessions.of<unknown>(bot);
  const ring: unknown[] = [];
  ring.push(ring);
  const refusals: readonly [string, unknown, string][] = [
    ["5", "x".repeat(limits.sessions.valueMaxChars), "store less in it"],
    ["k".repeat(limits.sessions.keyMaxChars + 1), 1, "a session's may have"],
    ["5", 1n, "BigInt"],
    ["5", ring, "cyclic"],
  ];
  for (const [key, value, words] of refusals) {
    expect(await codeOf(inUpdate(1, () => storage.write(key, value)))).toContain(words);
  }
  for (const name of ["Cart", "a:b", "n".repeat(41)]) expect(() => sessions.of(bot, name)).toThrow("a-z, 0-9 and _");
  expect(durable.sessions.size).toBe(0);
  await inUpdate(2, () => storage.write("__proto__", { __proto__: null, $gt: 1 }));
  expect(await inUpdate(3, () => storage.read("__proto__"))).toEqual({ $gt: 1 });
});

interface Kept {
  count: number;
}
const initial = (): Kept => ({ count: 0 });

test("grammY's `session` and `lazySession` keep what a handler leaves in them", async () => {
  const { sessions, durable, until } = createRig();
  const plain = new Composer<Context & SessionFlavor<Kept>>();
  plain.use(session({ initial, storage: sessions.of<Kept>(bot, "plain") }));
  plain.on("message:text", (ctx) => ctx.reply(`${++ctx.session.count}`));
  const lazy = new Composer<Context & LazySessionFlavor<Kept>>();
  lazy.use(lazySession({ initial, storage: sessions.of<Kept>(bot, "lazy") }));
  lazy.on("message:text", async (ctx) => {
    const kept = await ctx.session;
    await ctx.reply(`${++kept.count}`);
  });
  for (const [name, composer] of Object.entries({ plain, lazy })) {
    const create = () => composer as unknown as Composer<Context>;
    const { handle, calls } = await host({ updates: ["message"], create });
    for (let n = 0; n < 3; n++) await until(handle(textUpdate("hi")));
    expect(calls.map(({ payload }) => payload["text"])).toEqual(["1", "2", "3"]);
    const key = [...durable.sessions.keys()].find((each) => each.startsWith(`7:${name}:`)) ?? "";
    expect(durable.sessions.get(key)?.value).toBe('{"count":3}');
  }
});

test("a session is not written where its update may have become another instance's since it was read, however late", async () => {
  const rig = createRig();
  let mayAct = true;
  const attempt = fakeAttempt(1, { bot, mayAct: () => mayAct });
  const sessions = rig.sessions.of<string>(bot);
  const other = rig.scope.run(fakeAttempt(2, { bot }), () => sessions.write("b", "of another partition"));
  const written = rig.scope.run(attempt, () => sessions.write("a", "late"));
  await settled();
  // Both wait to be written together.
  expect(rig.writes).toEqual([]);
  mayAct = false;
  expect(await rig.until(written).catch(faultOf)).toMatchObject({ code: "unavailable" });
  await rig.until(other);
  expect(rig.writes.flat().map(({ session: { key } }) => key)).toEqual(["7::b"]);
});
