/** What becomes of the SQLite file: formats, damage, a log that must not grow, a disk that is slow or full. Longer than other files because what one file can meet belongs side by side. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { createSqliteInbox, type SqliteInboxOptions } from "../../src/inbox/sqlite.ts";
import type { Salvaged } from "../../src/inbox/sqlite-copy.ts";
import { toBotId } from "../../src/ids.ts";
import { suspectDamage } from "../../src/sqlite/damage.ts";
import { bringToFormat, type Format } from "../../src/sqlite/format.ts";
import { botClaim, codeOf, idsOf, message, messages, partitionClaim, take } from "../contract/inbox.ts";
import { inboxLimits } from "./limits.ts";
import { withFolder } from "./temporary-folder.ts";

const death = { kind: "dead", error: "boom", attempts: 5, sends: [], effectsUnknown: false } as const;

function open(dataDir: string, options: Partial<SqliteInboxOptions> = {}): Promise<Inbox> {
  return createSqliteInbox({ dataDir, clock: systemClock, limits: inboxLimits, deduplicate: true, ...options });
}

const fileIn = (folder: string): string => join(folder, "inbox.sqlite");

/** An inbox file with updates 1 to `count` of one bot unsettled, after a dead letter (update 0). */
async function fill(folder: string, count: number): Promise<void> {
  const inbox = await open(folder);
  const partition = await inbox.open(partitionClaim());
  await inbox.append(botClaim(), [message(0)]);
  for (const { seq } of await take(partition, 1)) await partition.settle(seq, death);
  await inbox.append(botClaim(), messages(1, count));
  await inbox.stop();
}

function overwrite(file: string, at: number, bytes: Uint8Array): void {
  const descriptor = openSync(file, "r+");
  writeSync(descriptor, bytes, 0, bytes.length, at);
  closeSync(descriptor);
}

/** Opens a damaged inbox, checks that it works, and answers what was salvaged and the ids read back. */
async function reopen(folder: string): Promise<{ salvaged: Salvaged[]; ids: unknown[]; letters: number }> {
  const salvaged: Salvaged[] = [];
  const inbox = await open(folder, { onSalvaged: (each) => salvaged.push(each) });
  const partition = await inbox.open(partitionClaim());
  expect((await inbox.append(botClaim(toBotId(5)), [message(9_999)])).stored).toBe(1);
  const backlog = [...(await inbox.backlog()).values()].reduce((sum, count) => sum + count, 0);
  const entries = await take(partition, backlog);
  const letters = await inbox.deadLetters.list({ max: 10 });
  const ids = await idsOf(partition, entries);
  expect(ids.at(-1)).toBe(9_999);
  await inbox.stop();
  return { salvaged, ids: ids.slice(0, -1), letters: letters.length };
}

describe("the format of the inbox file", () => {
  test("of a newer botfleet is refused, with the file and both numbers, and left as it is", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 3);
      const db = new Database(fileIn(folder));
      db.run("PRAGMA user_version = 9");
      db.close();
      const refusal = open(folder);
      expect(await codeOf(refusal)).toBe("format_newer");
      const said = await refusal.catch(String);
      for (const part of [fileIn(folder), "format 9", "up to 1"]) expect(said).toContain(part);
      expect(readdirSync(folder).filter((name) => name.includes("damaged"))).toEqual([]);
      const after = new Database(fileIn(folder));
      after.run("PRAGMA user_version = 1");
      after.close();
      expect((await reopen(folder)).ids).toEqual([1, 2, 3]);
    });
  });

  const newer: Format = {
    schema: "CREATE TABLE t(a, b, c)",
    migrations: [
      (db) => void db.run("ALTER TABLE t ADD COLUMN b DEFAULT 'two'"),
      (db) => void db.run("ALTER TABLE t ADD COLUMN c DEFAULT 'three'"),
    ],
  };

  test("of an older botfleet is brought to the newest, step by step", () => {
    const db = new Database(":memory:");
    bringToFormat(db, "file", { schema: "CREATE TABLE t(a)", migrations: [] });
    db.run("INSERT INTO t VALUES ('one')");
    bringToFormat(db, "file", newer);
    bringToFormat(db, "file", newer);
    expect(db.query("SELECT * FROM t").values()).toEqual([["one", "two", "three"]]);
    expect(db.query("PRAGMA user_version").values()).toEqual([[3]]);
  });

  test("stays as it was when a step fails half way", () => {
    const db = new Database(":memory:");
    bringToFormat(db, "file", { schema: "CREATE TABLE t(a)", migrations: [] });
    const failing: Format = {
      ...newer,
      migrations: [...newer.migrations.slice(0, 1), (at) => void at.run("nonsense")],
    };
    expect(() => bringToFormat(db, "file", failing)).toThrow();
    expect(db.query("PRAGMA user_version").values()).toEqual([[1]]);
    expect(db.query("SELECT count(*) FROM pragma_table_info('t')").values()).toEqual([[1]]);
  });
});

describe("a damaged inbox file", () => {
  test("with pages overwritten in the middle loses only what stood there, and is kept aside", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 2_000);
      const garbage = new Uint8Array(4_096).fill(0xaa);
      const middle = Math.floor(statSync(fileIn(folder)).size / 4_096 / 2) * 4_096;
      overwrite(fileIn(folder), middle, garbage);
      const probe = new Database(fileIn(folder));
      const before = probe.query<{ bad: string }, []>("PRAGMA quick_check(1)").values();
      probe.close();
      expect(before).not.toEqual([["ok"]]);
      const { salvaged, ids, letters } = await reopen(folder);
      const [first] = salvaged;
      expect(first?.entries).toBeGreaterThan(1_950);
      expect(first?.entries).toBeLessThan(2_000);
      expect(first?.letters).toBe(1);
      expect(letters).toBe(1);
      expect(ids).toEqual(ids.toSorted((a, b) => Number(a) - Number(b)));
      expect(existsSync(first?.movedTo ?? "")).toBe(true);
      expect(first?.movedTo).toStartWith(`${fileIn(folder)}.damaged-`);
    });
  });

  test("with damage at two places gives up what lies between them, too", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 2_000);
      const pages = Math.floor(statSync(fileIn(folder)).size / 4_096);
      for (const part of [0.4, 0.7]) {
        overwrite(fileIn(folder), Math.floor(pages * part) * 4_096, new Uint8Array(4_096).fill(0xaa));
      }
      const { salvaged, ids } = await reopen(folder);
      expect(salvaged[0]?.entries).toBeGreaterThan(1_900);
      expect(new Set(ids).size).toBe(ids.length);
    });
  });

  test("does not give up rows that hold something else than they should", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 5);
      const db = new Database(fileIn(folder));
      db.run("UPDATE entries SET body = CAST(body AS BLOB) WHERE update_id = 3");
      db.close();
      overwrite(fileIn(folder), 0, new Uint8Array(4_096));
      expect((await reopen(folder)).ids).toEqual([1, 2, 4, 5]);
    });
  });

  test("with an unreadable update in a sound row turns that update into a dead letter", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 3);
      const db = new Database(fileIn(folder));
      db.run("UPDATE entries SET body = substr(body, 1, 20) WHERE update_id = 2");
      db.close();
      const inbox = await open(folder);
      const partition = await inbox.open(partitionClaim());
      expect(await idsOf(partition, await take(partition, 3))).toEqual([1, undefined, 3]);
      const letters = await inbox.deadLetters.list({ max: 10 });
      expect(letters.map((letter) => [letter.updateId, letter.error]).at(-1)).toEqual([
        2,
        "the stored text of this update is damaged",
      ]);
      await inbox.stop();
    });
  });

  test("whose first page is gone gives up all its rows", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 500);
      overwrite(fileIn(folder), 0, new Uint8Array(4_096));
      const { salvaged, ids, letters } = await reopen(folder);
      expect(salvaged.map(({ entries }) => entries)).toEqual([500]);
      expect(ids).toEqual(messages(1, 500).map((update) => update.update_id));
      expect(letters).toBe(1);
    });
  });

  test("cut short gives up what is left", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 500);
      truncateSync(fileIn(folder), Math.floor(statSync(fileIn(folder)).size / 8_192) * 4_096);
      const { salvaged, ids } = await reopen(folder);
      expect(salvaged[0]?.entries).toBeGreaterThan(100);
      expect(ids[0]).toBe(1);
    });
  });

  test("that is no database at all is replaced by an empty one", async () => {
    await withFolder(async (folder) => {
      writeFileSync(fileIn(folder), "not a database ".repeat(1_000));
      const { salvaged } = await reopen(folder);
      expect(salvaged.map(({ entries, letters }) => [entries, letters])).toEqual([[0, 0]]);
    });
  });

  test("uses no seq of the damaged one again, and what was settled stays known", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 50);
      const first = await open(folder);
      const partition = await first.open(partitionClaim());
      const settled = await take(partition, 50);
      for (const { seq } of settled) void partition.settle(seq, { kind: "done", how: "handled" });
      await first.stop();
      overwrite(fileIn(folder), 0, new Uint8Array(100));
      const second = await open(folder);
      expect((await second.append(botClaim(), messages(49, 51))).known).toBe(2);
      const [entry] = await take(await second.open(partitionClaim()), 1);
      expect(entry?.seq).toBeGreaterThan(settled.at(-1)?.seq ?? 0);
      await second.stop();
    });
  });

  test("is salvaged again from the start, or to its end, after a crash within", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 100);
      writeFileSync(`${fileIn(folder)}.salvaging`, "half written");
      overwrite(fileIn(folder), 0, new Uint8Array(100));
      expect((await reopen(folder)).salvaged[0]?.entries).toBe(100);
    });
    await withFolder(async (folder) => {
      await fill(folder, 100);
      const donor = join(folder, "donor");
      await fill(donor, 7);
      // Died after the fresh file was complete: the damaged one lies there still, with its log.
      await Bun.write(`${fileIn(folder)}.salvaged`, Bun.file(fileIn(donor)));
      const db = new Database(fileIn(folder));
      db.run("PRAGMA wal_autocheckpoint = 0");
      db.run("DELETE FROM entries");
      const log = await Bun.file(`${fileIn(folder)}-wal`).bytes();
      db.close();
      writeFileSync(`${fileIn(folder)}-wal`, log);
      rmSync(donor, { recursive: true });
      expect((await reopen(folder)).ids).toEqual([1, 2, 3, 4, 5, 6, 7]);
      expect(existsSync(`${fileIn(folder)}.salvaged`)).toBe(false);
    });
  });

  test("that shows its damage at work breaks the inbox and is checked at the next start", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 2_000);
      const broken = Promise.withResolvers<unknown>();
      const inbox = await open(folder, { onBroken: broken.resolve, limits: { ...inboxLimits, readMaxEntries: 100 } });
      overwrite(fileIn(folder), 4_096 * 20, new Uint8Array(statSync(fileIn(folder)).size - 4_096 * 25).fill(0xaa));
      const partition = await inbox.open(partitionClaim());
      const reading = take(partition, 2_000);
      void reading.catch(() => undefined); // Never ends: the inbox breaks.
      expect(String(await broken.promise)).toContain("malformed");
      expect(inbox.state()).toBe("failing");
      expect(existsSync(`${fileIn(folder)}.check`)).toBe(true);
      await inbox.stop().catch(() => undefined);
      const { salvaged } = await reopen(folder);
      expect(salvaged).toHaveLength(1);
      expect(existsSync(`${fileIn(folder)}.check`)).toBe(false);
    });
  });

  test.each<[string, readonly string[]]>([
    ["moved away", ["", "-wal", "-shm"]],
    ["parted from its log", ["-wal"]],
  ])(
    "that is %s while it is open confirms nothing until it is back, and then every update once",
    async (_how, ends) => {
      await withFolder(async (folder) => {
        const [path, away] = [fileIn(folder), join(folder, "away.sqlite")];
        const inbox = await open(folder);
        const partition = await inbox.open(partitionClaim());
        await inbox.append(botClaim(), [message(1)]);
        for (const end of ends) renameSync(path + end, away + end);
        expect(await codeOf(inbox.append(botClaim(), [message(2)]))).toBe("inbox_refused");
        expect(inbox.state()).toBe("failing");
        for (const end of ends) renameSync(away + end, path + end);
        const ok = Promise.withResolvers<void>();
        inbox.onState((state) => state === "ok" && ok.resolve());
        await ok.promise;
        // Telegram delivers again what was not confirmed.
        await inbox.append(botClaim(), [message(2), message(3)]);
        expect(await idsOf(partition, await take(partition, 3))).toEqual([1, 2, 3]);
        await inbox.stop();
        const again = await open(folder);
        expect([...(await again.backlog()).values()]).toEqual([3]);
        await again.stop();
      });
    },
  );

  test("suspected but sound is opened as it is", async () => {
    await withFolder(async (folder) => {
      await fill(folder, 3);
      suspectDamage(fileIn(folder));
      const { salvaged, ids } = await reopen(folder);
      expect(salvaged).toEqual([]);
      expect(ids).toEqual([1, 2, 3]);
    });
  });
});

test("the write-ahead log stays bounded under continuous load", async () => {
  await withFolder(async (folder) => {
    const checkpointPages = 100;
    const inbox = await open(folder, { limits: { ...inboxLimits, checkpointPages, groupMaxWrites: 50 } });
    const partition = await inbox.open(partitionClaim());
    let largest = 0;
    for (let round = 0; round < 60; round++) {
      await inbox.append(botClaim(), messages(round * 100, round * 100 + 99));
      for (const { seq } of await take(partition, 100)) void partition.settle(seq, { kind: "done", how: "handled" });
      largest = Math.max(largest, statSync(`${fileIn(folder)}-wal`).size);
    }
    await inbox.stop();
    expect(largest).toBeGreaterThan(checkpointPages * 4_096 * 0.9);
    expect(largest).toBeLessThan(checkpointPages * 4_096 * 3);
  });
});
