/**
 * Inbox that forgets with the process: for tests, the simulation and the demo of a failing store. What SQLite keeps in its file is here
 * one object, `MemoryDurable`, so that a second inbox over the same object recovers from it as after a crash.
 */
import type { BotId, LaneKey, Seq } from "../ids.ts";
import { toSeq } from "../ids.ts";
import { createInbox, type FrontOptions } from "./front.ts";
import type { Inbox, Suspicion } from "./inbox.ts";
import { partitionOfLane, partitionOfSeq, seqAfter, seqBeforeFirst } from "./partitions.ts";
import { judge, type Run, type RunLimits } from "./runs.ts";
import {
  aloneCrashesMax,
  aloneDeathError,
  type AppendResult,
  type AppendWrite,
  type DeathWrite,
  type InboxStore,
  type LetterResult,
  type LetterWrite,
  type MarkWrite,
  type StoredLetter,
  type SyncStore,
} from "./store.ts";

interface Row {
  readonly bot: BotId;
  readonly updateId: number;
  readonly lane: LaneKey;
  readonly receivedAt: number;
  readonly body: string;
  attempts: number;
  alone: boolean;
  started: boolean;
  aloneCrashes: number;
  sends: string | undefined;
}

/** Everything that survives a crash. */
export interface MemoryDurable {
  readonly partitions: number;
  /** The last seq of each partition. */
  readonly lastSeqs: Map<number, Seq>;
  nextLetter: number;
  /** By partition: entries up to it are at least suspects. */
  readonly suspectUpTo: Map<number, Seq>;
  cleanEnd: boolean;
  readonly entries: Map<Seq, Row>;
  readonly letters: Map<number, StoredLetter>;
  readonly runs: Map<BotId, readonly Run[]>;
}

export function emptyDurable(partitions = 1): MemoryDurable {
  return {
    partitions,
    lastSeqs: new Map(),
    nextLetter: 1,
    suspectUpTo: new Map(),
    cleanEnd: true,
    entries: new Map(),
    letters: new Map(),
    runs: new Map(),
  };
}

export interface MemoryStoreOptions {
  readonly durable: MemoryDurable;
  readonly limits: RunLimits;
  /** False: an id delivered twice is two entries. */
  readonly deduplicate: boolean;
  /** Wall-clock ms of this opening, for what dies in the recovery. */
  readonly now: number;
}

/** The memory store behind promises; commits are applied before the call returns. */
export function createMemoryStore(options: MemoryStoreOptions): InboxStore {
  const core = openMemory(options);
  return {
    commit: async (group) => core.commit(group),
    unsettled: async (after, max, partition) => core.unsettled(after, max, partition),
    bodies: async (seqs) => core.bodies(seqs),
    stillUnsettled: async (seqs) => core.stillUnsettled(seqs),
    letters: async (filter) => core.letters(filter),
    letterCounts: async () => core.letterCounts(),
    backlog: async () => core.backlog(),
    close: async (clean) => core.close(clean),
  };
}

export interface MemoryInboxOptions extends Omit<FrontOptions, "store"> {
  readonly durable?: MemoryDurable;
  readonly limits: FrontOptions["limits"] & RunLimits;
  readonly deduplicate?: boolean;
}

export function createMemoryInbox(options: MemoryInboxOptions): Inbox {
  const { durable = emptyDurable(), deduplicate = true, clock, limits } = options;
  return createInbox({ ...options, store: createMemoryStore({ durable, limits, deduplicate, now: clock.now() }) });
}

function openMemory({ durable, limits, deduplicate, now }: MemoryStoreOptions): SyncStore {
  recover(durable, now);
  return {
    commit(group) {
      for (const mark of group.marks) applyMark(durable, mark);
      for (const seq of group.done) durable.entries.delete(seq);
      for (const death of group.deaths) die(durable, death, group.now);
      const letters = group.letters.map((write) => applyLetter(durable, write));
      const appends = group.appends.map((write) => append(durable, write, group.now, deduplicate ? limits : undefined));
      return { appends, letters, settledBelow: settledBelow(durable) };
    },
    unsettled(after, max, partition) {
      const entries = [];
      let upTo = lastSeq(durable, partition);
      const suspectUpTo = durable.suspectUpTo.get(partition) ?? 0;
      for (const [seq, row] of durable.entries) {
        if (seq <= after || partitionOfSeq(seq, durable.partitions) !== partition) continue;
        const suspicion: Suspicion = row.alone ? "alone" : seq <= suspectUpTo ? "suspect" : "none";
        const { bot, lane, attempts, receivedAt } = row;
        entries.push({ seq, bot, lane, attempts, suspicion, receivedAt });
        if (entries.length < max) continue;
        upTo = seq;
        break;
      }
      return { entries, upTo, settledBelow: settledBelow(durable)[partition] ?? toSeq(0) };
    },
    bodies: (seqs) =>
      seqs.flatMap((seq) => {
        const row = durable.entries.get(seq);
        return row === undefined ? [] : [{ seq, ...row }];
      }),
    stillUnsettled: (seqs) => seqs.filter((seq) => durable.entries.has(seq)),
    letters: ({ bot, after = 0, max }) =>
      [...durable.letters.values()]
        .filter((letter) => letter.id > after && (bot === undefined || letter.bot === bot))
        .slice(0, max),
    letterCounts: () => countByBot(durable.letters.values()),
    backlog: () => countByBot(durable.entries.values()),
    close: (clean) => void (durable.cleanEnd = clean),
  };
}

function recover(durable: MemoryDurable, now: number): void {
  if (!durable.cleanEnd) {
    for (const [partition, seq] of durable.lastSeqs) durable.suspectUpTo.set(partition, seq);
    for (const [seq, row] of durable.entries) {
      if (!row.started) continue;
      if (row.alone) row.aloneCrashes++;
      row.alone = true;
      if (row.aloneCrashes < aloneCrashesMax) continue;
      const { attempts, sends = "[]" } = row;
      die(durable, { seq, error: aloneDeathError, attempts, sends, effectsUnknown: true }, now);
    }
  }
  for (const row of durable.entries.values()) row.started = false;
  durable.cleanEnd = false;
}

function lastSeq({ lastSeqs, partitions }: MemoryDurable, partition: number): Seq {
  return lastSeqs.get(partition) ?? toSeq(seqBeforeFirst(partition, partitions));
}

function settledBelow(durable: MemoryDurable): readonly Seq[] {
  const { entries, partitions } = durable;
  const below: Seq[] = [];
  for (let partition = 0; partition < partitions; partition++) {
    const first = entries.keys().find((seq) => partitionOfSeq(seq, partitions) === partition);
    below.push(first ?? seqAfter(lastSeq(durable, partition), partitions));
  }
  return below;
}

function applyMark(durable: MemoryDurable, mark: MarkWrite): void {
  const row = durable.entries.get(mark.seq);
  if (row === undefined) return;
  row.attempts = mark.attempts ?? row.attempts;
  row.started = mark.started ?? row.started;
  row.sends = mark.sends ?? row.sends;
}

function insert(durable: MemoryDurable, row: Omit<Row, "attempts" | "alone" | "started" | "aloneCrashes">): Seq {
  const partition = partitionOfLane(row.bot, row.lane, durable.partitions);
  const seq = seqAfter(lastSeq(durable, partition), durable.partitions);
  durable.lastSeqs.set(partition, seq);
  durable.entries.set(seq, { ...row, attempts: 0, alone: false, started: false, aloneCrashes: 0 });
  return seq;
}

function bury(durable: MemoryDurable, letter: Omit<StoredLetter, "id">): void {
  const id = durable.nextLetter++;
  durable.letters.set(id, { id, ...letter });
}

function die(durable: MemoryDurable, death: DeathWrite, diedAt: number): void {
  const row = durable.entries.get(death.seq);
  if (row === undefined) return;
  durable.entries.delete(death.seq);
  const { bot, updateId, lane, body, receivedAt } = row;
  const { error, attempts, sends, effectsUnknown } = death;
  bury(durable, { bot, updateId, lane, body, receivedAt, diedAt, error, attempts, sends, effectsUnknown });
}

function applyLetter(durable: MemoryDurable, write: LetterWrite): LetterResult {
  const letter = durable.letters.get(write.id);
  if (letter === undefined) return { kind: "absent" };
  if (write.kind === "drop") {
    durable.letters.delete(write.id);
    return { kind: "dropped" };
  }
  const { bot, updateId, lane, body, receivedAt, sends } = letter;
  if (updateId === undefined) return { kind: "malformed" };
  if (letter.effectsUnknown && !write.again) return { kind: "effects_unknown" };
  durable.letters.delete(write.id);
  const seq = insert(durable, { bot, updateId, lane, body, receivedAt, sends });
  return { kind: "retried", seq, bot, lane, receivedAt };
}

function append(durable: MemoryDurable, write: AppendWrite, now: number, runs: RunLimits | undefined): AppendResult {
  const { bot, receivedAt } = write;
  const judged = runs === undefined ? undefined : judge(durable.runs.get(bot) ?? [], write.ids, now, runs);
  if (judged !== undefined && write.ids.length > 0) durable.runs.set(bot, judged.runs);
  const known = judged?.known ?? [];
  const skipped = new Set(known);
  const firsts: Seq[] = [];
  write.ids.forEach((updateId, place) => {
    if (skipped.has(place)) return;
    const [lane, body] = [write.lanes[place], write.bodies[place]];
    if (lane === undefined || body === undefined) throw new RangeError("columns of an append differ in length");
    const seq = insert(durable, { bot, updateId, lane, receivedAt, body, sends: undefined });
    firsts[partitionOfSeq(seq, durable.partitions)] ??= seq;
  });
  const bodies = new Set<string>();
  for (const letter of durable.letters.values()) {
    if (letter.bot === bot && letter.updateId === undefined) bodies.add(letter.body);
  }
  let buried = 0;
  for (const { lane, body, error } of write.malformed) {
    if (bodies.has(body)) continue;
    bodies.add(body);
    buried++;
    const kept = { updateId: undefined, attempts: 0, sends: "[]", effectsUnknown: false };
    bury(durable, { bot, lane, body, error, receivedAt, diedAt: now, ...kept });
  }
  return { firsts, known, buried };
}

function countByBot(rows: Iterable<{ readonly bot: BotId }>): ReadonlyMap<BotId, number> {
  const counts = new Map<BotId, number>();
  for (const { bot } of rows) counts.set(bot, (counts.get(bot) ?? 0) + 1);
  return counts;
}
