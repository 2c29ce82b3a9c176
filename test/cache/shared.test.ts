import { describe, expect, test } from "bun:test";
import { documentOf } from "../../src/cache/documents.ts";
import { pack } from "../../src/cache/packing.ts";
import type { CacheListener, CacheServer } from "../../src/cache/server.ts";
import { usersKind } from "../../src/cache/kinds.ts";
import { Link } from "../../src/cache/link.ts";
import { createSharedTier } from "../../src/cache/shared.ts";
import type { Tier } from "../../src/cache/tier.ts";
import { toUserId, type UserId } from "../../src/ids.ts";
import { createUserCheck } from "../../src/users/check-user.ts";
import type { User } from "../../src/users/user.ts";
import { FakeClock, settled } from "../support/fake-clock.ts";
import { ModelCache } from "../support/model-cache.ts";
import { userOf } from "../support/users.ts";

const check = createUserCheck();
const limits = { beatMs: 1_000, silentMs: 3_000, failuresMax: 3, debtsMax: 5, groupMax: 100, sendersMax: 4 };
const one = toUserId(1);

/** One instance over a server that answers at once, unless `fails` and for writes `held` say otherwise, and a storage that counts what it is asked. */
async function createRig() {
  const clock = new FakeClock();
  const model = new ModelCache({ ttlMs: 60_000, absentMs: 5_000, leaseMs: 10_000, lostMs: 10_000 }, () =>
    clock.monotonic(),
  );
  const stored = new Map<UserId, User>();
  const storageReads: UserId[][] = [];
  const calls: string[] = [];
  const heard: [string, number][] = [];
  const trouble = { fails: false, held: Promise.resolve(), doubts: 0, states: [] as string[] };
  let listener: CacheListener | undefined;
  model.onPublish = (text) => listener?.onMessage(text);
  const call =
    <Args extends unknown[], Answer>(name: string, effect: (...args: Args) => Answer) =>
    async (...args: Args): Promise<Answer> => {
      calls.push(name);
      if (trouble.fails) throw new Error("no answer");
      return effect(...args);
    };
  const server: CacheServer = {
    get: call("get", (ids) => model.get(ids)),
    lease: call("lease", (ids, token, isFresh) => model.lease(ids, token, isFresh)),
    fillIn: call("fill", (fills) => model.fillIn(fills)),
    write: async (changes, message) => {
      await trouble.held;
      await call("write", () => model.write(changes, message))();
    },
    beat: call("beat", (beat) => model.beat(beat)),
    leave: call("leave", (sender, message) => model.leave(sender, message)),
    listen(given) {
      listener = given;
      given.onListening();
    },
    relisten: () => void calls.push("relisten"),
    stop: async () => {},
  };
  const read: Tier["read"] = async (ids) => {
    storageReads.push([...ids]);
    return new Map(ids.flatMap((id) => (stored.has(id) ? [[id, stored.get(id) as User] as const] : [])));
  };
  const below: Tier = { held: () => undefined, read, readFresh: read, stored: () => {}, forget: () => {} };
  let names = 0;
  const newName = (): string => `n${names++}`;
  const link = new Link({
    server,
    clock,
    newName,
    sender: newName(),
    dead: [],
    limits,
    events: {
      onChanged: (key, version) => void heard.push([key, version]),
      onDoubt: () => void trouble.doubts++,
      onState: (state) => void trouble.states.push(state),
      onKnown: () => void trouble.states.push("known"),
    },
  });
  const shared = createSharedTier({ below, server, link, kind: usersKind(check), newName, groupMax: limits.groupMax });
  const tier = {
    read: (ids: readonly UserId[]) => shared.read(ids),
    stored: (users: readonly User[]) => shared.stored(users),
    stats: () => ({ ...link.stats(), ...shared.stats() }),
    stop: () => link.stop(),
  };
  link.start();
  await clock.advance(1_000);
  calls.length = 0;
  return {
    clock,
    model,
    stored,
    storageReads,
    calls,
    heard,
    trouble,
    tier,
    say: (text: string) => listener?.onMessage(text),
  };
}

describe("the second tier", () => {
  test("answers what it holds with one call for all who ask together, and asks storage for the rest", async () => {
    const { tier, stored, storageReads, calls } = await createRig();
    for (let id = 1; id <= 50; id++) stored.set(toUserId(id), userOf(id, id));
    const ids = [...stored.keys()];
    await Promise.all(ids.map((id) => tier.read([id])));
    await settled();
    expect(calls).toEqual(["get", "lease", "fill"]);
    storageReads.length = calls.length = 0;
    const found = await Promise.all(ids.map((id) => tier.read([id])));
    expect(found.map((users, at) => users.get(toUserId(at + 1)))).toEqual(ids.map((id) => stored.get(id)));
    expect({ calls, storageReads }).toEqual({ calls: ["get"], storageReads: [] });
    expect(tier.stats()).toMatchObject({ hits: 50, misses: 50 });
  });

  test("remembers that a user does not exist, and forgets it when there is one", async () => {
    const { tier, storageReads } = await createRig();
    await tier.read([one]);
    await settled();
    expect((await tier.read([one])).size).toBe(0);
    expect(storageReads.length).toBe(1);
    tier.stored([userOf(1, 1)]);
    await settled();
    expect((await tier.read([one])).get(one)?.version).toBe(1);
  });

  test("does not answer what stood there before a write of its own that is still on its way", async () => {
    const { tier, stored, trouble } = await createRig();
    await tier.read([one]);
    await settled();
    const arrived = Promise.withResolvers<void>();
    trouble.held = arrived.promise;
    for (const version of [1, 2]) {
      stored.set(one, userOf(1, version));
      tier.stored([userOf(1, version)]);
      await settled();
      expect((await tier.read([one])).get(one)?.version).toBe(version);
    }
    arrived.resolve();
    await settled();
    stored.clear();
    expect((await tier.read([one])).get(one)?.version).toBe(2);
  });

  test("takes what is damaged, of another format or of another user for nothing, and replaces it", async () => {
    const good = documentOf("n1", 3, pack(userOf(1, 3)));
    const bad = [
      "",
      "garbage",
      "d",
      `d n1 3 `,
      `d n1 3 {`,
      `d n1 3 []`,
      `d n1 3 null`,
      `d n1 3 [3,1]`,
      `d n1 0 more`,
      good.slice(0, -5),
      documentOf("n1", 4, pack(userOf(1, 3))),
      documentOf("n1", 3, pack(userOf(2, 3))),
      documentOf("n1", 3, pack({ ...userOf(1, 3), points: 0.5 })),
      documentOf("n1", 3, JSON.stringify(userOf(1, 3))),
      documentOf("older", 3, pack(userOf(1, 3))),
    ];
    for (const value of bad) {
      const { tier, model, stored, storageReads } = await createRig();
      stored.set(one, userOf(1, 7));
      model.put("1", value);
      expect([value, (await tier.read([one])).get(one)?.version]).toEqual([value, 7]);
      await settled();
      expect(model.value("1")).toBe(documentOf(model.generation ?? "", 7, pack(userOf(1, 7))));
      expect(storageReads.length).toBe(1);
    }
  });

  test("is passed by while it fails: nobody hears of it, and after three failures nobody but the beat asks", async () => {
    const { tier, stored, calls, trouble, clock } = await createRig();
    stored.set(one, userOf(1, 1));
    trouble.fails = true;
    for (let n = 0; n < 20; n++) expect((await tier.read([one])).get(one)?.version).toBe(1);
    expect(calls.length).toBe(3);
    expect(tier.stats()).toMatchObject({ breaker: "open", failures: 3 });
    await clock.advance(1_000);
    expect(calls.slice(3)).toEqual(["beat"]);
    trouble.fails = false;
    await clock.advance(1_000);
    expect(trouble.states).toEqual(["known", "open", "closed"]);
    await tier.read([one]);
    await settled();
    expect(tier.stats().breaker).toBe("closed");
    expect(calls.at(-1)).toBe("fill");
  });

  test("what could not be told is not believed, and told when that is possible", async () => {
    const { tier, stored, trouble, clock, heard, model } = await createRig();
    stored.set(one, userOf(1, 1));
    await tier.read([one]);
    await settled();
    trouble.fails = true;
    stored.set(one, userOf(1, 2));
    tier.stored([userOf(1, 2)]);
    await settled();
    trouble.fails = false;
    expect(model.value("1")).toContain(" 1 ");
    expect((await tier.read([one])).get(one)?.version).toBe(2);
    await clock.advance(1_000);
    expect(heard).toContainEqual(["1", 0]);
    expect(model.value("1")).toBeUndefined();
    expect(tier.stats().owed).toBe(0);
  });

  test("more than can be owed makes everything that is held there doubtful", async () => {
    const { tier, stored, trouble, clock, model } = await createRig();
    for (let id = 1; id <= 9; id++) stored.set(toUserId(id), userOf(id, 1));
    await tier.read([...stored.keys()]);
    await settled();
    const before = model.generation;
    trouble.fails = true;
    for (let id = 1; id <= 9; id++) {
      stored.set(toUserId(id), userOf(id, 2));
      tier.stored([userOf(id, 2)]);
    }
    await settled();
    trouble.fails = false;
    const read = async () => [...(await tier.read([...stored.keys()])).values()].map(({ version }) => version);
    expect(new Set(await read())).toEqual(new Set([2]));
    await clock.advance(2_000);
    expect(model.generation).not.toBe(before);
    expect(new Set(await read())).toEqual(new Set([2]));
  });

  test("a silent sender, a gap and a server that was away each make the first tier doubt once", async () => {
    const { trouble, clock, say } = await createRig();
    const doubtsOf = async (act: () => unknown): Promise<number> => {
      const before = trouble.doubts;
      await act();
      await settled();
      return trouble.doubts - before;
    };
    expect(await doubtsOf(() => say("other 1 beat n1"))).toBe(0);
    expect(await doubtsOf(() => say("other 2 changed 1 5"))).toBe(0);
    expect(await doubtsOf(() => say("other 4 changed 1 7"))).toBe(1);
    expect(await doubtsOf(() => say("other 5 beat n1"))).toBe(0);
    expect(await doubtsOf(() => clock.advance(3_000))).toBe(0);
    expect(await doubtsOf(() => clock.advance(1_000))).toBe(1);
    expect(await doubtsOf(() => clock.advance(5_000))).toBe(0);
    expect(await doubtsOf(() => say("late 9 beat n1"))).toBe(1);
    expect(await doubtsOf(() => say("late 10 left"))).toBe(0);
    expect(await doubtsOf(() => clock.advance(5_000))).toBe(0);
    for (const odd of ["", "x", "other x beat", "other 6 sung", "other 6 changed 1 x", "🙂 1 beat n1"]) say(odd);
    expect(await doubtsOf(() => settled())).toBe(0);
  });

  test("an instance that hears not even itself doubts each second and listens anew", async () => {
    const { trouble, clock, model, calls } = await createRig();
    model.onPublish = () => {};
    await clock.advance(3_500);
    const before = trouble.doubts;
    calls.length = 0;
    await clock.advance(3_000);
    expect(trouble.doubts - before).toBe(3);
    expect(calls.filter((call) => call === "relisten").length).toBe(3);
  });

  test("says goodbye when it owes nothing, and leaves in silence when it does", async () => {
    for (const fails of [false, true]) {
      const { tier, trouble, calls } = await createRig();
      trouble.fails = fails;
      tier.stored([userOf(1, 1)]);
      await tier.stop();
      expect(calls.includes("leave")).toBe(!fails);
    }
  });
});
