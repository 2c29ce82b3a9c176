/** `bun run users:seed`, as a process. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { toBotId, toUserId } from "../../src/ids.ts";
import { createSqliteUserStore } from "../../src/storage/sqlite.ts";
import { format } from "../../src/storage/sqlite-format.ts";
import { seedUsers } from "../../src/storage/sqlite-seed.ts";
import { newUser } from "../contract/users.ts";
import { withFolder } from "../inbox/temporary-folder.ts";
import { userLimits } from "../storage/limits.ts";

async function seed(...flags: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  const command = [process.execPath, join(import.meta.dir, "../../src/cli/users-seed.ts"), ...flags];
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe" });
  const said = (await new Response(child.stdout).text()) + (await new Response(child.stderr).text());
  return { code: await child.exited, said };
}

const rowsIn = (folder: string): unknown[][] => {
  const db = new Database(join(folder, "users.sqlite"));
  const rows = db.query("SELECT * FROM users ORDER BY id").values();
  db.close();
  return rows;
};

test("seeds the same users for the same seed, and others for another", async () => {
  await withFolder(async (folder) => {
    const [a, b, c] = ["a", "b", "c"].map((name) => join(folder, name)) as [string, string, string];
    for (const [dataDir, number] of [
      [a, "7"],
      [b, "7"],
      [c, "8"],
    ] as const) {
      const { code, said } = await seed("--count", "2000", "--data-dir", dataDir, "--seed", number);
      expect([code, said.includes("2000 users in")]).toEqual([0, true]);
    }
    expect(rowsIn(a)).toEqual(rowsIn(b));
    expect(rowsIn(a)).not.toEqual(rowsIn(c));
  });
});

test("leaves a file as the store itself would have made it, with its indexes, members and histogram", async () => {
  await withFolder(async (folder) => {
    await seed("--count", "12000", "--data-dir", folder);
    const db = new Database(join(folder, "users.sqlite"));
    const plain = new Database(":memory:");
    plain.run(format.schema);
    const schema = "SELECT name, sql FROM sqlite_master ORDER BY name";
    expect(db.query(schema).values()).toEqual(plain.query(schema).values());
    expect(db.query("PRAGMA integrity_check").values()).toEqual([["ok"]]);
    db.close();
    const store = await createSqliteUserStore({ dataDir: folder, clock: systemClock, limits: userLimits });
    const ids = Array.from({ length: 12_000 }, (_, place) => toUserId(place + 1));
    const users = [...(await store.read(ids)).values()];
    const active = users.filter(({ isActive }) => isActive);
    expect(users).toHaveLength(12_000);
    expect((await store.histogram()).reduce((sum, bucket) => sum + bucket.users, 0)).toBe(active.length);
    const bot = Object.keys(users[0]?.bots ?? {}).map(Number)[0] ?? 0;
    expect(await store.activeIn(toBotId(bot), { max: 20_000 })).toEqual(active.map(({ telegramId }) => telegramId));
    const writes = users.slice(0, 50).map((before) => {
      const user = Object.assign({}, before, { points: before.points + 10, version: before.version + 1 });
      return { user, before };
    });
    const ends = await store.write(writes, "writer");
    expect(new Set(ends)).toEqual(new Set(["stored"]));
    await store.stop();
  });
});

test("refuses a folder that has users, and flags that are no numbers", async () => {
  await withFolder(async (folder) => {
    await seed("--count", "10", "--data-dir", folder);
    const again = await seed("--count", "10", "--data-dir", folder);
    expect([again.code, again.said.includes("there are users in")]).toEqual([78, true]);
    for (const flags of [[], ["--count", "many"], ["--count", "5", "--seed", "x"], ["--unknown"]]) {
      expect((await seed(...flags)).code).toBe(64);
    }
    expect(rowsIn(folder)).toHaveLength(10);
  });
});

test("a file whose seeding did not end is opened by no botfleet", async () => {
  await withFolder(async (folder) => {
    const ending = function* () {
      yield newUser(1);
      throw new Error("killed");
    };
    expect(() => seedUsers(join(folder, "users.sqlite"), ending(), () => undefined)).toThrow("killed");
    const opening = createSqliteUserStore({ dataDir: folder, clock: systemClock, limits: userLimits });
    expect(await opening.catch((error: unknown) => error)).toMatchObject({ code: "storage_damaged" });
  });
});
