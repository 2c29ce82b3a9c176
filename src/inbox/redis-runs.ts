/** What this process knows of the numbering of each bot: the remembered runs, as they are in Redis unless another process has written since. */
import type { BotId } from "../ids.ts";
import type { JudgedAppend } from "./redis-group.ts";
import { judge, type Run, type RunLimits, runsOf, textOf } from "./runs.ts";
import type { AppendWrite, Group } from "./store.ts";

export interface RedisRunsOptions {
  /** The runs of these bots as they are in Redis; null where there are none. */
  readonly read: (bots: readonly BotId[]) => Promise<readonly (string | null)[]>;
  readonly limits: RunLimits;
  /** False: nothing is known, an id delivered twice is two entries. */
  readonly deduplicate: boolean;
}

export class RedisRuns {
  readonly #options: RedisRunsOptions;
  readonly #runs = new Map<BotId, readonly Run[]>();

  constructor(options: RedisRunsOptions) {
    this.#options = options;
  }

  /** Of the appends at these places of the group, by place, in the order in which they have to be written. */
  async judge({ appends, now }: Group, places: readonly number[]): Promise<ReadonlyMap<number, JudgedAppend>> {
    const judged = new Map<number, JudgedAppend>();
    if (this.#options.deduplicate) await this.#read(places.flatMap((place) => appends[place] ?? []));
    // Of several appends of one bot each builds on the one before.
    const latest = new Map<BotId, readonly Run[]>();
    for (const place of places) {
      const write = appends[place];
      if (write === undefined) continue;
      if (!this.#options.deduplicate || write.ids.length === 0) {
        judged.set(place, { write, known: [], runsBefore: "", runsAfter: "" });
        continue;
      }
      const before = latest.get(write.bot) ?? this.#runs.get(write.bot) ?? [];
      const { runs, known } = judge(before, write.ids, now, this.#options.limits);
      latest.set(write.bot, runs);
      const runsBefore = before.length === 0 ? "" : textOf(before);
      judged.set(place, { write, known, runsBefore, runsAfter: textOf(runs) });
    }
    return judged;
  }

  /** Written with these runs. */
  learn({ write, runsAfter }: JudgedAppend): void {
    if (runsAfter !== "") this.#runs.set(write.bot, runsOf(runsAfter));
  }

  /** They may be others by now: they are read before the next append. */
  forget(writes: readonly AppendWrite[]): void {
    for (const { bot } of writes) this.#runs.delete(bot);
  }

  forgetAll(): void {
    this.#runs.clear();
  }

  async #read(writes: readonly AppendWrite[]): Promise<void> {
    const unknown = [...new Set(writes.map(({ bot }) => bot))].filter((bot) => !this.#runs.has(bot));
    if (unknown.length === 0) return;
    const texts = await this.#options.read(unknown);
    unknown.forEach((bot, at) => this.#runs.set(bot, runsOf(texts[at] ?? undefined)));
  }
}
