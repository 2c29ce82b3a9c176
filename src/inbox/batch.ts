/** The writes that wait for a transaction, and what its end means for each of them. */
import { Fault } from "../faults.ts";
import type { Seq } from "../ids.ts";
import { type Encoded, freshEntry } from "./encoding.ts";
import type { Appended, Entry } from "./inbox.ts";
import { partitionOfLane, partitionOfSeq, seqAfter } from "./partitions.ts";
import type { Committed, DeathWrite, Group, LetterResult, LetterWrite, MarkWrite } from "./store.ts";

interface Waiting {
  /** False once the claim under which the write was made is lost: then it is left out. */
  readonly valid: () => boolean;
  readonly reject: (fault: Fault) => void;
}

export interface Append extends Waiting {
  readonly kind: "append";
  readonly encoded: Encoded;
  readonly resolve: (appended: Appended) => void;
}

interface OfPartition {
  readonly partition: number;
  /** Of the claim on the partition. */
  readonly token: string;
  readonly resolve: () => void;
}

/** Writes that a failed commit keeps. */
export type Kept = Waiting &
  (
    | ({ readonly kind: "done"; readonly seq: Seq } & OfPartition)
    | ({ readonly kind: "death"; readonly write: DeathWrite } & OfPartition)
    | ({ readonly kind: "marks"; readonly writes: readonly MarkWrite[] } & OfPartition)
    | {
        readonly kind: "letter";
        readonly write: LetterWrite;
        /** A commit that held it failed, and may have been applied all the same. */
        wasTried: boolean;
        readonly resolve: (end: LetterResult["kind"]) => void;
      }
  );

export type Write = Append | Kept;

export interface Batch {
  readonly kept: readonly Kept[];
  readonly appends: readonly Append[];
}

/** Rows that a write is, roughly: what `groupMaxWrites` counts. */
export function sizeOf(write: Write | undefined): number {
  if (write?.kind === "append") return write.encoded.write.bodies.length + write.encoded.write.malformed.length;
  return write?.kind === "marks" ? write.writes.length : 1;
}

/** The transaction that writes the batch. */
export function groupOf({ kept, appends }: Batch, now: number): Group {
  const marks: MarkWrite[] = [];
  const done: Seq[] = [];
  const deaths: DeathWrite[] = [];
  const letters: LetterWrite[] = [];
  const tokens: (string | undefined)[] = [];
  for (const write of kept) {
    if (write.kind === "letter") {
      letters.push(write.write);
      continue;
    }
    tokens[write.partition] = write.token;
    if (write.kind === "done") done.push(write.seq);
    else if (write.kind === "death") deaths.push(write.write);
    else marks.push(...write.writes);
  }
  return { now, tokens, marks, done, deaths, letters, appends: appends.map((append) => append.encoded.write) };
}

/** The entries that the commit stored, by partition and in rising seq: retried letters, then appends, as the store numbers them. */
export function storedBy({ appends }: Batch, committed: Committed, partitions: number): readonly Entry[][] {
  const entries = Array.from({ length: partitions }, (): Entry[] => []);
  for (const letter of committed.letters) {
    if (letter.kind !== "retried") continue;
    const { seq, bot, lane, receivedAt } = letter;
    const entry: Entry = { seq, bot, lane, attempts: 0, suspicion: "none", receivedAt, body: undefined };
    entries[partitionOfSeq(seq, partitions)]?.push(entry);
  }
  appends.forEach(({ encoded }, at) => {
    const result = committed.appends[at];
    if (result === undefined) throw new RangeError("the store left an append unanswered");
    if (result.refusal !== undefined) return;
    const { bot, lanes } = encoded.write;
    const seqs = [...result.firsts];
    let nextKnown = 0;
    for (const [place, lane] of lanes.entries()) {
      if (result.known[nextKnown] === place) {
        nextKnown++;
        continue;
      }
      const partition = partitionOfLane(bot, lane, partitions);
      const seq = seqs[partition];
      if (seq === undefined) throw new RangeError("the store left an entry without a seq");
      entries[partition]?.push(freshEntry(encoded, place, seq));
      seqs[partition] = seqAfter(seq, partitions);
    }
  });
  return entries;
}

/** Ends every write of a batch: those that the store refused reject, the others are durable. */
export function resolveAll({ kept, appends }: Batch, committed: Committed): void {
  let letter = 0;
  for (const write of kept) {
    if (write.kind !== "letter") {
      if (committed.fenced?.includes(write.partition) === true) write.reject(fencedByStore());
      else write.resolve();
      continue;
    }
    const end = committed.letters[letter++]?.kind ?? "absent";
    const doneBefore = write.write.kind === "retry" ? "retried" : "dropped";
    write.resolve(end === "absent" && write.wasTried ? doneBefore : end);
  }
  appends.forEach(({ encoded, resolve, reject }, at) => {
    const result = committed.appends[at];
    if (result?.refusal === "fenced") return reject(fencedByStore());
    if (result?.refusal === "full") return reject(new Fault("inbox_refused", "the inbox has no room for the batch"));
    const known = result?.known.length ?? 0;
    resolve({ stored: encoded.updates.length - known, known, malformed: result?.buried ?? 0 });
  });
}

function fencedByStore(): Fault {
  return new Fault("inbox_fenced", "another instance has the claim now; nothing was written");
}
