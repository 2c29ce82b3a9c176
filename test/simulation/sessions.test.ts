/** Exactness of sessions, shown over thousands of interleavings, and that the simulation would see it broken. `SEEDS=20000` runs more. */
import { describe, expect, test } from "bun:test";
import type { Session, SessionStore } from "../../src/storage/session-store.ts";
import { runSessionsWorld, type SessionsPlant } from "./sessions-world.ts";

const seeds = Number(process.env["SEEDS"] ?? 1_000);

test(`no change of a session is lost or doubled, and every replay finds what its first run found: ${seeds} seeds`, async () => {
  let crashes = 0;
  let repeated = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const report = await runSessionsWorld(seed);
    expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] });
    crashes += report.crashes;
    repeated += report.repeated;
  }
  expect(crashes).toBeGreaterThan(seeds / 2);
  expect(repeated).toBeGreaterThan(seeds / 2);
}, 120_000);

const reading = (change: (session: Session) => Session): SessionsPlant => ({
  store: (store) => ({
    readSessions: async (keys) => {
      const found = await store.readSessions(keys);
      return new Map([...found].map(([key, session]) => [key, change(session)]));
    },
  }),
});

const overwrite = (store: SessionStore): Partial<SessionStore> => ({
  writeSessions: async (writes, writer) => {
    const found = await store.readSessions(writes.map(({ session }) => session.key));
    const forced = writes.map(({ session }) => {
      const expectedVersion = found.get(session.key)?.version ?? 0;
      return { session: { ...session, version: expectedVersion + 1 }, expectedVersion };
    });
    return store.writeSessions(forced, writer);
  },
});

const plants: Readonly<Record<string, SessionsPlant>> = {
  "what was before is forgotten": reading((session) => ({ ...session, past: [] })),
  "only what was before the last write is kept": reading((session) => ({ ...session, past: session.past.slice(-1) })),
  "a session is stored whatever its version": { store: overwrite },
  "an update is settled before its write is stored": { settlesEarly: true },
  "what is empty is taken away although its updates may come again": {
    store: (store) => ({
      readSessions: async (keys) => {
        await store.removeSessions(await store.emptied(undefined, 100));
        return store.readSessions(keys);
      },
    }),
  },
};

describe("the simulation of sessions sees", () => {
  for (const [name, plant] of Object.entries(plants)) {
    test(`that ${name}`, async () => {
      let caught = 0;
      for (let seed = 1; seed <= 300 && caught === 0; seed++) {
        if ((await runSessionsWorld(seed, plant)).violations.length > 0) caught = seed;
      }
      expect(caught).toBeGreaterThan(0);
    }, 60_000);
  }
});
