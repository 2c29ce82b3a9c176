/**
 * A fleet of instances that share bots and partitions, on virtual time: odd seeds with the real leases, even ones with leases by a script.
 * `SEED=207 bun test test/simulation/instances` replays one seed, `SEEDS=20000` runs that many.
 */
import { describe, expect, test } from "bun:test";
import { type InstancesPlant, type InstancesReport, runInstances } from "./instances-world.ts";
import { sharedLeases } from "./fleet-leases.ts";
import { scriptedLeases } from "./scripted-leases.ts";

const only = process.env["SEED"];
const seeds = Number(process.env["SEEDS"] ?? 2_000);
/** A planted bug that this many seeds do not show would not be found in practice either. */
const plantSeeds = 300;

/** `shows`: what it is caught by. */
const plants: Readonly<Record<string, { readonly plant: InstancesPlant; readonly shows: RegExp }>> = {
  "the token of a claim is compared by its number only": {
    plant: { isSame: (given, present) => given.split(":")[0] === present.split(":")[0] },
    shows: /^fence/,
  },
  "the token of a claim is not looked at": { plant: { isSame: () => true }, shows: /^fence/ },
  "claims are given back while handlers are at work": {
    plant: { givesBackAtOnce: true },
    shows: /^(hand-over|doubled)/,
  },
  "claims go on after a lapse without being confirmed": { plant: { resumesUnasked: true }, shows: /^two owners/ },
  "a claim is taken for what was told last, whatever the clock says": {
    plant: { looksAtNoClock: true },
    shows: /^claim/,
  },
  "calls go out whether the claim holds or not": { plant: { actsUnclaimed: true }, shows: /^claim/ },
  "a claim holds from the answer to a renewal on, not from its sending": {
    plant: { countsFromAnswer: true },
    shows: /^(claim|two owners)/,
  },
  "others take over before the owner knows that it may be silent": { plant: { ttlMs: 3_500 }, shows: /^two owners/ },
};

function run(seed: number, plant?: InstancesPlant): Promise<InstancesReport> {
  return runInstances(seed, seed % 2 === 1 ? sharedLeases : scriptedLeases, plant);
}

describe("a simulated fleet", () => {
  test(
    "loses nothing, keeps each chat in order, and repeats only what was cut off, in any seed",
    async () => {
      const from = only === undefined ? 1 : Number(only);
      const failures: string[] = [];
      const sums: Record<string, number> = {};
      for (let seed = from; seed < (only === undefined ? from + seeds : from + 1); seed++) {
        const report = await run(seed);
        for (const [name, count] of Object.entries(report.sums)) sums[name] = (sums[name] ?? 0) + count;
        if (report.violations.length > 0) failures.push(`SEED=${seed}: ${report.violations.slice(0, 5).join("; ")}`);
      }
      expect(failures.slice(0, 5)).toEqual([]);
      if (only !== undefined) return;
      // A simulation in which nothing happens would pass as well.
      for (const [name, count] of Object.entries(sums)) {
        expect([name, count > seeds / (name === "conflicts" ? 20 : 5)]).toEqual([name, true]);
      }
    },
    60_000 + seeds * 100,
  );

  test("replays the same run by its seed", async () => {
    for (const seed of [17, 18]) expect(await run(seed)).toEqual(await run(seed));
  });

  for (const [bug, { plant, shows }] of Object.entries(plants)) {
    test(`a planted bug is caught: ${bug}`, async () => {
      for (let seed = 1; seed <= plantSeeds; seed++) {
        const { violations } = await run(seed, plant);
        if (violations.some((each) => shows.test(each))) return;
      }
      throw new Error(`${plantSeeds} seeds did not show it`);
    }, 60_000);
  }
});
