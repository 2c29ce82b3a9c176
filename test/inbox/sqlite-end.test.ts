import { expect, test } from "bun:test";
import { systemClock } from "../../src/clock.ts";
import { createSqliteInbox } from "../../src/inbox/sqlite.ts";
import { inboxLimits } from "./limits.ts";
import { temporaryFolder } from "./temporary-folder.ts";

test("an inbox that was stopped is not said to be broken when its thread ends", async () => {
  const folder = temporaryFolder();
  const broken: unknown[] = [];
  const openAndStop = async (): Promise<void> => {
    const inbox = await createSqliteInbox({
      dataDir: folder.path,
      clock: systemClock,
      limits: inboxLimits,
      deduplicate: true,
      onBroken: (reason) => broken.push(reason),
    });
    await inbox.stop();
  };
  try {
    // The thread of each ends a few milliseconds after its stop, while the next one is opened.
    for (let times = 0; times < 5; times++) await openAndStop();
    expect(broken).toEqual([]);
  } finally {
    folder.remove();
  }
});
