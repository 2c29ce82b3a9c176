/** What every store of sessions promises, run on each implementation: `sessionStoreContract("memory", () => ...)`. */
import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/faults.ts";
import { toLaneKey, toSeq } from "../../src/ids.ts";
import type { Session, SessionStore, SessionWrite } from "../../src/storage/session-store.ts";

export interface SessionStoreHarness {
  readonly store: SessionStore;
  /** Makes every write of the store fail; answers how to end that. Absent: the store cannot fail. */
  readonly fail?: () => Promise<() => Promise<void>>;
  /** The store again, opened over what is kept of it. Absent: it keeps nothing. */
  readonly reopen?: () => Promise<SessionStore>;
  /** Makes what is stored under the key no session. Absent: that cannot be. */
  readonly damageSession?: (key: string) => Promise<void>;
  /** Removes everything. Called once, whatever state the store is in. */
  dispose(): Promise<void>;
}

function sessionOf(key: string, changes: Partial<Session> = {}): Session {
  return { key, version: 1, value: '{"n":1}', past: [], ...changes };
}

function past(seq: number, before?: string): Session["past"][number] {
  const value = { lane: toLaneKey(seq % 2 === 0 ? -100 : "poll:x"), partition: seq, seq: toSeq(seq), before, at: seq };
  return seq % 3 === 0 ? value : { ...value, isFollowed: true };
}

function over(before: Session, changes: Partial<Session>): SessionWrite {
  return { session: { ...before, version: before.version + 1, ...changes }, expectedVersion: before.version };
}

let writers = 0;
const write = (store: SessionStore, ...writes: readonly SessionWrite[]) =>
  store.writeSessions(writes, `writer-${writers++}`);
const insert = (store: SessionStore, ...sessions: readonly Session[]) =>
  write(store, ...sessions.map((session) => ({ session, expectedVersion: 0 })));

export function sessionStoreContract(
  name: string,
  make: () => SessionStoreHarness | Promise<SessionStoreHarness>,
): void {
  const promise = (
    title: string,
    check: (store: SessionStore, harness: SessionStoreHarness) => Promise<void>,
  ): void => {
    test(title, async () => {
      const harness = await make();
      try {
        await check(harness.store, harness);
      } finally {
        await harness.dispose();
      }
    });
  };

  describe(`the ${name} store of sessions`, () => {
    promise("gives back what was stored, every field of it, and leaves absent sessions out", async (store) => {
      const keys = ["7::1", "7:cart:-100", "7::", '7::"quoted"', "7::\0\ud800 $gt.__proto__", `7::${"k".repeat(500)}`];
      const sessions = [
        ...keys.map((key, at) =>
          sessionOf(key, { version: 1_800_000_000_000 + at, past: [past(at, "1"), past(at + 1)] }),
        ),
        sessionOf("7::text", { value: '"a\\u0000b\\ud800 \\"c\\" ☃"', past: [past(0, '"c\\ud800\\"☃"')] }),
        sessionOf("7::none", { value: undefined }),
      ];
      expect(new Set(await insert(store, ...sessions))).toEqual(new Set(["stored"]));
      const found = await store.readSessions([...sessions.map(({ key }) => key), "7::absent"]);
      expect([...found.keys()].toSorted()).toEqual(sessions.map(({ key }) => key).toSorted());
      for (const session of sessions) expect(found.get(session.key)).toEqual(session);
      expect((await store.readSessions([])).size).toBe(0);
    });

    promise("stores over the expected version alone, each write of a call on its own", async (store) => {
      const [a, b] = [sessionOf("a"), sessionOf("b")];
      await insert(store, a, b);
      const ends = await write(
        store,
        over(a, { value: "2", past: [past(1, a.value)] }),
        over({ ...b, version: 4 }, {}),
        { session: sessionOf("c"), expectedVersion: 0 },
        over(sessionOf("d"), {}),
      );
      expect(ends).toEqual(["stored", "conflict", "stored", "conflict"]);
      expect(await insert(store, sessionOf("c", { value: "0" }))).toEqual(["conflict"]);
      const found = await store.readSessions(["a", "b", "c", "d"]);
      expect(["a", "b", "c", "d"].map((key) => found.get(key)?.value)).toEqual(["2", '{"n":1}', '{"n":1}', undefined]);
      expect(await write(store)).toEqual([]);
    });

    promise("loses no increment of many writers that try again after a conflict", async (store) => {
      await insert(store, sessionOf("k", { value: "0" }));
      let conflicts = 0;
      const increment = async (): Promise<void> => {
        for (;;) {
          const session = (await store.readSessions(["k"])).get("k") ?? sessionOf("k");
          const [end] = await write(store, over(session, { value: String(Number(session.value) + 1) }));
          if (end === "stored") return;
          conflicts++;
        }
      };
      const writer = async (): Promise<void> => {
        for (let done = 0; done < 10; done++) await increment();
      };
      await Promise.all(Array.from({ length: 8 }, writer));
      expect((await store.readSessions(["k"])).get("k")).toMatchObject({ value: "80", version: 81 });
      expect(conflicts).toBeGreaterThan(0);
    });

    promise("finds the empty ones by rising key, and takes away those alone that are still the same", async (store) => {
      const empty = { value: undefined, past: [past(1, "1")] };
      const [a, b, c] = [sessionOf("7::a", empty), sessionOf("7::b", empty), sessionOf("7::c", empty)];
      await insert(store, sessionOf("7::full"), c, a, b);
      expect(await store.emptied(undefined, 2)).toEqual([a, b]);
      expect(await store.emptied("7::b", 2)).toEqual([c]);
      const filled = over(b, { value: "1" });
      await write(store, filled);
      await store.removeSessions([a, b, { key: "7::absent", version: 1 }]);
      expect([...(await store.readSessions(["7::a", "7::b"])).values()]).toEqual([filled.session]);
      expect(await store.emptied(undefined, 9)).toEqual([c]);
      await store.removeSessions([]);
    });

    promise("names a damaged one to who reads it, and leaves it out of the empty ones", async (store, harness) => {
      if (harness.damageSession === undefined) return;
      await insert(store, ...["7::a", "7::b", "7::c"].map((key) => sessionOf(key, { value: undefined })));
      await harness.damageSession("7::b");
      const error = await store.readSessions(["7::b"]).catch((reason: unknown) => reason);
      const words = expect.stringContaining('"7::b" is damaged; restore or delete it') as string;
      expect(error).toMatchObject({ code: "session_invalid", message: words });
      expect((await store.readSessions(["7::c"])).size).toBe(1);
      expect((await store.emptied(undefined, 9)).map(({ key }) => key)).toEqual(["7::a", "7::c"]);
    });

    promise("holds everything after it was closed and opened again", async (store, { reopen }) => {
      const session = sessionOf("k", { past: [past(1, "0")] });
      await insert(store, session);
      const again = await reopen?.();
      if (again !== undefined) expect((await again.readSessions(["k"])).get("k")).toEqual(session);
    });

    promise("rejects with `unavailable` while it cannot be written, and works afterwards", async (store, { fail }) => {
      if (fail === undefined) return;
      await insert(store, sessionOf("k"));
      const mend = await fail();
      const error = await insert(store, sessionOf("other")).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(Fault);
      expect((error as Fault).code).toBe("unavailable");
      await mend();
      expect(await insert(store, sessionOf("other"))).toEqual(["stored"]);
    });
  });
}
