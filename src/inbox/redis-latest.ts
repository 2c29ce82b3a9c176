/** What was settled lately: Redis may lose what came last, and an entry that came back would be handled again. So it is written once more then. */
import type { Clock } from "../clock.ts";
import type { Seq } from "../ids.ts";
import type { GroupParts } from "./redis-group.ts";

interface Written extends GroupParts {
  readonly atMs: number;
}

export class RedisLatest {
  readonly #clock: Clock;
  readonly #keptMs: number;
  #written: Written[] = [];

  constructor(clock: Clock, keptMs: number) {
    this.#clock = clock;
    this.#keptMs = keptMs;
  }

  /** What a group has settled; `isFenced`: of a partition to which nothing was written. */
  remember({ tokens, done, deaths }: GroupParts, isFenced: (seq: Seq) => boolean): void {
    const atMs = this.#clock.monotonic();
    const oldest = this.#written.findIndex((written) => atMs - written.atMs <= this.#keptMs);
    this.#written.splice(0, oldest === -1 ? this.#written.length : oldest);
    if (done.length + deaths.length === 0) return;
    const kept = {
      done: done.filter((seq) => !isFenced(seq)),
      deaths: deaths.filter(({ seq }) => !isFenced(seq)),
    };
    this.#written.push({ atMs, tokens, marks: [], ...kept });
  }

  /** One for all that was written under the same claims. */
  groups(): readonly GroupParts[] {
    return [...Map.groupBy(this.#written, ({ tokens }) => JSON.stringify(tokens)).values()].map((alike) => ({
      tokens: alike[0]?.tokens ?? [],
      marks: [],
      done: alike.flatMap(({ done }) => done),
      deaths: alike.flatMap(({ deaths }) => deaths),
    }));
  }
}
