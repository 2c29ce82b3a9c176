/** What becomes of the file of the users: plans of its queries, formats, damage, a full disk. Longer than other files because what one file can meet belongs side by side. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { Fault } from "../../src/faults.ts";
import { toUserId } from "../../src/ids.ts";
import { createSqliteUserStore, type SqliteStorage, type SqliteUserStoreOptions } from "../../src/storage/sqlite.ts";
import { format } from "../../src/storage/sqlite-format.ts";
import { bucketOf } from "../../src/storage/sqlite-rows.ts";
import { sessionStatements } from "../../src/storage/sqlite-sessions.ts";
import { statements, updateOf } from "../../src/storage/sqlite-statements.ts";
import { SqliteUsers } from "../../src/storage/sqlite-users.ts";
import { bitsOf, textOf } from "../../src/storage/sqlite-writes.ts";
import { newUser } from "../contract/users.ts";
import { withFolder } from "../inbox/temporary-folder.ts";
import { userLimits } from "./limits.ts";

const fileIn = (folder: string): string => join(folder, "users.sqlite");

function open(dataDir: string, options: Partial<SqliteUserStoreOptions> = {}): Promise<SqliteStorage> {
  return createSqliteUserStore({ dataDir, clock: systemClock, limits: userLimits, ...options });
}

async function fill(folder: string, count: number): Promise<void> {
  const store = await open(folder);
  const users = Array.from({ length: count }, (_, place) => newUser(place + 1));
  await store.write(
    users.map((user) => ({ user, before: undefined })),
    "filler",
  );
  await store.stop();
}

async function faultOf(work: Promise<unknown>): Promise<Fault> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof Fault) return error;
  throw new Error(`no fault: ${String(error)}`);
}

describe("every query", () => {
  const db = new Database(":memory:");
  db.run(format.schema);
  const planOf = (sql: string): string[] =>
    db
      .query<{ detail: string }, []>(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(({ detail }) => detail);
  const expected: Partial<Record<keyof typeof statements, string[]>> = {
    read: [
      "SEARCH users USING INTEGER PRIMARY KEY (rowid=?)",
      "LIST SUBQUERY 1",
      "SCAN json_each VIRTUAL TABLE INDEX 1:",
    ],
    ofCode: ["SEARCH users USING COVERING INDEX users_code (code=?)"],
    byWallet: ["SEARCH users USING INDEX users_wallet (wallet=?)"],
    byDevice: ["SEARCH users USING INDEX users_device_ip (device=? AND ip=?)"],
    referrals: ["SEARCH users USING INDEX users_referrer (referred_by=? AND created_at<?)"],
    leaderboard: ["SEARCH users USING INDEX users_active_points (is_active=?)"],
    histogram: ["SCAN histogram"],
    active: ["SEARCH members USING PRIMARY KEY (bot=? AND user>?)"],
    owed: ["SEARCH users USING COVERING INDEX users_owed (referral_since<?)"],
    version: ["SEARCH users USING INTEGER PRIMARY KEY (rowid=?)"],
    leave: ["SEARCH members USING PRIMARY KEY (bot=? AND user=?)"],
    uncount: ["SEARCH histogram USING INTEGER PRIMARY KEY (rowid=?)"],
    pay: ["SEARCH users USING INTEGER PRIMARY KEY (rowid=?)"],
    standing: ["SEARCH users USING INTEGER PRIMARY KEY (rowid=?)"],
    credit: ["SEARCH users USING INTEGER PRIMARY KEY (rowid=?)"],
    insert: [],
    join: [],
    count: [],
    probe: [],
  };
  for (const [name, sql] of Object.entries(statements)) {
    if (["begin", "commit", "walSize"].includes(name)) continue;
    test(`\`${name}\` is answered by an index, without sorting or reading through the users`, () => {
      expect(planOf(sql)).toEqual(expected[name as keyof typeof statements] ?? ["unlisted"]);
    });
  }

  const expectedOfSessions: Readonly<Record<keyof typeof sessionStatements, string[]>> = {
    read: [
      "SEARCH sessions USING INDEX sqlite_autoindex_sessions_1 (key=?)",
      "LIST SUBQUERY 1",
      "SCAN json_each VIRTUAL TABLE INDEX 1:",
    ],
    insert: [],
    update: ["SEARCH sessions USING INDEX sqlite_autoindex_sessions_1 (key=?)"],
    emptied: ["SEARCH sessions USING INDEX sessions_emptied (key>?)"],
    remove: ["SEARCH sessions USING INDEX sqlite_autoindex_sessions_1 (key=?)"],
  };
  for (const [name, sql] of Object.entries(sessionStatements)) {
    test(`\`${name}\` of sessions is answered by an index`, () => {
      expect(planOf(sql)).toEqual(expectedOfSessions[name as keyof typeof sessionStatements]);
    });
  }

  test("finds the eight indexes that it is promised", () => {
    const names = "wallet code device_ip active_points verified code_active referrer owed".split(" ");
    const found = db.query("SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'users_%'").values();
    expect(found.flat().map(String).toSorted()).toEqual(names.map((name) => `users_${name}`).toSorted());
  });

  /** Indexes that a statement opens for writing. */
  function writtenBy(sql: string): string[] {
    const roots = new Map(
      db
        .query("SELECT rootpage, name FROM sqlite_master WHERE type = 'index'")
        .values()
        .map(([page, name]) => [page, name]),
    );
    const steps = db.query<{ opcode: string; p2: number }, []>(`EXPLAIN ${sql}`).all();
    return steps.flatMap(({ opcode, p2 }) => (opcode === "OpenWrite" && roots.has(p2) ? [String(roots.get(p2))] : []));
  }

  test("that changes points touches the index of points alone; one that changes no searched column touches none", () => {
    expect(writtenBy(updateOf(bitsOf("points")))).toEqual(["users_active_points"]);
    expect(writtenBy(updateOf(0))).toEqual([]);
    expect(writtenBy(statements.credit)).toEqual(["users_active_points"]);
    expect(writtenBy(updateOf(bitsOf("wallet")))).toEqual(["users_wallet"]);
  });
});

test("a batch that finds the disk full half way leaves nothing behind, and a later one works", async () => {
  await withFolder((folder) => {
    const db = new Database(fileIn(folder), { create: true });
    db.run(format.schema);
    const users = new SqliteUsers(db, { path: fileIn(folder), ...userLimits });
    const batch = (from: number, count: number) =>
      textOf(Array.from({ length: count }, (_, place) => ({ user: newUser(from + place), before: undefined })));
    users.write(batch(1, 10));
    const before = users.histogram();
    const pages = db.query<{ page_count: number }, []>("PRAGMA page_count").get()?.page_count ?? 0;
    db.run(`PRAGMA max_page_count = ${pages + 2}`);
    expect(() => users.write(batch(100, 1_000))).toThrow("full");
    expect(users.isStuck()).toBe(false);
    expect(users.read("[100, 101, 1000]")).toBe("");
    expect(users.histogram()).toEqual(before);
    db.run("PRAGMA max_page_count = 100000");
    expect(users.write(batch(100, 1_000))).toHaveLength(1_000);
    expect(users.histogram()).toEqual([{ from: 0, users: 1_010 }]);
    users.close();
  });
});

test("a batch that fails at one of its users leaves nothing of it behind, and the next one works", async () => {
  await withFolder((folder) => {
    const db = new Database(fileIn(folder), { create: true });
    db.run(format.schema);
    const users = new SqliteUsers(db, { path: fileIn(folder), ...userLimits });
    const text = textOf([1, 2].map((id) => ({ user: newUser(id), before: undefined })));
    db.run("CREATE TRIGGER refuse BEFORE INSERT ON users WHEN NEW.id = 2 BEGIN SELECT RAISE(ABORT, 'refused'); END");
    expect(() => users.write(text)).toThrow("refused");
    expect(users.isStuck()).toBe(false);
    expect([users.read("[1, 2]"), users.histogram()]).toEqual(["", []]);
    db.run("DROP TRIGGER refuse");
    expect(users.write(text)).toEqual(["stored", "stored"]);
    expect(users.histogram()).toEqual([{ from: 0, users: 2 }]);
    users.close();
  });
});

describe("the file of the users", () => {
  test("of the format before sessions gets a place for them and keeps its users", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 3);
      const db = new Database(fileIn(folder));
      db.run("DROP TABLE sessions");
      db.run("PRAGMA user_version = 1");
      db.close();
      const store = await open(folder);
      const session = { key: "7::1", version: 1, value: "1", past: [] };
      expect(await store.writeSessions([{ session, expectedVersion: 0 }], "writer")).toEqual(["stored"]);
      expect((await store.read([1, 2, 3].map(toUserId))).size).toBe(3);
      await store.stop();
    });
  });

  test("of a newer botfleet is refused and left as it is", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 3);
      const db = new Database(fileIn(folder));
      db.run("PRAGMA user_version = 9");
      db.close();
      const { code, message } = await faultOf(open(folder));
      expect(code).toBe("format_newer");
      for (const part of [fileIn(folder), "format 9", "up to 2"]) expect(message).toContain(part);
      const after = new Database(fileIn(folder));
      after.run("PRAGMA user_version = 2");
      after.close();
      const store = await open(folder);
      expect((await store.read([1, 2, 3].map(toUserId))).size).toBe(3);
      await store.stop();
    });
  });

  test("that is damaged or no database is refused, untouched, with what to do", async () => {
    const damages: ((path: string) => void)[] = [
      (path) => writeFileSync(path, "not a database ".repeat(1_000)),
      (path) => {
        const middle = Math.floor(statSync(path).size / 8_192) * 4_096;
        const descriptor = openSync(path, "r+");
        writeSync(descriptor, new Uint8Array(4_096).fill(0xaa), 0, 4_096, middle);
        closeSync(descriptor);
      },
    ];
    for (const damage of damages) {
      await withFolder(async (folder) => {
        await fill(folder, 500);
        damage(fileIn(folder));
        const before = readFileSync(fileIn(folder));
        const { code, message } = await faultOf(open(folder));
        expect(code).toBe("storage_damaged");
        for (const part of [fileIn(folder), "backup", ".recover"]) expect(message).toContain(part);
        expect(readFileSync(fileIn(folder)).equals(before)).toBe(true);
      });
    }
  });

  test.each([
    ["for the next start to see", false],
    ["also where the disk takes no note of it", true],
  ])("that shows its damage at work breaks the store, %s", async (_how, isNoteRefused) => {
    await withFolder(async (folder) => {
      await fill(folder, 5_000);
      const broken = Promise.withResolvers<unknown>();
      const store = await open(folder, { onBroken: broken.resolve });
      if (isNoteRefused) mkdirSync(`${fileIn(folder)}.check`);
      const descriptor = openSync(fileIn(folder), "r+");
      const bytes = new Uint8Array(statSync(fileIn(folder)).size - 4_096 * 14).fill(0xaa);
      writeSync(descriptor, bytes, 0, bytes.length, 4_096 * 14);
      closeSync(descriptor);
      const all = Array.from({ length: 5_000 }, (_, place) => toUserId(place + 1));
      expect((await faultOf(store.read(all))).code).toBe("unavailable");
      expect(String(await broken.promise)).toContain("malformed");
      expect((await faultOf(store.read(all))).code).toBe("unavailable");
      expect(existsSync(`${fileIn(folder)}.check`)).toBe(true);
      await store.stop();
      expect((await faultOf(open(folder))).code).toBe("storage_damaged");
    });
  });

  test.each<[string, (path: string, away: string) => void, (path: string, away: string) => void]>([
    [
      "moved away",
      (path, away) => {
        for (const end of ["", "-wal", "-shm"]) renameSync(path + end, away + end);
      },
      (path, away) => {
        for (const end of ["", "-wal", "-shm"]) renameSync(away + end, path + end);
      },
    ],
    [
      "replaced by another one",
      (path, away) => {
        renameSync(path, away);
        copyFileSync(away, path);
      },
      (path, away) => renameSync(away, path),
    ],
    [
      "parted from its log",
      (path, away) => renameSync(`${path}-wal`, away),
      (path, away) => renameSync(away, `${path}-wal`),
    ],
  ])(
    "that is %s while it is open is lost until it is back, and nothing is told to be stored meanwhile",
    async (_how, take, putBack) => {
      await withFolder(async (folder) => {
        const [path, away] = [fileIn(folder), join(folder, "away.sqlite")];
        const states: string[] = [];
        const found = Promise.withResolvers<void>();
        const store = await open(folder);
        store.onState((state) => {
          states.push(state);
          if (state === "ok") found.resolve();
        });
        const write = (id: number) => store.write([{ user: newUser(id), before: undefined }], `writer-${id}`);
        expect(await write(1)).toEqual(["stored"]);
        take(path, away);
        const { code, message } = await faultOf(write(2));
        expect(code).toBe("unavailable");
        for (const part of [path, "put both back", "restart"]) expect(message).toContain(part);
        // It may stand in the file that is gone: whoever read it would take it for stored.
        expect((await faultOf(store.read([toUserId(2)]))).code).toBe("unavailable");
        expect(states).toEqual(["lost"]);
        putBack(path, away);
        await found.promise;
        expect(await write(3)).toEqual(["stored"]);
        await store.stop();
        const again = await open(folder);
        expect([...(await again.read([1, 3].map(toUserId))).keys()]).toEqual([1, 3].map(toUserId));
        await again.stop();
      });
    },
  );

  test("with a document that is none ends what reads it with `user_invalid`, and nothing else", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 3);
      const db = new Database(fileIn(folder));
      db.run("UPDATE users SET rest = substr(rest, 1, 9) || char(10) WHERE id = 2");
      db.run("UPDATE users SET referral_state = 7 WHERE id = 3");
      db.close();
      const states: string[] = [];
      const store = await open(folder);
      store.onState((state) => states.push(state));
      expect((await store.read([toUserId(1)])).size).toBe(1);
      for (const [id, words] of [
        [2, "user 2 is no user"],
        [3, "user 3 is no user: its field referral "],
      ] as const) {
        const { code, message } = await faultOf(store.read([toUserId(id)]));
        expect([code, message.includes(words)]).toEqual(["user_invalid", true]);
      }
      expect(states).toEqual([]);
      await store.stop();
    });
  });
});

test("a damaged user is told once, with what to do, and of many only the first", async () => {
  await withFolder(async (folder) => {
    await fill(folder, 5);
    const db = new Database(fileIn(folder));
    db.run("UPDATE users SET rest = 'secret' WHERE id > 1");
    db.close();
    const told: [string, unknown][] = [];
    const log = { info: () => {}, error: (words: string, fields?: object) => void told.push([words, fields]) };
    const store = await open(folder, { log });
    for (let times = 0; times < 3; times++) expect(await store.leaderboard(10)).toHaveLength(1);
    expect(told.map(([words]) => words)).toEqual(Array(userLimits.damagedToldMax).fill(told[0]?.[0]));
    const texts = told.map(([, fields]) => String((fields as { readonly error: unknown }).error));
    for (const [place, text] of texts.entries())
      expect(text).toMatch(new RegExp(`user ${place + 2} .*restore or delete`));
    expect(texts.join()).not.toContain("secret");
    await store.stop();
  });
});

test("a bucket of points holds what lies between it and the next", () => {
  for (const points of [0, 1, 1_023, 1_024, 1_025, 1_026, 4_095, 4_096, 1_000_003, 2 ** 40 + 5]) {
    const from = bucketOf(points);
    expect(from).toBeLessThanOrEqual(points);
    expect(points - from).toBeLessThanOrEqual(points / 512);
    expect(bucketOf(from)).toBe(from);
  }
});
