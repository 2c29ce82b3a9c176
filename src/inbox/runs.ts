/**
 * Which update ids of a bot have been appended before. Ids rise, but restart at random after a week without updates or when the bot
 * moves to another server, so one highest id is not enough: each stretch of numbering is a run.
 *
 * In doubt an update counts as new: handling one twice is repaired further on, a lost one is lost. So the run touched last speaks
 * first: an id that continues it is new even where an older run, left behind by a restart of the numbering, covers it too.
 */

export interface Run {
  readonly low: number;
  readonly high: number;
  /** Wall-clock ms. */
  readonly touchedAt: number;
}

export interface RunLimits {
  readonly runKeepIds: number;
  readonly runExtendIds: number;
  readonly runsMaxPerBot: number;
  readonly runForgetMs: number;
}

/** What a batch makes of the runs: the new runs, touched last first, and the places (rising) of ids that were known. */
export interface Judged {
  readonly runs: readonly Run[];
  readonly known: readonly number[];
}

/**
 * Judges the ids of a batch one after another; an id that comes twice within the batch is known the second time.
 * `runs`: what the last judgement left, touched last first; not changed.
 */
export function judge(runs: readonly Run[], ids: readonly number[], now: number, limits: RunLimits): Judged {
  const kept = runs.filter((run) => now - run.touchedAt < limits.runForgetMs);
  const known: number[] = [];
  ids.forEach((id, place) => {
    const at = kept.findIndex((run) => covers(run, id, limits) || extendsRun(run, id, limits));
    const run = kept[at];
    if (run === undefined) {
      kept.unshift({ low: id, high: id, touchedAt: now });
      kept.length = Math.min(kept.length, limits.runsMaxPerBot);
      return;
    }
    if (id <= run.high) known.push(place);
    const touched = { low: run.low, high: Math.max(run.high, id), touchedAt: Math.max(run.touchedAt, now) };
    if (at !== 0) kept.copyWithin(1, 0, at);
    kept[0] = touched;
  });
  return { runs: kept, known };
}

/** As a store keeps them. */
export function textOf(runs: readonly Run[]): string {
  return JSON.stringify(runs.map(({ low, high, touchedAt }) => [low, high, touchedAt]));
}

export function runsOf(text: string | undefined): Run[] {
  const rows = text === undefined ? [] : (JSON.parse(text) as readonly (readonly [number, number, number])[]);
  return rows.map(([low, high, touchedAt]) => ({ low, high, touchedAt }));
}

function covers(run: Run, id: number, limits: RunLimits): boolean {
  return id <= run.high && id >= Math.max(run.low, run.high - limits.runKeepIds);
}

function extendsRun(run: Run, id: number, limits: RunLimits): boolean {
  return id > run.high && id - run.high <= limits.runExtendIds;
}
