/**
 * The store of the inbox in Redis. Many processes write to it; each partition and each bot has one owner, told by the token of its claim.
 * How each step can end, beside what `store.ts` says of every store:
 *
 *     step                  can end by                              then
 *     group                 connection lost before Redis had it     its appends reject; settles, marks and letters are written again
 *     group                 applied, the answer lost                as above: appends are known by the runs when they come again, the
 *                                                                   rest changes nothing the second time; what was stored is read back
 *     group                 no answer in time (Redis hung)          as above; done later than that it is `late` where another group of this
 *                                                                   process came before it (numbers), and else as "answer lost"
 *     append                claim taken over                        fenced, nothing of it written
 *     append                another process had the bot meanwhile   the runs are not as expected: judged again by those that are there
 *     append                Redis full                              refused; settling goes on (redis-scripts.ts)
 *     settle, mark, death   claim taken over                        fenced, nothing of it written; the new owner hands the entry out
 *     any                   read-only replica, loading, AOF error   an error like a lost connection; the connection is opened anew
 *     any                   SCRIPT FLUSH, restart                   sent by its text
 *     release               connection lost                         the next owner takes over as after a crash: suspects, one time too careful
 *     take-over             answer lost                             asked again by the same process it changes nothing
 *     Redis restarted,      AOF always                              nothing is missing
 *       fail-over           AOF everysec: the last second missing   of appends: lost, unless this process has them in work · of settles and
 *                                                                   deaths: written again by their process · seqs and letter ids: a gap
 *                                                                   is left above those given out, told by the server's run · tokens: compared whole
 *     what others settled   lost with the last second               believed only when Redis was asked again `rewriteMs` later and is the same one
 *     any                   Redis was emptied                       told by the inbox's name; broken: the process ends, and begins anew
 *     message of an append  lost                                    seqs are looked at each `lookMs`, and read where listening begins anew
 *     eviction              entries gone                            refused at the opening
 *
 * Longer than 150 lines: the calls of one port over one state (numbers, runs, what may have to be written again).
 */
import type { Clock } from "../clock.ts";
import { Fault } from "../faults.ts";
import { base } from "../redis/keys.ts";
import type { RedisServer, RunScript } from "../redis/server.ts";
import { partitionOfSeq } from "./partitions.ts";
import { RedisArrivals } from "./redis-arrivals.ts";
import {
  argumentsOf,
  type CommitAnswer,
  type GroupParts,
  type JudgedAppend,
  type LetterChange,
  letterResult,
  readAnswer,
} from "./redis-group.ts";
import { foundOf } from "./redis-rows.ts";
import { RedisLatest } from "./redis-latest.ts";
import { type Look, RedisReads } from "./redis-reads.ts";
import { RedisRuns } from "./redis-runs.ts";
import { scripts } from "./redis-scripts.ts";
import type { RunLimits } from "./runs.ts";
import {
  aloneCrashesMax,
  aloneDeathError,
  type AppendResult,
  type Committed,
  type Group,
  type InboxStore,
  type LetterWrite,
  type StoreEvents,
} from "./store.ts";

export interface RedisStoreOptions {
  readonly server: RedisServer;
  /** Lower-case letters and digits, never used before: this process. */
  readonly writer: string;
  /** Databases of one server share their channels: which one this is. */
  readonly database: string;
  /** Of a Redis that has no inbox yet; one that has keeps its own number. */
  readonly partitions: number;
  /** The same: draws what its partitions are called by, the first of them, a whole number. */
  readonly newName: () => number;
  readonly clock: Clock;
  readonly limits: RedisStoreLimits;
  /** False: an id delivered twice is two entries. */
  readonly deduplicate: boolean;
  /** A connection is prepared. `isOther`: to another run of the server than before, which may have lost what came last. Rejects: it is not used. */
  readonly onPrepared: (isOther: boolean) => Promise<void>;
  /** Whether groups have to wait for the server's disk. */
  readonly waitsForDisk: () => boolean;
}

export interface RedisStoreLimits extends RunLimits {
  /** How often it is looked for entries that nobody told of, ms. */
  readonly lookMs: number;
  /** How long settles are remembered that a restart of Redis could undo, ms. */
  readonly rewriteMs: number;
  readonly readMaxEntries: number;
}

const format = 1;
/** Seqs left out of each partition, and letter ids, where the server may have lost the last ones: far above what comes in a second. */
const gap = 2 ** 20;
/** Rounds of judging an append again, because another process wrote in between. */
const conflictsMax = 5;

/** Of a second try, in which only appends are written. */
const appendsOnly: GroupParts = { tokens: [], marks: [], done: [], deaths: [] };

export class RedisStore implements InboxStore {
  readonly #options: RedisStoreOptions;
  readonly #runs: RedisRuns;
  readonly #reads: RedisReads;
  readonly #arrivals: RedisArrivals;
  readonly #latest: RedisLatest;
  readonly #openTokens = new Map<number, string>();
  #partitions: number;
  #name: number | undefined;
  /** Of the server, when what had been written last was seen to be there. */
  #serverRun: string | undefined;
  readonly #broken = Promise.withResolvers<unknown>();
  #number = 0;

  constructor(options: RedisStoreOptions) {
    this.#options = options;
    this.#partitions = options.partitions;
    const { server, limits, deduplicate, writer, clock } = options;
    const reads = new RedisReads(server, limits.readMaxEntries, () => this.#partitions);
    this.#reads = reads;
    this.#runs = new RedisRuns({ read: (bots) => reads.runs(bots), limits, deduplicate });
    const { lookMs, rewriteMs: lossMaxMs } = limits;
    this.#latest = new RedisLatest(clock, lossMaxMs);
    this.#arrivals = new RedisArrivals({ writer, clock, lookMs, lossMaxMs, look: () => this.#look() });
    server.start({
      prepare: (run) => this.#prepare(run),
      channel: this.#channel,
      onMessage: (text) => this.#arrivals.heard(text),
      onListening: () => this.#arrivals.doubt(),
    });
  }

  /** Known once a connection was prepared. */
  get partitions(): number {
    return this.#partitions;
  }

  /** Of partition 0, the others follow: no other inbox has it. Known once a connection was prepared. */
  get name(): number {
    return this.#name ?? 0;
  }

  get broken(): Promise<unknown> {
    return this.#broken.promise;
  }

  async commit(group: Group): Promise<Committed> {
    const committed = await this.#commit(group);
    if (this.#options.waitsForDisk()) await this.#options.server.waitForDisk();
    return committed;
  }

  readonly unsettled: InboxStore["unsettled"] = (...given) => this.#reads.unsettled(...given);
  readonly bodies: InboxStore["bodies"] = (seqs) => this.#reads.bodies(seqs);
  readonly stillUnsettled: InboxStore["stillUnsettled"] = (seqs) => this.#reads.stillUnsettled(seqs);
  readonly letters: InboxStore["letters"] = (filter) => this.#reads.letters(filter);
  readonly letterCounts: InboxStore["letterCounts"] = () => this.#reads.letterCounts();
  readonly backlog: InboxStore["backlog"] = () => this.#reads.backlog();

  async takeOver(partition: number, token: string): Promise<void> {
    const { server, writer, clock } = this.#options;
    const args = [partition, token, writer, clock.now(), aloneCrashesMax, aloneDeathError];
    if ((await server.run(scripts.takeOver, [base], args)) === "fenced") {
      throw new Fault("inbox_fenced", `another instance has partition ${partition}`);
    }
    this.#openTokens.set(partition, token);
    this.#arrivals.open(partition);
  }

  async release(partition: number, token: string): Promise<void> {
    this.#openTokens.delete(partition);
    this.#arrivals.close(partition);
    const { server, writer } = this.#options;
    await server.run(scripts.close, [base], [writer, partition, token]);
  }

  watch(events: StoreEvents): void {
    this.#arrivals.watch(events);
  }

  async close(clean: boolean): Promise<void> {
    this.#arrivals.stop();
    const { server, writer } = this.#options;
    try {
      // Those that were given back before have been recorded then, or could not be.
      if (clean && this.#openTokens.size > 0)
        await server.run(scripts.close, [base], [writer, ...[...this.#openTokens].flat()]);
    } finally {
      server.stop();
    }
  }

  get #channel(): string {
    return `${base}${this.#options.database}:arrived`;
  }

  async #commit(group: Group): Promise<Committed> {
    const letters = await Promise.all(group.letters.map((write) => this.#findLetter(write)));
    const appends = new Map<number, AppendResult>();
    const answer = await this.#write(
      group,
      group.now,
      letters,
      await this.#runs.judge(group, [...group.appends.keys()]),
      appends,
    );
    this.#latest.remember(group, (seq) => answer.fenced.includes(partitionOfSeq(seq, this.#partitions)));
    for (let round = 0; appends.size < group.appends.length; round++) {
      if (round >= conflictsMax) throw new Error("another process writes for the same bot");
      const places = [...group.appends.keys()].filter((place) => !appends.has(place));
      this.#runs.forget(places.flatMap((place) => group.appends[place] ?? []));
      await this.#write(appendsOnly, group.now, [], await this.#runs.judge(group, places), appends);
    }
    return {
      appends: group.appends.map((_, place) => appends.get(place) ?? { firsts: [], known: [], buried: 0 }),
      letters: answer.letters.map((each, place) => letterResult(each, letters[place]?.found)),
      settledBelow: answer.settledBelow,
      fenced: answer.fenced,
    };
  }

  async #look(): Promise<Look> {
    const look = await this.#reads.look();
    this.#checkName(look.name);
    return look;
  }

  /** Where Redis was emptied, or another one took its place, numbers begin anew: nothing that is known here holds. */
  #checkName(name: number): void {
    if (this.#name === undefined || this.#name === name) return;
    const reason = new Error("Redis does not hold the inbox any more that it held");
    this.#broken.resolve(reason);
    throw reason;
  }

  async #findLetter(write: LetterWrite): Promise<LetterChange> {
    const [letter] = await this.letters({ after: write.id - 1, max: 1 });
    return { write, found: letter?.id === write.id ? foundOf(letter) : undefined };
  }

  /** One call. Of the appends, by their place in the group, those that are not in conflict are put into `results`. */
  async #write(
    group: GroupParts,
    now: number,
    letters: readonly LetterChange[],
    judged: ReadonlyMap<number, JudgedAppend>,
    results: Map<number, AppendResult>,
  ): Promise<CommitAnswer> {
    const { server, writer } = this.#options;
    const head = [writer, ++this.#number, now, this.#partitions, this.#channel, this.name];
    const args = argumentsOf(group, letters, [...judged.values()], this.#partitions);
    const answer = readAnswer(await server.run(scripts.commit, [base], [...head, ...args]));
    [...judged].forEach(([place, append], at) => {
      const end = answer.appends[at];
      if (end === undefined) throw new Error("Redis left an append unanswered");
      if (end.status === "conflict") return;
      if (end.status === "stored") {
        this.#runs.learn(append);
        results.set(place, { firsts: end.firsts, known: append.known, buried: end.buried });
      } else {
        this.#runs.forget([append.write]);
        results.set(place, { firsts: [], known: [], buried: 0, refusal: end.status });
      }
    });
    return answer;
  }

  async #prepare(run: RunScript): Promise<void> {
    const { partitions, newName, onPrepared } = this.#options;
    const answer = (await run(scripts.prepare, [base], [format, partitions, newName(), gap])) as readonly string[];
    const [status, detail, name, serverRun] = answer;
    if (status === "newer") {
      throw new Fault(
        "format_newer",
        `the inbox in Redis has format ${detail}, written by a newer botfleet; this one knows up to ${format}: run the newer one, or use another database`,
      );
    }
    this.#checkName(Number(name));
    this.#partitions = Number(detail);
    this.#name = Number(name);
    this.#runs.forgetAll();
    // By what this process has seen: another one may have been the first to meet the other run, or this one was cut off before it had written again.
    const isOther = this.#serverRun !== undefined && serverRun !== this.#serverRun;
    await onPrepared(isOther);
    if (isOther) {
      this.#arrivals.distrust();
      await this.#rewrite(run);
    }
    this.#serverRun = serverRun;
    this.#arrivals.doubt();
  }

  async #rewrite(run: RunScript): Promise<void> {
    const { writer, clock } = this.#options;
    for (const parts of this.#latest.groups()) {
      const head = [writer, ++this.#number, clock.now(), this.#partitions, this.#channel, this.name];
      await run(scripts.commit, [base], [...head, ...argumentsOf(parts, [], [], this.#partitions)]);
    }
  }
}
