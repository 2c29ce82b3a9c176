/**
 * Who of a fleet takes and who gives, without anybody in charge: each member works it out of what it sees, and members that see the same
 * work out the same.
 *
 *     free ones are dealt out in their order, each to the member that has the fewest (of those the first by id); one that is left lying may also be
 *     taken by the next in line, one more with each renewal
 *     where none is free and two members differ by two or more, the one that has the most (the first by id) gives one away
 */
import type { ClaimName, MemberId } from "./store.ts";

/** What is known of the claims of one kind, bots or partitions. */
export interface Standing {
  /** All that are to be owned, in an order that is the same for all members. */
  readonly names: readonly ClaimName[];
  /** Who has each of them; none where it is free. */
  readonly owners: ReadonlyMap<ClaimName, MemberId>;
  /** Who may have claims: alive, not about to leave, and knows what they are on. */
  readonly members: readonly MemberId[];
  readonly self: MemberId;
}

/** For how many renewals a free one has been left lying. */
export type Waited = (name: ClaimName) => number;

/** Renewals after which one that is left lying may be taken out of turn. */
const patienceRenewals = 2;

/** The free ones that this member is to take. */
export function toTake(standing: Standing, waited: Waited): ClaimName[] {
  const { names, owners, self } = standing;
  const counts = countsOf(standing);
  if (!counts.has(self)) return [];
  return names.filter((name) => {
    if (owners.has(name)) return false;
    const line = [...counts].sort(([a, most], [b, least]) => most - least || byId(a, b)).map(([id]) => id);
    const [first = self] = line;
    counts.set(first, (counts.get(first) ?? 0) + 1);
    const passed = waited(name);
    return line.indexOf(self) <= (passed < patienceRenewals ? 0 : passed - 1);
  });
}

/** The one that this member is to give away now; undefined: none. `held`: its own, in the order in which it got them. */
export function toGive(standing: Standing, held: readonly ClaimName[]): ClaimName | undefined {
  const { names, owners, self } = standing;
  if (names.some((name) => !owners.has(name))) return undefined;
  const counts = countsOf(standing);
  const own = counts.get(self);
  if (own === undefined) return undefined;
  for (const [id, count] of counts) if (count > own || (count === own && byId(id, self) < 0)) return undefined;
  // Those that it has had for longest stay.
  return own - Math.min(...counts.values()) >= 2 ? held.findLast((name) => owners.get(name) === self) : undefined;
}

function countsOf({ names, owners, members }: Standing): Map<MemberId, number> {
  const counts = new Map(members.map((id) => [id, 0]));
  for (const name of names) {
    const owner = owners.get(name);
    const count = owner === undefined ? undefined : counts.get(owner);
    if (owner !== undefined && count !== undefined) counts.set(owner, count + 1);
  }
  return counts;
}

function byId(a: MemberId, b: MemberId): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
