import { systemClock } from "../../src/clock.ts";
import { createInbox } from "../../src/inbox/front.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { connectWorker, type SqliteWorker } from "../../src/inbox/sqlite-connection.ts";
import { inboxContract } from "../contract/inbox.ts";
import { inboxLimits } from "./limits.ts";
import { temporaryFolder } from "./temporary-folder.ts";

inboxContract("SQLite", ({ handoverMaxEntries, deduplicate }) => {
  const limits = { ...inboxLimits, handoverMaxEntries };
  const folder = temporaryFolder();
  let worker: SqliteWorker | undefined;
  return {
    async start(): Promise<Inbox> {
      const path = `${folder.path}/inbox.sqlite`;
      const { store } = (worker = await connectWorker({ path, limits, deduplicate, now: Date.now(), fsyncDelayMs: 0 }));
      return createInbox({ store, clock: systemClock, limits });
    },
    async crash() {
      await worker?.abandon().catch(() => undefined); // Stopped before: there is nothing left to abandon.
    },
    async dispose() {
      worker?.end();
      folder.remove();
    },
  };
});
