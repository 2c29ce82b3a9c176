/** An inbox that instances share, in a model of Redis. `SEED=207 bun test test/simulation/shared-inbox` replays one seed, `SEEDS=20000` runs that many. */
import { describe, expect, test } from "bun:test";
import { runShared, type SharedPlant } from "./shared-inbox-world.ts";

const only = process.env["SEED"];
const seeds = Number(process.env["SEEDS"] ?? 1_000);

const plants: Readonly<Record<string, SharedPlant>> = {
  "the token of a claim is not looked at": { isSame: () => true },
  "the token of a claim is compared by its number only": { isSame: (a, b) => a.split(":")[0] === b.split(":")[0] },
  "an append whose answer was lost is stored again": { deduplicate: false },
  "nobody hears what another instance appended": { isDeaf: true },
};

describe("the inbox that instances share", () => {
  test("loses, reorders and doubles nothing in any seed", async () => {
    const from = only === undefined ? 1 : Number(only);
    const failures: string[] = [];
    const sums = { moves: 0, crashes: 0, fenced: 0, late: 0 };
    for (let seed = from; seed < (only === undefined ? from + seeds : from + 1); seed++) {
      const report = await runShared(seed);
      for (const name of ["moves", "crashes", "fenced", "late"] as const) sums[name] += report[name];
      if (report.violations.length > 0) failures.push(`SEED=${seed}: ${report.violations.slice(0, 5).join("; ")}`);
    }
    expect(failures.slice(0, 5)).toEqual([]);
    if (only !== undefined) return;
    // A simulation in which nothing happens would pass as well.
    for (const count of Object.values(sums)) expect(count).toBeGreaterThan(seeds / 5);
  }, 180_000);

  for (const [bug, plant] of Object.entries(plants)) {
    test(`a planted bug is caught: ${bug}`, async () => {
      for (let seed = 1; seed <= 200; seed++) if ((await runShared(seed, plant)).violations.length > 0) return;
      throw new Error("200 seeds did not show it");
    }, 60_000);
  }
});
