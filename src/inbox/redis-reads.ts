/** Everything of the inbox in Redis that changes nothing. */
import DataLoader from "dataloader";
import { type BotId, type Seq, toBotId, toSeq } from "../ids.ts";
import { partitionOfSeq } from "./partitions.ts";
import { readMeta } from "./redis-group.ts";
import { base } from "../redis/keys.ts";
import { type Pairs, pairsOf } from "../redis/pairs.ts";
import { entryOf, letterOf, numberOf, type StreamRow } from "./redis-rows.ts";
import { scripts } from "./redis-scripts.ts";
import type { RedisServer } from "../redis/server.ts";
import type { Chunk, LetterFilter, StoredBody, StoredEntry, StoredLetter } from "./store.ts";

export type Texts = readonly (string | null)[];

export interface Look {
  /** Of the inbox that stands there. */
  readonly name: number;
  /** By partition: the last seq that was given out, below which every entry is settled, and how many are not. */
  readonly partitions: readonly { readonly last: Seq; readonly settledBelow: Seq; readonly backlog: number }[];
  /** Unsettled entries. */
  readonly bots: ReadonlyMap<BotId, number>;
}

interface Read {
  readonly after: Seq;
  readonly max: number;
  readonly partition: number;
}

interface Page {
  readonly chunk: Chunk;
  /** It may have been cut short. */
  readonly mayHaveMore: boolean;
}

/** See `readScript`. */
type ReadAnswer = readonly [
  max: number,
  last: string,
  settledBelow: string,
  suspectUpTo: string,
  rows: readonly string[],
  marks: Pairs,
  withSends: readonly string[],
];

export class RedisReads {
  readonly #server: Pick<RedisServer, "run" | "send">;
  readonly #pageMax: number;
  readonly #count: () => number;
  /** What arrives in several partitions is told at once, and read in one call. */
  readonly #pages: DataLoader<Read, Page>;

  /** `pageMax`: entries asked for in one call, which holds Redis up. `partitions`: how many there are. */
  constructor(server: Pick<RedisServer, "run" | "send">, pageMax: number, partitions: () => number) {
    this.#server = server;
    this.#pageMax = pageMax;
    this.#count = partitions;
    this.#pages = new DataLoader((reads) => this.#readAll(reads), { cache: false });
  }

  async unsettled(after: Seq, max: number, partition: number): Promise<Chunk> {
    const chunks: Chunk[] = [];
    let [from, left] = [after, max];
    for (;;) {
      const { chunk, mayHaveMore } = await this.#pages.load({ after: from, max: left, partition });
      chunks.push(chunk);
      left -= chunk.entries.length;
      from = chunk.upTo;
      if (!mayHaveMore || left === 0) break;
    }
    const last = chunks.at(-1);
    return {
      entries: chunks.flatMap(({ entries }) => entries),
      upTo: from,
      settledBelow: last?.settledBelow ?? toSeq(0),
    };
  }

  async bodies(seqs: readonly Seq[]): Promise<readonly StoredBody[]> {
    const args = seqs.flatMap((seq) => [partitionOfSeq(seq, this.#count()), seq]);
    const found = (await this.#server.run(scripts.bodies, [base], args)) as readonly string[];
    const bodies: StoredBody[] = [];
    for (let at = 0; at < found.length; at += 4) {
      const [seq = "", meta = "", body = "", sends = ""] = found.slice(at, at + 4);
      const { updateId = 0, receivedAt } = readMeta(meta);
      bodies.push({ seq: toSeq(Number(seq)), updateId, receivedAt, body, sends: sends === "" ? undefined : sends });
    }
    return bodies;
  }

  async letters({ bot, after = 0, max }: LetterFilter): Promise<readonly StoredLetter[]> {
    const found: StoredLetter[] = [];
    const count = bot === undefined ? max : this.#pageMax;
    for (let from = after; found.length < max;) {
      const command = ["XRANGE", `${base}letters`, `${from + 1}-0`, "+", "COUNT", count] as const;
      const [rows] = (await this.#server.send([command])) as readonly [readonly StreamRow[]];
      found.push(...rows.map(letterOf).filter((letter) => bot === undefined || letter.bot === bot));
      const last = rows.at(-1);
      if (last === undefined || rows.length < count) break;
      from = numberOf(last);
    }
    return found.slice(0, max);
  }

  letterCounts(): Promise<ReadonlyMap<BotId, number>> {
    return this.#counts("lettersOf");
  }

  backlog(): Promise<ReadonlyMap<BotId, number>> {
    return this.#counts("backlog");
  }

  async stillUnsettled(seqs: readonly Seq[]): Promise<readonly Seq[]> {
    const args = seqs.flatMap((seq) => [partitionOfSeq(seq, this.#count()), seq]);
    const found = (await this.#server.run(scripts.unsettled, [base], args)) as readonly string[];
    return found.map((seq) => toSeq(Number(seq)));
  }

  async look(): Promise<Look> {
    const answer = await this.#server.run(scripts.look, [base], [this.#count()]);
    const [[name = "", ...found], bots] = answer as readonly [readonly string[], Pairs];
    const partitions = Array.from({ length: found.length / 3 }, (_, at) => ({
      last: toSeq(Number(found[3 * at])),
      settledBelow: toSeq(Number(found[3 * at + 1])),
      backlog: Number(found[3 * at + 2]),
    }));
    return { name: Number(name), partitions, bots: countsOf(bots) };
  }

  async runs(bots: readonly BotId[]): Promise<Texts> {
    const [texts] = (await this.#server.send([["HMGET", `${base}runs`, ...bots]])) as readonly [Texts];
    return texts;
  }

  async #readAll(reads: readonly Read[]): Promise<readonly Page[]> {
    const args = reads.flatMap(({ partition, after, max }) => [partition, after, max]);
    const answers = await this.#server.run(scripts.read, [base], [this.#count(), this.#pageMax, ...args]);
    return reads.map(({ after }, at) => pageOf((answers as readonly ReadAnswer[])[at], after));
  }

  async #counts(name: string): Promise<ReadonlyMap<BotId, number>> {
    const [pairs] = (await this.#server.send([["HGETALL", base + name]])) as readonly [Pairs];
    return countsOf(pairs);
  }
}

function countsOf(pairs: Pairs): ReadonlyMap<BotId, number> {
  return new Map([...pairsOf(pairs)].map(([bot, count]) => [toBotId(Number(bot)), Number(count)]));
}

function pageOf(answer: ReadAnswer | undefined, after: Seq): Page {
  if (answer === undefined) throw new Error("Redis left a read unanswered");
  const [max, last, settledBelow, suspectUpTo, rows, marks, withSends] = answer;
  const marked = {
    marks: pairsOf(marks),
    withSends: new Set(withSends),
    suspectUpTo: suspectUpTo === "" ? Number.NEGATIVE_INFINITY : Number(suspectUpTo),
  };
  const entries: StoredEntry[] = [];
  for (let at = 0; at < rows.length; at += 3) {
    const [seq = "", meta = "", body = ""] = [rows[at], rows[at + 1], rows[at + 2]];
    entries.push(entryOf(toSeq(Number(seq)), meta, body, marked));
  }
  const mayHaveMore = entries.length >= max;
  const highest = entries.at(-1)?.seq;
  // All that is up to `last` is in the stream, or settled.
  const upTo = mayHaveMore ? (highest ?? after) : toSeq(Math.max(Number(last), highest ?? Number(last)));
  return { chunk: { entries, upTo, settledBelow: toSeq(Number(settledBelow)) }, mayHaveMore };
}
