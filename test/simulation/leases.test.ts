/** The leases of a fleet in a model of Redis. `SEED=207 bun test test/simulation/leases` replays one seed, `SEEDS=20000` runs that many. */
import { describe, expect, test } from "bun:test";
import { isSameEpoch, type LeasePlant, runLeases } from "./leases-world.ts";

const only = process.env["SEED"];
const seeds = Number(process.env["SEEDS"] ?? 500);

const plants: Readonly<Record<string, LeasePlant>> = {
  "claims are given up after others may take them": { limits: { giveUpMs: 6_000 } },
  "the token of a claim is compared by its number only": { isSame: isSameEpoch },
  "claims go on after a lapse without being compared": { isSame: () => true },
  "a renewal counts from its answer": { countsFromAnswer: true },
  "claims are given back before they are released": { givesBeforeRelease: true },
};

describe("the leases of a fleet", () => {
  test("are never held twice, and all are held and even in the end, in any seed", async () => {
    const from = only === undefined ? 1 : Number(only);
    const failures: string[] = [];
    const sums = { taken: 0, moved: 0, lost: 0, lapses: 0, deaths: 0, restarts: 0 };
    for (let seed = from; seed < (only === undefined ? from + seeds : from + 1); seed++) {
      const report = await runLeases(seed);
      for (const name of Object.keys(sums) as (keyof typeof sums)[]) sums[name] += report[name];
      if (report.violations.length > 0) failures.push(`SEED=${seed}: ${report.violations.slice(0, 5).join("; ")}`);
    }
    if (process.env["SHOW"] !== undefined) console.log(sums);
    expect(failures.slice(0, 5)).toEqual([]);
    if (only !== undefined) return;
    // A simulation in which nothing happens would pass as well.
    for (const count of Object.values(sums)) expect(count).toBeGreaterThan(seeds / 5);
  }, 180_000);

  for (const [bug, plant] of Object.entries(plants)) {
    test(`a planted bug is caught: ${bug}`, async () => {
      for (let seed = 1; seed <= 300; seed++) if ((await runLeases(seed, plant)).violations.length > 0) return;
      throw new Error("300 seeds did not show it");
    }, 120_000);
  }
});
