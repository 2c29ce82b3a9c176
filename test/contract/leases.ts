/** What every lease store promises. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Beat, ClaimName, LeaseStore, LeaseStoreEvents, Renewal, Taking } from "../../src/leases/store.ts";
import { until } from "../live/until.ts";

export interface LeaseStoreRig {
  /** Another member's way to the same records. */
  open(): LeaseStore;
  /** Moves the store's clock, where that can be done: a test also waits until the store says so. */
  pass(ms: number): Promise<void>;
  dispose(): Promise<void>;
}

const longMs = 60_000;
const silent: LeaseStoreEvents = { onChanged: () => {}, onTold: () => {}, onUsable: () => {} };
const names: readonly ClaimName[] = ["p0", "p1", "p2"];

export function leaseStoreContract(title: string, create: () => Promise<LeaseStoreRig>): void {
  describe(`the lease store: ${title}`, () => {
    let rig: LeaseStoreRig;
    let opened: LeaseStore[];
    let one: LeaseStore;
    let other: LeaseStore;

    beforeEach(async () => {
      rig = await create();
      opened = [];
      one = await open();
      other = await open();
    });
    afterEach(async () => {
      for (const store of opened) store.stop();
      await rig.dispose();
    });

    async function open(events: Partial<LeaseStoreEvents> = {}): Promise<LeaseStore> {
      const store = rig.open();
      const usable = Promise.withResolvers<void>();
      store.start({
        ...silent,
        ...events,
        onUsable: () => {
          usable.resolve();
          events.onUsable?.();
        },
      });
      opened.push(store);
      await usable.promise;
      await until(async () => (await store.renew(beat("warm"))) !== undefined);
      return store;
    }

    function beat(member: string, more: Partial<Beat> = {}): Beat {
      return { member, info: `{"of":"${member}"}`, ttlMs: longMs, seen: undefined, forget: [], ...more };
    }

    function claims(given: readonly ClaimName[], token = ""): Taking["claims"] {
      return new Map(given.map((name) => [name, token]));
    }

    async function takeAs(store: LeaseStore, member: string, nonce: string, given = claims(names)) {
      return store.take({ member, nonce, claims: given });
    }

    async function die(store: LeaseStore, member: string): Promise<void> {
      await store.renew(beat(member, { ttlMs: 50 }));
      await rig.pass(60);
      const isDead = ({ members }: Renewal): boolean => members.find(({ id }) => id === member)?.leftMs === 0;
      await until(async () => isDead(await store.renew(beat("warm"))));
    }

    const tokensOf = ({ claims: all }: Renewal): object => Object.fromEntries(all ?? []);

    test("gives free claims to whoever takes them first, each with the member and the nonce in its token", async () => {
      await one.renew(beat("a"));
      await other.renew(beat("b"));
      expect(Object.fromEntries(await takeAs(one, "a", "x", claims(["p0", "p1"])))).toEqual({
        p0: "1:a-x",
        p1: "1:a-x",
      });
      expect(Object.fromEntries(await takeAs(other, "b", "y"))).toEqual({ p2: "1:b-y" });
      const seen = await other.renew(beat("b"));
      expect(tokensOf(seen)).toEqual({ p0: "1:a-x", p1: "1:a-x", p2: "1:b-y" });
    });

    test("answers the same token where the same taking comes again, and another one to nobody", async () => {
      await one.renew(beat("a"));
      expect((await takeAs(one, "a", "x")).get("p0")).toBe("1:a-x");
      expect((await takeAs(one, "a", "x")).get("p0")).toBe("1:a-x");
      expect((await takeAs(one, "a", "z")).size).toBe(0);
      expect((await takeAs(one, "a", "z", claims(["p0"], "1:a-x"))).size).toBe(0);
    });

    test("does not let a member be taken from while it lives, and does once it is dead", async () => {
      await one.renew(beat("a"));
      await takeAs(one, "a", "x");
      await other.renew(beat("b"));
      expect((await takeAs(other, "b", "y", claims(names, "1:a-x"))).size).toBe(0);
      await die(one, "a");
      expect((await takeAs(other, "b", "y", claims(names, "1:a-x"))).get("p1")).toBe("2:b-y");
    });

    test("does not let a claim be taken that has another token than was seen", async () => {
      await one.renew(beat("a"));
      await takeAs(one, "a", "x");
      await die(one, "a");
      await other.renew(beat("b"));
      expect((await takeAs(other, "b", "y", claims(["p0"], "1:c-x"))).size).toBe(0);
      expect((await takeAs(other, "b", "y", claims(["p0"]))).size).toBe(0);
    });

    test("gives nothing to a member that is dead or was never renewed", async () => {
      expect((await takeAs(one, "a", "x")).size).toBe(0);
      await die(one, "a");
      expect((await takeAs(one, "a", "x")).size).toBe(0);
      expect(tokensOf(await one.renew(beat("a")))).toEqual({});
    });

    test("keeps a member alive from each renewal on, and shows what it says and how long it lives", async () => {
      await one.renew(beat("a", { ttlMs: 1_000 }));
      const { members } = await one.renew(beat("a"));
      const a = members.find(({ id }) => id === "a");
      expect(a?.info).toBe('{"of":"a"}');
      expect(a?.leftMs).toBeGreaterThan(longMs / 2);
      expect(a?.leftMs).toBeLessThanOrEqual(longMs);
      await die(one, "a");
      expect((await other.renew(beat("b"))).members.find(({ id }) => id === "a")?.leftMs).toBe(0);
    });

    test("frees what is given back with its token, and nothing else", async () => {
      await one.renew(beat("a"));
      await takeAs(one, "a", "x", claims(["p0", "p1"]));
      await one.give(
        "a",
        new Map<ClaimName, string>([
          ["p0", "1:a-x"],
          ["p1", "1:a-z"],
          ["p2", "1:a-x"],
        ]),
      );
      expect(tokensOf(await one.renew(beat("a")))).toEqual({ p1: "1:a-x" });
      await one.give("a", new Map([["p0", "1:a-x"]]));
      await other.renew(beat("b"));
      expect((await takeAs(other, "b", "y", claims(["p0"]))).get("p0")).toBe("2:b-y");
      await one.give("a", new Map([["p0", "1:a-x"]]));
      expect(tokensOf(await one.renew(beat("a")))).toEqual({ p0: "2:b-y", p1: "1:a-x" });
    });

    test("answers the claims only where they are others than were seen", async () => {
      const first = await one.renew(beat("a"));
      expect(first.claims).toBeDefined();
      const second = await one.renew(beat("a", { seen: first.seen }));
      expect(second.claims).toBeUndefined();
      expect([second.seen, second.run]).toEqual([first.seen, first.run]);
      await takeAs(one, "a", "x", claims(["p0"]));
      const third = await one.renew(beat("a", { seen: second.seen }));
      expect(tokensOf(third)).toEqual({ p0: "1:a-x" });
      await one.give("a", new Map([["p0", "1:a-x"]]));
      const fourth = await one.renew(beat("a", { seen: third.seen }));
      expect(fourth.claims).toEqual(new Map());
      await one.give("a", new Map([["p0", "1:a-x"]]));
      await takeAs(one, "b", "y");
      expect((await one.renew(beat("a", { seen: fourth.seen }))).claims).toBeUndefined();
    });

    test("ends a member that leaves: what it names is free, and what else it has may be taken", async () => {
      await one.renew(beat("a"));
      await takeAs(one, "a", "x", claims(["p0", "p1"]));
      await one.leave("a", new Map([["p0", "1:a-x"]]));
      const seen = await other.renew(beat("b"));
      expect(seen.members.map(({ id }) => id)).not.toContain("a");
      expect(tokensOf(seen)).toEqual({ p1: "1:a-x" });
      expect((await takeAs(other, "b", "y", claims(["p1"], "1:a-x"))).get("p1")).toBe("2:b-y");
      expect((await takeAs(one, "a", "z", claims(["p0"]))).size).toBe(0);
    });

    test("forgets the dead that it is told to, and nobody who lives", async () => {
      await one.renew(beat("a"));
      await one.renew(beat("b"));
      await die(one, "c");
      const { members } = await other.renew(beat("b", { forget: ["a", "c"] }));
      expect(
        members
          .map(({ id }) => id)
          .filter((id) => id !== "warm")
          .toSorted(),
      ).toEqual(["a", "b"]);
    });

    test("tells the others that claims were taken, given back or left, and what a member says", async () => {
      const heard: string[] = [];
      await open({
        onChanged: (member) => void heard.push(`changed by ${member}`),
        onTold: (member, text) => void heard.push(`${member}: ${text}`),
      });
      // Listening may begin after the first call.
      await until(() => {
        one.tell("a", "begin");
        return heard.length > 0;
      });
      one.tell("a", "end of the beginning");
      await until(() => heard.includes("a: end of the beginning"));
      heard.length = 0;
      await one.renew(beat("a"));
      await takeAs(one, "a", "x");
      await takeAs(one, "a", "x");
      await one.give("a", new Map([["p0", "1:a-x"]]));
      await one.give("a", new Map([["p0", "1:a-x"]]));
      one.tell("a", "wait 5 for bot 7");
      await one.leave("a", new Map());
      await until(() => heard.length >= 4);
      expect(heard.toSorted()).toEqual(["a: wait 5 for bot 7", "changed by a", "changed by a", "changed by a"]);
    });
  });
}
