/** What the rows of the SQLite inbox promise below its front. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { openSqliteStore, type SqliteStore } from "../../src/inbox/sqlite-store.ts";
import type { AppendWrite, Group } from "../../src/inbox/store.ts";
import { type Seq, toBotId, toLaneKey, toSeq } from "../../src/ids.ts";
import { inboxLimits } from "./limits.ts";
import { withFolder } from "./temporary-folder.ts";

const bot = toBotId(9);

function group(parts: Partial<Group>): Group {
  return { now: 1_000, tokens: [], marks: [], done: [], deaths: [], letters: [], appends: [], ...parts };
}

function append(ids: readonly number[], body: unknown = "{}"): AppendWrite {
  const columns = { lanes: ids.map(() => toLaneKey(1)), bodies: ids.map(() => body as string) };
  return { bot, token: "", receivedAt: 1_000, ids, ...columns, malformed: [] };
}

async function withStore(work: (store: SqliteStore, path: string, reopen: () => SqliteStore) => void): Promise<void> {
  await withFolder((folder) => {
    const path = join(folder, "inbox.sqlite");
    const open = (): SqliteStore => openSqliteStore({ path, limits: inboxLimits, deduplicate: true, now: 1_000 });
    let store = open();
    work(store, path, () => {
      store.abandon();
      return (store = open());
    });
    store.abandon();
  });
}

const seqsOf = (store: SqliteStore): Seq[] => store.unsettled(toSeq(0), 1_000).entries.map((entry) => entry.seq);

test("a transaction that fails half way leaves nothing behind, and the next one works", async () => {
  await withStore((store, _path, reopen) => {
    store.backlog();
    const unwritable = Symbol("no cell can hold this");
    const half = group({ appends: [append([1, 2]), append([3], unwritable)] });
    expect(() => store.commit(half)).toThrow();
    expect(store.isStuck()).toBe(false);
    expect(seqsOf(store)).toEqual([]);
    expect(store.backlog()).toEqual(new Map());
    // Nothing of the failed batch is remembered as known, and the numbers it took are durable in the block of the next.
    const committed = store.commit(group({ appends: [append([1, 2, 3])] }));
    expect(committed.appends[0]?.known).toEqual([]);
    const used = seqsOf(store);
    store.commit(group({ done: used }));
    const again = reopen();
    again.commit(group({ appends: [append([4])] }));
    expect(seqsOf(again)[0]).toBeGreaterThan(used.at(-1) ?? 0);
  });
});

test("marks go with their entry and never outlive it", async () => {
  await withStore((store, path) => {
    store.commit(group({ appends: [append([1, 2, 3])] }));
    const [first, second, third] = seqsOf(store);
    if (first === undefined || second === undefined || third === undefined) throw new Error("three were appended");
    const mark = (seq: Seq) => ({ seq, attempts: 1, started: true, sends: "[]" });
    store.commit(group({ marks: [mark(first), mark(second), mark(third)] }));
    store.commit(group({ done: [first] }));
    store.commit(group({ deaths: [{ seq: second, error: "", attempts: 1, sends: "[]", effectsUnknown: false }] }));
    store.commit(group({ marks: [mark(first), mark(second)] }));
    const db = new Database(path, { readonly: true });
    expect(db.query("SELECT seq FROM marks").values()).toEqual([[third]]);
    db.close();
  });
});

test("an empty group writes, so that it tells whether the store can be written", async () => {
  await withStore((store, path) => {
    store.commit(group({ now: 4_711 }));
    const db = new Database(path, { readonly: true });
    expect(db.query("SELECT value FROM meta WHERE name = 'probe'").values()).toEqual([[4_711]]);
    db.close();
  });
});

test("the recovery of a large backlog writes a few rows, not one for each entry", async () => {
  await withStore((store, path, reopen) => {
    store.commit(group({ appends: [append(Array.from({ length: 2_000 }, (_, id) => id))] }));
    const again = reopen();
    expect(again.unsettled(toSeq(0), 5).entries.map((entry) => entry.suspicion)).toEqual(Array(5).fill("suspect"));
    const db = new Database(path, { readonly: true });
    expect(db.query("SELECT count(*) FROM marks").values()).toEqual([[0]]);
    db.close();
  });
});
