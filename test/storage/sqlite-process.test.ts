/** The SQLite user store in processes of its own that are killed, and on a slow disk. */
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../src/clock.ts";
import { toUserId } from "../../src/ids.ts";
import { createSqliteUserStore } from "../../src/storage/sqlite.ts";
import { newUser } from "../contract/users.ts";
import { withFolder } from "../inbox/temporary-folder.ts";
import { userLimits } from "./limits.ts";

const common = { clock: systemClock, limits: userLimits };

/** Runs the fixture until it has acknowledged so many rounds, kills it and answers the last one it acknowledged. */
async function roundsUntilKilled(folder: string, rounds: number): Promise<number> {
  const command = [process.execPath, join(import.meta.dir, "fixtures", "increment.ts"), folder];
  const child = Bun.spawn(command, { stdout: "pipe" });
  let text = "";
  for await (const chunk of child.stdout) {
    text += new TextDecoder().decode(chunk);
    if (text.split("\n").length > rounds) child.kill("SIGKILL");
  }
  await child.exited;
  return Number(/acked (\d+)\n[^\n]*$/.exec(text)?.[1]);
}

test("kill -9 in the middle of writing loses nothing that was acknowledged, and leaves nothing half written", async () => {
  await withFolder(async (folder) => {
    const first = await createSqliteUserStore({ ...common, dataDir: folder });
    await first.write([{ user: newUser(1), before: undefined }], "first");
    await first.stop();
    let acked = 0;
    for (const rounds of [20, 33, 47]) acked = await roundsUntilKilled(folder, rounds);
    expect(acked).toBeGreaterThan(90);
    const store = await createSqliteUserStore({ ...common, dataDir: folder });
    const users = [...(await store.read(Array.from({ length: 20 }, (_, place) => toUserId(place + 2)))).values()];
    const points = new Set(users.map((user) => user.points));
    expect(users).toHaveLength(20);
    expect(points.size).toBe(1);
    const [written = 0] = points;
    // One more than was said may have been stored: of each kill.
    expect(written).toBeGreaterThanOrEqual(acked);
    expect(written).toBeLessThanOrEqual(acked + 1);
    const referees = [
      ...(await store.read(Array.from({ length: written }, (_, place) => toUserId(place + 1_001)))).values(),
    ];
    expect(referees).toHaveLength(written);
    const paid = referees.filter(({ referral }) => referral.state === "paid").length;
    const referrer = (await store.read([toUserId(1)])).get(toUserId(1));
    expect(paid).toBeGreaterThanOrEqual(acked - 3);
    expect([referrer?.points, referrer?.referralCount]).toEqual([paid * 50, paid]);
    const counted = (await store.histogram()).reduce((sum, bucket) => sum + bucket.users, 0);
    expect(counted).toBe(21 + written);
    await store.stop();
  });
}, 30_000);

describe("a slow disk", () => {
  /** The longest time by which a timer of 1 ms was late while users were written one by one, ms. */
  async function longestDelay(fsyncDelayMs: number): Promise<number> {
    let longest = 0;
    await withFolder(async (folder) => {
      const store = await createSqliteUserStore({ ...common, dataDir: folder, fsyncDelayMs });
      await store.write([{ user: newUser(1), before: undefined }], "first");
      const startedAt = performance.now();
      let at = startedAt;
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - at - 1);
        at = performance.now();
      }, 1);
      for (let id = 2; id < 22; id++) await store.write([{ user: newUser(id), before: undefined }], `writer-${id}`);
      clearInterval(timer);
      expect(performance.now() - startedAt).toBeGreaterThan(fsyncDelayMs * 20 * 0.9);
      await store.stop();
    });
    return longest;
  }

  test("that stands still is told as a loss, ends nothing, and is found again with the next answer", async () => {
    await withFolder(async (folder) => {
      const limits = { ...common.limits, answerMaxMs: 50 };
      const store = await createSqliteUserStore({ ...common, limits, dataDir: folder, fsyncDelayMs: 400 });
      const states: string[] = [];
      store.onState((state) => states.push(state));
      const writing = store.write([{ user: newUser(1), before: undefined }], "writer");
      expect(await writing).toEqual(["stored"]);
      expect(states).toEqual(["lost", "ok"]);
      await store.stop();
    });
  });

  test("that takes 50 ms for an fsync holds no timer of the event loop up", async () => {
    // The machine may be busy: the best of a few tries counts.
    let best = Infinity;
    for (let attempt = 0; attempt < 5 && best > 25; attempt++) best = Math.min(best, await longestDelay(50));
    expect(best).toBeLessThan(25);
  }, 60_000);
});
