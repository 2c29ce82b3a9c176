/** No tier is stale for ever, shown over thousands of interleavings, and that the simulation would see it broken. `SEEDS=20000` runs more. */
import { describe, expect, test } from "bun:test";
import type { CacheServer } from "../../src/cache/server.ts";
import { runTiersWorld, type TiersPlant } from "./tiers-world.ts";

const seeds = Number(process.env["SEEDS"] ?? 500);

test(`once quiet, every tier equals storage: ${seeds} seeds`, async () => {
  let [crashes, hits, restarts] = [0, 0, 0];
  for (let seed = 1; seed <= seeds; seed++) {
    const report = await runTiersWorld(seed);
    expect({ seed, violations: report.violations }).toEqual({ seed, violations: [] });
    crashes += report.crashes;
    hits += report.hits;
    restarts += report.restarts;
  }
  expect(crashes).toBeGreaterThan(seeds / 2);
  expect(restarts).toBeGreaterThan(seeds / 4);
  expect(hits).toBeGreaterThan(seeds * 2);
}, 240_000);

/** Messages lose their numbers: each comes as the next one of its sender. */
function renumbered(server: CacheServer): CacheServer {
  const numbers = new Map<string, number>();
  return {
    ...forward(server),
    listen: ({ onMessage, ...listener }) =>
      server.listen({
        ...listener,
        onMessage: (text) => {
          const [sender = "", , ...rest] = text.split(" ");
          const number = (numbers.get(sender) ?? 0) + 1;
          numbers.set(sender, number);
          onMessage([sender, number, ...rest].join(" "));
        },
      }),
  };
}

/** Messages say of another document what they say. */
function silenced(server: CacheServer): CacheServer {
  return {
    ...forward(server),
    listen: ({ onMessage, ...listener }) =>
      server.listen({ ...listener, onMessage: (text) => onMessage(text.replace(/ changed .*/, " changed x 0")) }),
  };
}

function forward(server: CacheServer): CacheServer {
  return {
    get: (keys) => server.get(keys),
    lease: (keys, token, isFresh) => server.lease(keys, token, isFresh),
    fillIn: (fills) => server.fillIn(fills),
    write: (changes, message) => server.write(changes, message),
    beat: (beat) => server.beat(beat),
    leave: (sender, message) => server.leave(sender, message),
    listen: (listener) => server.listen(listener),
    relisten: () => server.relisten(),
    stop: () => server.stop(),
  };
}

const plants: Readonly<Record<string, TiersPlant>> = {
  "users are deleted after a write, and fills need no lease": { onlyForgets: true, fills: "none" },
  "a lease that was lost still lets a fill in": { fills: "none" },
  "a fill is let in by anybody's lease": { fills: "any_lease" },
  "a write is taken whatever its version": { writesBlindly: true },
  "a late write is taken where nothing is": { writesAnew: true },
  "a fill does not mind what was written since its lease": { keepsLeases: true },
  "a gap in the numbers is not missed": { server: renumbered },
  "what one instance writes is not told to the others": { server: silenced },
  "doubts do not reach the first tier": { ignoresDoubts: true },
  "a restart of the server goes unnoticed": { keepsGenerationAfter: "a_restart" },
  "the death of an instance goes unnoticed": { keepsGenerationAfter: "a_death" },
  "a write that failed is not owed": {
    server: (server) => ({ ...forward(server), write: (...call) => server.write(...call).catch(() => {}) }),
  },
};

describe("the simulation sees that", () => {
  for (const [name, plant] of Object.entries(plants)) {
    test(
      name,
      async () => {
        let caught = 0;
        for (let seed = 1; seed <= 3_000 && caught === 0; seed++) {
          if ((await runTiersWorld(seed, plant)).violations.length > 0) caught = seed;
        }
        if (process.env["SEEDS"] !== undefined) console.log(`${name}: seed ${caught}`);
        expect(caught).toBeGreaterThan(0);
      },
      120_000,
    );
  }
});
