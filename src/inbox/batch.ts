/** The writes that wait for a transaction, and what its end means for each of them. */
import type { Fault } from "../faults.ts";
import { type Seq, toSeq } from "../ids.ts";
import { type Encoded, freshEntry } from "./encoding.ts";
import type { Appended, Entry } from "./inbox.ts";
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

/** Writes that a failed commit keeps. */
export type Kept = Waiting &
  (
    | { readonly kind: "done"; readonly seq: Seq; readonly resolve: () => void }
    | { readonly kind: "death"; readonly write: DeathWrite; readonly resolve: () => void }
    | { readonly kind: "marks"; readonly writes: readonly MarkWrite[]; readonly resolve: () => void }
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
  for (const write of kept) {
    if (write.kind === "done") done.push(write.seq);
    else if (write.kind === "death") deaths.push(write.write);
    else if (write.kind === "letter") letters.push(write.write);
    else marks.push(...write.writes);
  }
  return { now, marks, done, deaths, letters, appends: appends.map((append) => append.encoded.write) };
}

/** The entries that the commit stored, in rising seq: retried letters, then appends, as the store numbers them. */
export function storedBy({ appends }: Batch, committed: Committed): Entry[] {
  const entries: Entry[] = [];
  for (const letter of committed.letters) {
    if (letter.kind !== "retried") continue;
    const { seq, bot, lane, receivedAt } = letter;
    entries.push({ seq, bot, lane, attempts: 0, suspicion: "none", receivedAt, body: undefined });
  }
  appends.forEach(({ encoded }, at) => {
    const result = committed.appends[at];
    if (result === undefined) throw new RangeError("the store left an append unanswered");
    let seq: number = result.first;
    let nextKnown = 0;
    for (let place = 0; place < encoded.updates.length; place++) {
      if (result.known[nextKnown] === place) nextKnown++;
      else entries.push(freshEntry(encoded, place, toSeq(seq++)));
    }
  });
  return entries;
}

/** Ends every write of a batch that is durable. */
export function resolveAll({ kept, appends }: Batch, committed: Committed): void {
  let letter = 0;
  for (const write of kept) {
    if (write.kind !== "letter") {
      write.resolve();
      continue;
    }
    const end = committed.letters[letter++]?.kind ?? "absent";
    const doneBefore = write.write.kind === "retry" ? "retried" : "dropped";
    write.resolve(end === "absent" && write.wasTried ? doneBefore : end);
  }
  appends.forEach(({ encoded, resolve }, at) => {
    const result = committed.appends[at];
    const known = result?.known.length ?? 0;
    resolve({ stored: encoded.updates.length - known, known, malformed: result?.buried ?? 0 });
  });
}
