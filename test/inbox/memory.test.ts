import { systemClock } from "../../src/clock.ts";
import { createInbox } from "../../src/inbox/front.ts";
import type { Inbox } from "../../src/inbox/inbox.ts";
import { createMemoryStore, emptyDurable } from "../../src/inbox/memory.ts";
import { inboxContract } from "../contract/inbox.ts";
import { inboxLimits } from "./limits.ts";

inboxContract("memory", ({ handoverMaxEntries, deduplicate }) => {
  const limits = { ...inboxLimits, handoverMaxEntries };
  const durable = emptyDurable();
  let dead = false;
  return {
    start(): Promise<Inbox> {
      dead = false;
      const store = createMemoryStore({ durable, limits, deduplicate, now: systemClock.now() });
      const commit: typeof store.commit = (group) => (dead ? new Promise(() => {}) : store.commit(group));
      return Promise.resolve(createInbox({ store: { ...store, commit }, clock: systemClock, limits }));
    },
    async crash() {
      dead = true;
    },
    async dispose() {},
  };
});
