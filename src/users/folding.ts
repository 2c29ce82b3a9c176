/**
 * Folds the operations that wait for one user into one document.
 *
 * An operation is looked for among the applied ones first, and only then are those dropped that cannot come again. The other way round would be
 * wrong as soon as `settledBelow` runs ahead of the replay that is being folded. What a lookup cannot find any more does not come again under its
 * number: its update is settled, and a dead letter that is retried carries the outcome with its remembered calls.
 */
import type { Settled } from "../attempts.ts";
import type { Seq } from "../ids.ts";
import { apply, mustBeRemembered, takenOutcome, type Applying, type Operation } from "./operations.ts";
import type { Outcome } from "./outcome.ts";
import type { Applied, User } from "./user.ts";

export interface Folded {
  readonly operation: Operation;
  readonly applying: Applying;
  /** Undefined outside of an attempt: it is not remembered. */
  readonly mark: Omit<Applied, "outcome"> | undefined;
  /** False where its update may be another instance's by now. */
  readonly mayAct: () => boolean;
  /** The store has refused it: a unique value of it belongs to another user. */
  readonly isTaken: boolean;
}

export interface Fold {
  /** To be written; undefined where nothing changes. Its version is one more. */
  readonly user: User | undefined;
  /** In the order of the operations; undefined for one that may not act: it has not taken effect and is not to be answered. */
  readonly outcomes: readonly (Outcome | undefined)[];
}

/** Not before `before` was read: what another owner of an update's partition stores later has another version, and is a conflict then. */
export function fold(before: User | undefined, operations: readonly Folded[], settled: Pick<Settled, "below">): Fold {
  let user = before;
  const applied = [...(before?.applied ?? [])];
  let isChanged = false;
  const outcomes = operations.map(({ operation, applying, mark, mayAct, isTaken }): Outcome | undefined => {
    if (!mayAct()) return undefined;
    const known = mark === undefined ? undefined : applied.find(({ op }) => op === mark.op);
    if (known !== undefined) return known.outcome;
    const isBefore = operation.kind !== "register" && mark !== undefined && precedesRegistration(mark, applied);
    if (isBefore) return { kind: "unregistered" };
    const refused = isTaken ? takenOutcome(operation) : undefined;
    const change = refused === undefined ? apply(user, operation, applying) : { user, outcome: refused };
    const mustRemember = change.user !== user || mustBeRemembered(change.outcome);
    user = change.user;
    if (mustRemember && user !== undefined) {
      isChanged = true;
      if (mark !== undefined) applied.push({ ...mark, outcome: change.outcome });
    }
    return change.outcome;
  });
  if (!isChanged || user === undefined) return { user: undefined, outcomes };
  const kept = applied.filter(({ partition, seq }) => seq >= settled.below(partition));
  return { user: { ...user, version: (before?.version ?? 0) + 1, applied: kept }, outcomes };
}

/**
 * Whether the update came to the same bot before the one that registered the user. Both come again where the process died before they were settled: the
 * first one found no user, with whom its outcome could be remembered, and must find none again.
 */
function precedesRegistration({ op, partition, seq }: Omit<Applied, "outcome">, applied: readonly Applied[]): boolean {
  const registration = applied.find(({ outcome }) => outcome.kind === "registered");
  if (registration === undefined || registration.partition !== partition || seq >= registration.seq) return false;
  return botOf(registration.op) === botOf(op);
}

function botOf(op: string): string {
  return op.slice(0, op.indexOf(":"));
}

/**
 * Drops every applied operation whose update is settled, asking for each: `below` waits for the oldest update of a whole partition. `isForgotten`: of an
 * inbox that nobody here can ask, and so old that it counts as settled.
 */
export async function withoutSettled(
  user: User,
  settled: Settled,
  isForgotten: (applied: Applied) => boolean,
): Promise<User> {
  const applied = user.applied.filter((one) => !isForgotten(one));
  const seqs = new Map<number, Seq[]>();
  for (const { partition, seq } of applied) seqs.set(partition, [...(seqs.get(partition) ?? []), seq]);
  const unsettled = new Map<number, ReadonlySet<Seq>>();
  for (const [partition, each] of seqs) unsettled.set(partition, await settled.unsettled(partition, each));
  return { ...user, applied: applied.filter(({ partition, seq }) => unsettled.get(partition)?.has(seq) === true) };
}
