/**
 * Poller, inbox, lanes, pipeline and client on virtual time. Each seed is one run in which every step may be late, fail or be the last one of
 * the process. `SEED=207 bun test test/simulation` replays one seed; `SEEDS=20000` runs that many.
 */
import { describe, expect, test } from "bun:test";
import { plants } from "./plants.ts";
import { type RunReport, runWorld } from "./world.ts";

const only = process.env["SEED"];
const seeds = Number(process.env["SEEDS"] ?? 2_000);
/** A planted bug that this many seeds do not show would not be found in practice either. */
const plantSeeds = 400;

function inWords(report: RunReport): string {
  return `seed ${report.seed} (replay: SEED=${report.seed} bun test test/simulation):\n  ${report.violations.join("\n  ")}`;
}

describe("the deterministic simulation", () => {
  test("nothing is lost, reordered or doubled in any seed", async () => {
    const from = only === undefined ? 1 : Number(only);
    const failures: string[] = [];
    let crashes = 0;
    let stops = 0;
    let updates = 0;
    const until = only === undefined ? seeds : from;
    for (let seed = from; seed <= until; seed++) {
      const report = await runWorld(seed);
      crashes += report.crashes;
      stops += report.stops;
      updates += report.updates;
      if (report.violations.length > 0) failures.push(inWords(report));
    }
    expect(failures.slice(0, 5)).toEqual([]);
    if (only !== undefined) return;
    // A simulation in which nothing happens would pass as well.
    expect(crashes).toBeGreaterThan(seeds / 2);
    expect(stops).toBeGreaterThan(seeds / 10);
    expect(updates).toBeGreaterThan(seeds * 15);
  }, 180_000);

  test("a seed replays the same run", async () => {
    const first = await runWorld(17);
    expect(await runWorld(17)).toEqual(first);
    expect(first.steps).toBeGreaterThan(100);
  });

  for (const [bug, plant] of Object.entries(plants)) {
    test(`a planted bug is caught: ${bug}`, async () => {
      for (let seed = 1; seed <= plantSeeds; seed++) {
        if ((await runWorld(seed, plant)).violations.length > 0) return;
      }
      throw new Error(`${plantSeeds} seeds did not show it`);
    }, 60_000);
  }
});
