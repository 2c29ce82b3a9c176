import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { judge, type Run, type RunLimits } from "../../src/inbox/runs.ts";
import { inboxLimits } from "./limits.ts";

const small: RunLimits = { runKeepIds: 20, runExtendIds: 10, runsMaxPerBot: 3, runForgetMs: 1_000 };

/** The rule as it is told, without arithmetic: a run is the set of ids it knows, one by one. */
class NaiveRuns {
  /** Touched last first. */
  #runs: { ids: Set<number>; high: number; touchedAt: number }[] = [];

  isKnown(id: number, now: number): boolean {
    this.#runs = this.#runs.filter((run) => now < run.touchedAt + small.runForgetMs);
    for (const run of this.#runs) {
      const isKnown = run.ids.has(id);
      const extendsIt = id > run.high && id <= run.high + small.runExtendIds;
      if (!isKnown && !extendsIt) continue;
      for (let next = run.high + 1; next <= id; next++) run.ids.add(next);
      run.high = Math.max(run.high, id);
      for (const old of run.ids) if (old < run.high - small.runKeepIds) run.ids.delete(old);
      run.touchedAt = Math.max(now, run.touchedAt);
      this.#runs = [run, ...this.#runs.filter((other) => other !== run)];
      return isKnown;
    }
    this.#runs = [{ ids: new Set([id]), high: id, touchedAt: now }, ...this.#runs].slice(0, small.runsMaxPerBot);
    return false;
  }
}

const batches = fc.array(
  fc.record({
    waitMs: fc.integer({ min: -200, max: 600 }),
    ids: fc.array(fc.integer({ min: 0, max: 150 }), { maxLength: 8 }),
  }),
  { maxLength: 30 },
);

describe("the runs of a bot", () => {
  test("judge as the rule told id by id does", () => {
    fc.assert(
      fc.property(batches, (deliveries) => {
        const naive = new NaiveRuns();
        let runs: readonly Run[] = [];
        let now = 10_000;
        for (const { waitMs, ids } of deliveries) {
          now += waitMs;
          const expected = ids.flatMap((id, place) => (naive.isKnown(id, now) ? [place] : []));
          const judged = judge(runs, ids, now, small);
          expect([...judged.known]).toEqual(expected);
          runs = judged.runs;
          expect(runs.length).toBeLessThanOrEqual(small.runsMaxPerBot);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("a batch delivered again is known, whatever it holds within one run", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 2e9 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1 }),
        (start, gaps) => {
          const ids = gaps.reduce<number[]>((all, gap) => [...all, (all.at(-1) ?? start) + gap], []);
          const once = judge([], ids, 0, inboxLimits);
          expect(once.known).toEqual([]);
          expect(judge(once.runs, ids, 1, inboxLimits).known).toHaveLength(ids.length);
        },
      ),
    );
  });

  test("a numbering that restarts just below an older one is new all the way through it", () => {
    const first = judge([], [1_000, 1_001, 1_002, 1_003], 0, inboxLimits);
    const restarted = judge(first.runs, [998, 999, 1_000, 1_001, 1_002, 1_003, 1_004], 1, inboxLimits);
    expect(restarted.known).toEqual([]);
  });

  test("an id more than `runKeepIds` below the highest is new, one just within is known", () => {
    const ids = [1, 100_001, 200_001];
    const { runs } = judge([], ids, 0, inboxLimits);
    expect(judge(runs, [1], 0, inboxLimits).known).toEqual([0]);
    const { runs: later } = judge(runs, [200_002], 0, inboxLimits);
    expect(judge(later, [1], 0, inboxLimits).known).toEqual([]);
    expect(judge(later, [2], 0, inboxLimits).known).toEqual([0]);
  });

  test("a run is forgotten after `runForgetMs` untouched; a touch by a known id keeps it", () => {
    const { runForgetMs } = inboxLimits;
    const { runs } = judge([], [5], 0, inboxLimits);
    const touched = judge(runs, [5], runForgetMs - 1, inboxLimits);
    expect(touched.known).toEqual([0]);
    expect(judge(touched.runs, [5], runForgetMs + 1, inboxLimits).known).toEqual([0]);
    expect(judge(runs, [5], runForgetMs, inboxLimits).known).toEqual([]);
  });

  test("the run touched longest ago goes when there are more than `runsMaxPerBot`", () => {
    let runs: readonly Run[] = [];
    const starts = Array.from({ length: 9 }, (_, place) => place * 1_000_000);
    for (const id of starts) ({ runs } = judge(runs, [id], 0, inboxLimits));
    expect(runs.map((run) => run.low)).toEqual(starts.slice(1).toReversed());
  });
});
