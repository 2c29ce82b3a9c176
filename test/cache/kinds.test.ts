import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { documentOf, readDocument } from "../../src/cache/documents.ts";
import { sessionsKind, usersKind } from "../../src/cache/kinds.ts";
import { createTiers } from "../../src/cache/tiers.ts";
import type { CacheListener, CacheServer } from "../../src/cache/server.ts";
import type { Tier } from "../../src/cache/tier.ts";
import { toLaneKey, toSeq } from "../../src/ids.ts";
import type { PastValue, Session } from "../../src/storage/session-store.ts";
import { createUserCheck } from "../../src/users/check-user.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { ModelCache } from "../support/model-cache.ts";

const text = fc.string({
  unit: fc.constantFrom("a", " ", "\n", "\0", '"', "\\", "ж", "🙂", "\ud800", "%", ":"),
  maxLength: 12,
});
const count = fc.nat();
const entry = fc.record({
  lane: fc.oneof(text, fc.integer()).map(toLaneKey),
  partition: count,
  seq: count.map(toSeq),
  before: fc.option(text, { nil: undefined }),
  at: count,
});
const past = fc.oneof(
  entry,
  entry.map((each): PastValue => Object.assign(each, { isFollowed: true as const })),
);
const session: fc.Arbitrary<Session> = fc.record({
  key: text,
  version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  value: fc.option(text, { nil: undefined }),
  past: fc.array(past, { maxLength: 3 }),
});

describe("a session in the second tier", () => {
  test("comes back as it was, whatever it holds, under a key of its own without blanks", () => {
    fc.assert(
      fc.property(session, session, (one, other) => {
        const { keyOf, idOf, rowOf } = sessionsKind;
        const row = rowOf(one) ?? "";
        expect(readDocument(documentOf("g", one.version, row), one.key, "g", sessionsKind)).toEqual({
          kind: "document",
          document: one,
        });
        const key = keyOf(one.key);
        expect(key).toMatch(/^s:[!-~]+$/);
        expect(idOf(key)).toBe(one.key);
        expect(key === keyOf(other.key)).toBe(one.key === other.key);
        expect(usersKind(createUserCheck()).idOf(key)).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });

  test("that is damaged is no session, and one that is too large does not stand there", () => {
    for (const row of [
      "",
      "{",
      "null",
      "{}",
      "[]",
      '["k",1]',
      '["k",1.5,null,[]]',
      '["k",1,2,[]]',
      '["k",1,null,[[]]]',
      '["k",1,null,[["l",0,1,2]]]',
      '["other",1,null,[]]',
    ]) {
      expect([row, readDocument(documentOf("g", 1, row), "k", "g", sessionsKind)]).toEqual([row, { kind: "damaged" }]);
    }
    const large = { key: "k", version: 1, value: "x".repeat(70_000), past: [] };
    expect(sessionsKind.rowOf(large)).toBeUndefined();
    for (const key of ["s:", "s:%", "s:%22", "s:1", "5", "fleet"])
      expect([key, sessionsKind.idOf(key)]).toEqual([key, undefined]);
  });
});

describe("sessions of two instances", () => {
  function createInstances() {
    const clock = new FakeClock();
    const model = new ModelCache({ ttlMs: 60_000, absentMs: 5_000, leaseMs: 10_000, lostMs: 10_000 }, () =>
      clock.monotonic(),
    );
    const stored = new Map<string, Session>();
    const listeners: CacheListener[] = [];
    const trouble = { isDown: false, storageReads: 0 };
    model.onPublish = (said) => {
      for (const { onMessage } of listeners) onMessage(said);
    };
    const call =
      <Args extends unknown[], Answer>(effect: (...args: Args) => Answer) =>
      async (...args: Args): Promise<Answer> => {
        if (trouble.isDown) throw new Error("down");
        return effect(...args);
      };
    const server: CacheServer = {
      get: call((keys) => model.get(keys)),
      lease: call((keys, token, isFresh) => model.lease(keys, token, isFresh)),
      fillIn: call((fills) => model.fillIn(fills)),
      write: call((changes, message) => model.write(changes, message)),
      beat: call((beat) => model.beat(beat)),
      leave: call((sender, message) => model.leave(sender, message)),
      listen(listener) {
        listeners.push(listener);
        listener.onListening();
      },
      relisten: () => {},
      stop: async () => {},
    };
    const read: Tier<string, Session>["read"] = async (keys) => {
      trouble.storageReads++;
      return new Map(keys.flatMap((key) => (stored.has(key) ? [[key, stored.get(key) as Session] as const] : [])));
    };
    const sessions = { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} };
    const users: Tier = {
      held: () => undefined,
      read: async () => new Map(),
      readFresh: async () => new Map(),
      stored: () => {},
      forget: () => {},
    };
    let names = 0;
    const limits = { heldMax: 10, ttlMs: 600_000, absentMs: 5_000, absentMax: 10 };
    const tiers = [0, 1].map(() =>
      createTiers({
        server,
        check: createUserCheck(),
        clock,
        newName: () => `n${names++}`,
        sender: `n${names++}`,
        dead: [],
        limits: { beatMs: 1_000, silentMs: 3_000, failuresMax: 3, debtsMax: 10, groupMax: 10, sendersMax: 10 },
        users: { below: users, limits },
        sessions: { below: sessions, limits },
        onState: () => {},
        onKnown: () => {},
      }),
    );
    const write = (at: number, key: string, value: string): void => {
      const next = { key, version: (stored.get(key)?.version ?? 0) + 1, value, past: [] };
      stored.set(key, next);
      tiers[at]?.sessions.stored([next]);
    };
    const valueAt = async (at: number, key: string) => {
      const { sessions: tier } = tiers[at] ?? {};
      return (tier?.held(key) ?? (await tier?.read([key]))?.get(key))?.value;
    };
    return { clock, tiers, stored, trouble, write, valueAt };
  }

  test("are the same, and storage is asked for one that neither holds", async () => {
    const { clock, tiers, write, valueAt, trouble } = createInstances();
    for (const tier of tiers) tier.start();
    await clock.advance(1_000);
    write(0, "1::a b", "x");
    expect([await valueAt(0, "1::a b"), await valueAt(1, "1::a b")]).toEqual(["x", "x"]);
    await clock.advance(10);
    const { storageReads } = trouble;
    write(1, "1::a b", "y");
    await clock.advance(10);
    expect([await valueAt(0, "1::a b"), await valueAt(1, "1::a b")]).toEqual(["y", "y"]);
    expect(trouble.storageReads).toBe(storageReads);
  });

  test("are read from storage while nobody would tell that one has changed", async () => {
    const { clock, tiers, stored, valueAt, trouble } = createInstances();
    for (const tier of tiers) tier.start();
    await clock.advance(1_000);
    stored.set("k", { key: "k", version: 1, value: "x", past: [] });
    expect(await valueAt(0, "k")).toBe("x");
    await clock.advance(10);
    trouble.isDown = true;
    await clock.advance(4_000);
    stored.set("k", { key: "k", version: 2, value: "y", past: [] });
    expect(await valueAt(0, "k")).toBe("y");
    expect(await valueAt(0, "k")).toBe("y");
  });
});
