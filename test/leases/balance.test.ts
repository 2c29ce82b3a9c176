import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Standing, toGive, toTake } from "../../src/leases/balance.ts";
import type { ClaimName, MemberId } from "../../src/leases/store.ts";

const namesOf = (count: number): ClaimName[] => Array.from({ length: count }, (_, at): ClaimName => `p${at}`);
const idsOf = (count: number): MemberId[] => Array.from({ length: count }, (_, at) => `m${at}`);
const atOnce = (): number => 0;

function standing(
  self: MemberId,
  names: readonly ClaimName[],
  owners: Standing["owners"],
  members: string[],
): Standing {
  return { self, names, owners, members };
}

/** Owners by number of member; null: free. */
const worlds = fc
  .record({ members: fc.integer({ min: 1, max: 6 }), things: fc.integer({ min: 0, max: 40 }) })
  .chain(({ members, things }) =>
    fc.record({
      members: fc.constant(idsOf(members)),
      owners: fc.array(fc.option(fc.integer({ min: 0, max: members - 1 }), { freq: 3 }), {
        minLength: things,
        maxLength: things,
      }),
    }),
  );

function countsOf(members: readonly MemberId[], owners: Standing["owners"]): number[] {
  return members.map((id) => [...owners.values()].filter((owner) => owner === id).length);
}

describe("the balance of a fleet", () => {
  test("deals each free one to exactly one member, where all see the same", () => {
    fc.assert(
      fc.property(worlds, ({ members, owners: given }) => {
        const names = namesOf(given.length);
        const owners = ownersOf(names, given);
        const taken = members.flatMap((self) => toTake(standing(self, names, owners, members), atOnce));
        expect(taken.toSorted()).toEqual(names.filter((name) => !owners.has(name)).toSorted());
      }),
    );
  });

  test("deals to whoever has the fewest: nobody gets one while another has two fewer", () => {
    fc.assert(
      fc.property(worlds, ({ members, owners: given }) => {
        const names = namesOf(given.length);
        const before = ownersOf(names, given);
        const after = new Map(before);
        for (const self of members)
          for (const name of toTake(standing(self, names, before, members), atOnce)) after.set(name, self);
        const [counts, earlier] = [countsOf(members, after), countsOf(members, before)];
        for (const [at, count] of counts.entries()) {
          if (count > (earlier[at] ?? 0)) expect(count - Math.min(...counts)).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  test("comes to an even state by moving one at a time, and then moves nothing", () => {
    fc.assert(
      fc.property(worlds, ({ members, owners: given }) => {
        const names = namesOf(given.length);
        const owners = ownersOf(names, given);
        for (let moves = 0; ; moves++) {
          expect(moves).toBeLessThanOrEqual(names.length);
          const taking = members.map((self) => [self, toTake(standing(self, names, owners, members), atOnce)] as const);
          for (const [self, taken] of taking) for (const name of taken) owners.set(name, self);
          const giving = members.flatMap((self) => {
            const held = names.filter((name) => owners.get(name) === self);
            return toGive(standing(self, names, owners, members), held) ?? [];
          });
          expect(giving.length).toBeLessThanOrEqual(1);
          const counts = countsOf(members, owners);
          expect(giving.length).toBe(Math.max(...counts) - Math.min(...counts) >= 2 ? 1 : 0);
          if (giving.length === 0) return;
          for (const name of giving) owners.delete(name);
        }
      }),
    );
  });

  test("gives nothing away while something is free", () => {
    const names = namesOf(5);
    const owners = ownersOf(names, [0, 0, 0, 0, null]);
    expect(toGive(standing("m0", names, owners, idsOf(2)), names.slice(0, 4))).toBeUndefined();
    owners.set("p4", "m0");
    expect(toGive(standing("m0", names, owners, idsOf(2)), names)).toBe("p4");
  });

  test("gives away what came last", () => {
    const names = namesOf(3);
    const owners = ownersOf(names, [0, 0, 0]);
    expect(toGive(standing("m0", names, owners, idsOf(2)), ["p2", "p0", "p1"])).toBe("p1");
  });

  test("lets the next in line take what has been left lying for two renewals, and one more with each", () => {
    const names = namesOf(1);
    const line = (passed: number): string[] =>
      idsOf(3).filter((self) => toTake(standing(self, names, new Map(), idsOf(3)), () => passed).length > 0);
    expect([0, 1, 2, 3, 9].map(line)).toEqual([["m0"], ["m0"], ["m0", "m1"], ["m0", "m1", "m2"], ["m0", "m1", "m2"]]);
  });

  test("neither deals to a member that is leaving, nor asks it to give", () => {
    const names = namesOf(4);
    const owners = ownersOf(names, [0, 0, 0, null]);
    const members = ["m1"];
    expect(toTake(standing("m0", names, owners, members), () => 9)).toEqual([]);
    expect(toTake(standing("m1", names, owners, members), atOnce)).toEqual(["p3"]);
    owners.set("p3", "m1");
    expect(toGive(standing("m0", names, owners, members), names)).toBeUndefined();
  });

  test("leaves alone what is not configured here", () => {
    const owners = new Map<ClaimName, MemberId>([
      ["p0", "m0"],
      ["p1", "m0"],
      ["p2", "m0"],
    ]);
    expect(toGive(standing("m0", namesOf(1), owners, idsOf(2)), ["p0", "p1", "p2"])).toBeUndefined();
  });
});

function ownersOf(names: readonly ClaimName[], owners: readonly (number | null)[]): Map<ClaimName, MemberId> {
  return new Map(
    names.flatMap((name, at) => {
      const owner = owners[at] ?? undefined;
      return owner === undefined ? [] : [[name, `m${owner}`] as const];
    }),
  );
}
