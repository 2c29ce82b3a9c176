import { Database } from "bun:sqlite";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import type { UserId } from "../../src/ids.ts";
import { createSqliteUserStore, type SqliteStorage } from "../../src/storage/sqlite.ts";
import { sessionStoreContract } from "../contract/sessions.ts";
import { userStoreContract } from "../contract/users.ts";
import { temporaryFolder } from "../inbox/temporary-folder.ts";
import { userLimits } from "./limits.ts";

async function createHarness() {
  const folder = temporaryFolder();
  const open = (): Promise<SqliteStorage> =>
    createSqliteUserStore({ dataDir: folder.path, clock: systemClock, limits: userLimits });
  let store = await open();
  return {
    store,
    async reopen() {
      await store.stop();
      return (store = await open());
    },
    async fail() {
      // Another process that writes and does not end: the store waits for a second, then gives up.
      const db = new Database(join(folder.path, "users.sqlite"));
      db.run("BEGIN IMMEDIATE");
      return async () => {
        db.close();
        await Promise.resolve();
      };
    },
    async damage(id: UserId) {
      const db = new Database(join(folder.path, "users.sqlite"));
      db.query("UPDATE users SET rest = '[\n]' WHERE id = ?").run(id);
      db.close();
      await Promise.resolve();
    },
    async damageSession(key: string) {
      const db = new Database(join(folder.path, "users.sqlite"));
      db.query("UPDATE sessions SET past = '[{}]' WHERE key = ?").run(key);
      db.close();
      await Promise.resolve();
    },
    async dispose() {
      await store.stop();
      folder.remove();
    },
  };
}

userStoreContract("SQLite", createHarness);
sessionStoreContract("SQLite", createHarness);
