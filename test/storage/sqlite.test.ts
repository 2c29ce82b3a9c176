import { Database } from "bun:sqlite";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { createSqliteUserStore } from "../../src/storage/sqlite.ts";
import type { UserStore } from "../../src/storage/store.ts";
import { userStoreContract } from "../contract/users.ts";
import { temporaryFolder } from "../inbox/temporary-folder.ts";
import { userLimits } from "./limits.ts";

userStoreContract("SQLite", async () => {
  const folder = temporaryFolder();
  const open = (): Promise<UserStore> =>
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
    async damage(id) {
      const db = new Database(join(folder.path, "users.sqlite"));
      db.query("UPDATE users SET rest = '[\n]' WHERE id = ?").run(id);
      db.close();
      await Promise.resolve();
    },
    async dispose() {
      await store.stop();
      folder.remove();
    },
  };
});
