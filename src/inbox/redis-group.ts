/** Between a group and what `commitScript` is given and answers. */
import { type BotId, type LaneKey, type Seq, toBotId, toLaneKey, toSeq } from "../ids.ts";
import { partitionOfLane, partitionOfSeq } from "./partitions.ts";
import type { Argument } from "../redis/server.ts";
import type { AppendWrite, DeathWrite, Group, LetterResult, LetterWrite, MarkWrite, StoredEntry } from "./store.ts";

/** An append, judged: which of its updates are known, and what becomes of the bot's runs, as text. */
export interface JudgedAppend {
  readonly write: AppendWrite;
  /** Places, rising. */
  readonly known: readonly number[];
  readonly runsBefore: string;
  /** "" where duplicates are not looked for. */
  readonly runsAfter: string;
}

/** A letter's change; of one to be retried its lane is known already, which never changes. */
export interface LetterChange {
  readonly write: LetterWrite;
  readonly found: Found | undefined;
}

export interface Found {
  readonly bot: BotId;
  readonly lane: LaneKey;
  readonly receivedAt: number;
}

export type GroupParts = Pick<Group, "tokens" | "marks" | "done" | "deaths">;

/** Everything of `commitScript` behind its first six arguments. */
export function argumentsOf(
  { tokens, marks, done, deaths }: GroupParts,
  letters: readonly LetterChange[],
  appends: readonly JudgedAppend[],
  partitions: number,
): Argument[] {
  const args: Argument[] = [];
  const claims = tokens.flatMap((token, partition) => (token === undefined ? [] : [partition, token]));
  args.push(claims.length / 2, ...claims, marks.length);
  for (const mark of marks) pushMark(args, mark, partitions);
  const ranges = rangesOf(done, partitions);
  args.push(ranges.length / 2);
  for (let at = 0; at < ranges.length; at += 2) {
    const [first = toSeq(0), last = first] = [ranges[at], ranges[at + 1]];
    args.push(partitionOfSeq(first, partitions), first, last);
  }
  args.push(deaths.length);
  for (const death of deaths) pushDeath(args, death, partitions);
  args.push(letters.length);
  for (const { write, found } of letters) {
    const partition = found === undefined ? "" : partitionOfLane(found.bot, found.lane, partitions);
    args.push(write.kind, write.id, write.kind === "retry" && write.again ? 1 : 0, partition);
  }
  args.push(appends.length);
  for (const append of appends) pushAppend(args, append, partitions);
  return args;
}

/** First and last seqs, one after the other, of runs in which no seq of the partition is missing. */
function rangesOf(seqs: readonly Seq[], partitions: number): Seq[] {
  const ranges: Seq[] = [];
  const sorted = seqs.toSorted((a, b) => (a % partitions) - (b % partitions) || a - b);
  for (let at = 0; at < sorted.length;) {
    const first = sorted[at] ?? toSeq(0);
    let last = first;
    for (at++; at < sorted.length; at++) {
      const next = sorted[at] ?? last;
      if (next !== last && next !== last + partitions) break;
      last = next;
    }
    ranges.push(first, last);
  }
  return ranges;
}

function pushMark(args: Argument[], { seq, attempts, started, sends }: MarkWrite, partitions: number): void {
  const flag = started === undefined ? "" : Number(started);
  args.push(partitionOfSeq(seq, partitions), seq, attempts ?? "", flag, sends ?? "");
}

function pushDeath(args: Argument[], death: DeathWrite, partitions: number): void {
  const { seq, error, attempts, sends, effectsUnknown } = death;
  args.push(partitionOfSeq(seq, partitions), seq, error, attempts, sends, Number(effectsUnknown));
}

function pushAppend(args: Argument[], { write, known, runsBefore, runsAfter }: JudgedAppend, partitions: number): void {
  const { bot, token, receivedAt, ids, lanes, bodies, malformed } = write;
  args.push(bot, token, runsBefore, runsAfter, ids.length - known.length);
  for (let place = 0, nextKnown = 0; place < ids.length; place++) {
    if (known[nextKnown] === place) {
      nextKnown++;
      continue;
    }
    const [id, lane, body] = [ids[place], lanes[place], bodies[place]];
    if (id === undefined || lane === undefined || body === undefined) throw new RangeError("columns differ in length");
    args.push(partitionOfLane(bot, lane, partitions), metaOf(bot, id, receivedAt, lane), body);
  }
  args.push(malformed.length);
  for (const { lane, body, error } of malformed) args.push(metaOf(bot, "-", receivedAt, lane), body, error);
}

/** Lanes that are text begin with a quotation mark. */
function metaOf(bot: BotId, updateId: number | "-", receivedAt: number, lane: LaneKey): string {
  return `${bot} ${updateId} ${receivedAt} ${typeof lane === "number" ? lane : `"${lane}`}`;
}

export interface Meta extends Found {
  /** Undefined of what is malformed. */
  readonly updateId: number | undefined;
}

export function readMeta(text: string): Meta {
  const ends: number[] = [];
  for (let at = -1; ends.length < 3;) ends.push((at = text.indexOf(" ", at + 1)));
  const [first = 0, second = 0, third = 0] = ends;
  const id = text.slice(first + 1, second);
  const lane = text.slice(third + 1);
  return {
    bot: toBotId(Number(text.slice(0, first))),
    updateId: id === "-" ? undefined : Number(id),
    receivedAt: Number(text.slice(second + 1, third)),
    lane: toLaneKey(lane.startsWith('"') ? lane.slice(1) : Number(lane)),
  };
}

/** What is known of an entry beside its meta. */
export interface Marked {
  readonly attempts: number;
  readonly suspicion: StoredEntry["suspicion"];
}

/** `mark`: `attempts started alone crashes`. */
export function readMark(mark: string | undefined, isSuspect: boolean): Marked {
  const [attempts = "0", , alone = "0"] = mark?.split(" ") ?? [];
  return { attempts: Number(attempts), suspicion: alone === "1" ? "alone" : isSuspect ? "suspect" : "none" };
}

export type AppendAnswer =
  | { readonly status: "stored"; readonly buried: number; readonly firsts: readonly (Seq | undefined)[] }
  | { readonly status: "fenced" | "full" | "conflict" };

export interface CommitAnswer {
  readonly fenced: readonly number[];
  readonly settledBelow: readonly (Seq | undefined)[];
  readonly appends: readonly AppendAnswer[];
  readonly letters: readonly (readonly [kind: string, seq: string])[];
}

type Answered = readonly [
  status: string,
  fenced: readonly string[],
  below: readonly string[],
  appends: readonly (readonly [string, string, readonly string[]])[],
  letters: readonly (readonly [string, string])[],
];

export function readAnswer(answer: unknown): CommitAnswer {
  const [status, fenced, below, appends, letters] = answer as Answered;
  if (status === "gone") throw new Error("Redis does not hold the inbox any more that it held");
  if (status !== "ok") throw new Error("a later group was written before this one");
  return {
    fenced: fenced.map(Number),
    settledBelow: seqsByPartition(below),
    letters,
    appends: appends.map(([end, detail, firsts]): AppendAnswer => {
      if (end === "conflict" || end === "fenced" || end === "full") return { status: end };
      return { status: "stored", buried: Number(detail), firsts: seqsByPartition(firsts) };
    }),
  };
}

function seqsByPartition(pairs: readonly string[]): (Seq | undefined)[] {
  const seqs: (Seq | undefined)[] = [];
  for (let at = 0; at < pairs.length; at += 2) seqs[Number(pairs[at])] = toSeq(Number(pairs[at + 1]));
  return seqs;
}

export function letterResult([kind, seq]: readonly [string, string], found: Found | undefined): LetterResult {
  if (kind === "retried" && found !== undefined) return { kind, seq: toSeq(Number(seq)), ...found };
  return { kind: kind as Exclude<LetterResult["kind"], "retried"> };
}
