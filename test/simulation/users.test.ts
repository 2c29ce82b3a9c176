/** Exactness of users, shown over thousands of interleavings, and that the simulation would see it broken. `SEEDS=20000` runs more. */
import { describe, expect, test } from "bun:test";
import type { MemoryUserStore } from "../../src/storage/memory.ts";
import type { UserStore } from "../../src/storage/store.ts";
import { forwardStore } from "../support/forward-store.ts";
import { runUsersWorld, type UsersPlant } from "./users-world.ts";

const seeds = Number(process.env["SEEDS"] ?? 1_000);

test(`no point is lost or doubled, and every replay answers as before: ${seeds} seeds`, async () => {
  let crashes = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const report = await runUsersWorld(seed);
    expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] });
    crashes += report.crashes;
  }
  expect(crashes).toBeGreaterThan(seeds / 2);
}, 120_000);

const withStore = (change: (store: UserStore, durable: MemoryUserStore) => Partial<UserStore>): UsersPlant => ({
  store: (store, durable) => forwardStore(store, change(store, durable)),
});

const plants: Readonly<Record<string, UsersPlant>> = {
  "what was applied is forgotten": withStore((store) => ({
    read: async (ids) => {
      const users = await store.read(ids);
      return new Map([...users].map(([id, user]) => [id, { ...user, applied: [] }]));
    },
  })),
  "only the last applied operation is kept": withStore((store) => ({
    write: (writes, writer) =>
      store.write(
        writes.map((write) => ({ ...write, user: { ...write.user, applied: write.user.applied.slice(-1) } })),
        writer,
      ),
  })),
  "a document is stored whatever its version": withStore((store, durable) => ({
    write: (writes, writer) =>
      store.write(
        writes.map(({ user }) => {
          const before = durable.users.get(user.telegramId);
          return { user: { ...user, version: (before?.version ?? 0) + 1 }, before };
        }),
        writer,
      ),
  })),
  "a reward is paid without being owed": withStore((store, durable) => ({
    reward: async (referees, points, at) => {
      for (const id of referees) {
        const user = durable.users.get(id);
        if (user?.referral.state !== "paid") continue;
        const version = user.version + 1;
        const owed = { ...user, referral: { state: "owed" as const, since: at }, version };
        await store.write([{ user: owed, before: user }], "planted");
      }
      return store.reward(referees, points, at);
    },
  })),
  "an update is settled before its change is stored": { settlesEarly: true },
};

describe("the simulation sees", () => {
  for (const [name, plant] of Object.entries(plants)) {
    test(`that ${name}`, async () => {
      let caught = 0;
      for (let seed = 1; seed <= 300 && caught === 0; seed++) {
        if ((await runUsersWorld(seed, plant)).violations.length > 0) caught = seed;
      }
      expect(caught).toBeGreaterThan(0);
    }, 60_000);
  }
});
