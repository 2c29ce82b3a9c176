/** Longer than other files because the ways in which a claim begins and ends belong side by side. */
import { beforeEach, describe, expect, test } from "bun:test";
import { toBotId } from "../../src/ids.ts";
import { type Held, LeaseRig, leaseLimits, type RigMember } from "./rig.ts";

const { renewMs, ttlMs, giveUpMs } = leaseLimits;
const all = ["b7", "b8", "p0", "p1", "p2", "p3"];

let rig: LeaseRig;
beforeEach(() => {
  rig = new LeaseRig();
});

const isEven = (...members: RigMember[]): boolean =>
  ["b", "p"].every((kind) => {
    const counts = members.map(({ held }) => held.valid().filter((name) => name.startsWith(kind)).length);
    return Math.max(...counts) - Math.min(...counts) <= 1;
  });
const owned = (...members: RigMember[]): string[] => members.flatMap(({ held }) => held.valid()).toSorted();
const after = (held: Held, count: number): string[] => held.events.slice(count).toSorted();

async function two(): Promise<[RigMember, RigMember]> {
  const members: [RigMember, RigMember] = [rig.join(), rig.join()];
  await rig.clock.advance(renewMs + 500);
  expect(owned(...members)).toEqual(all);
  expect(isEven(...members)).toBe(true);
  return members;
}

describe("the leases of one member", () => {
  test("are all bots and partitions where it is alone, each with the token that stands in the store", async () => {
    const { held, leases } = rig.join();
    await rig.settle();
    expect(held.valid()).toEqual(all);
    expect(rig.tokens()).toEqual(Object.fromEntries(all.map((name) => [name, held.token(name)])));
    expect(leases.counts()).toEqual({ taken: 6, given: 0, lost: 0, lapses: 0 });
  });

  test("stay valid while they are renewed, and nobody is told anything", async () => {
    const { held, leases } = rig.join();
    await rig.clock.advance(60_000);
    expect(held.valid()).toEqual(all);
    expect(held.events).toEqual(all.map((name) => `${name} held`).toSorted(byKind));
    expect(leases.lostSince()).toBeUndefined();
  });

  test("that cannot be taken although they are renewed are told of once", async () => {
    const { held, wire, warnings } = rig.join();
    wire.states.set("take", "down");
    await rig.clock.advance(renewMs);
    expect([held.valid(), warnings.length]).toEqual([[], 0]);
    await rig.clock.advance(20 * renewMs);
    expect(warnings).toHaveLength(1);
    wire.states.clear();
    await rig.clock.advance(renewMs);
    expect(held.valid()).toEqual(all);
  });

  test("lapse where no renewal is confirmed in time, and are the same afterwards where nobody took them", async () => {
    const { held, leases, wire, warnings } = rig.join();
    await rig.clock.advance(10 * renewMs);
    const tokens = rig.tokens();
    const known = held.events.length;
    wire.state = "down";
    await rig.clock.advance(giveUpMs - renewMs);
    expect(held.valid()).toEqual(all);
    expect(leases.lostSince()).toBe(10 * renewMs);
    await rig.clock.advance(renewMs);
    expect(held.valid()).toEqual([]);
    expect(after(held, known)).toEqual(all.map((name) => `${name} lapsed`));
    await rig.clock.advance(20_000);
    expect(warnings).toHaveLength(1);
    wire.state = "up";
    await rig.clock.advance(renewMs);
    expect(held.valid()).toEqual(all);
    expect(after(held, known + all.length)).toEqual(all.map((name) => `${name} valid`));
    expect(rig.tokens()).toEqual(tokens);
    expect(leases.counts()).toEqual({ taken: 6, given: 0, lost: 0, lapses: 1 });
    expect(leases.lostSince()).toBeUndefined();
  });

  test("are lost where somebody else took them meanwhile: told once, and nothing else is called", async () => {
    const [one, other] = await two();
    const mine = one.held.valid();
    one.wire.state = "down";
    await rig.clock.advance(ttlMs + 2 * renewMs);
    expect(other.held.valid()).toEqual(all);
    expect(one.held.valid()).toEqual([]);
    const known = one.held.events.length;
    const before = mine.map((name) => one.held.claims.get(name));
    one.wire.state = "up";
    await rig.clock.advance(renewMs);
    expect(before.map((claim) => [claim?.valid(), claim?.lost()])).toEqual(mine.map(() => [false, true]));
    expect(after(one.held, known).filter((event) => event.endsWith(" lost"))).toEqual(
      mine.map((name) => `${name} lost`),
    );
    expect(after(one.held, known).filter((event) => event.endsWith(" released"))).toEqual([]);
    expect(one.leases.counts().lost).toBe(mine.length);
    await rig.clock.advance(renewMs);
    expect(isEven(one, other)).toBe(true);
    expect(owned(one, other)).toEqual(all);
  });

  test("are not valid after a pause of the process, before any timer has run, and those who ask are told when they are again", async () => {
    let pausedMs = 0;
    const clock = {
      now: () => rig.clock.now(),
      monotonic: () => rig.clock.monotonic() + pausedMs,
      setTimer: (run: () => void, ms: number) => rig.clock.setTimer(run, ms),
    };
    const { held, leases } = rig.join({ clock });
    await rig.settle();
    expect(held.valid()).toEqual(all);
    const known = held.events.length;
    pausedMs = giveUpMs;
    expect(held.valid()).toEqual([]);
    // Whoever has looked meanwhile waits to be told, though the renewal comes before the timer of the lapse.
    await rig.clock.advance(renewMs);
    expect(held.valid()).toEqual(all);
    expect(after(held, known)).toEqual(all.flatMap((name) => [`${name} lapsed`, `${name} valid`]));
    expect(leases.counts().lapses).toBe(1);
  });

  test("are good from when the renewal was sent, however late its answer comes", async () => {
    const { held, wire } = rig.join();
    await rig.settle();
    wire.state = "slow";
    await rig.clock.advance(renewMs - 500);
    await rig.clock.advance(3_000);
    wire.deliver();
    await rig.clock.advance(giveUpMs - 3_000 - 1);
    expect(held.valid()).toEqual(all);
    await rig.clock.advance(1);
    expect(held.valid()).toEqual([]);
  });

  test("are given back and taken anew where the answer to a taking was lost", async () => {
    const { held, wire } = rig.join();
    wire.states.set("take", "deaf");
    await rig.settle();
    expect(held.valid()).toEqual([]);
    expect(Object.keys(rig.tokens()).toSorted()).toEqual(all);
    wire.states.clear();
    await rig.clock.advance(2 * renewMs);
    expect(held.valid()).toEqual(all);
    expect(rig.tokens()).toEqual(Object.fromEntries(all.map((name) => [name, held.token(name)])));
    expect(held.token("p0")).toStartWith("2:");
  });

  test("are not handed out where the taking was answered too late", async () => {
    const { held, wire } = rig.join();
    wire.states.set("take", "slow");
    await rig.clock.advance(giveUpMs);
    wire.states.clear();
    wire.states.set("renew", "down");
    wire.deliver();
    await rig.clock.advance(1);
    expect(held.events).toEqual([]);
    wire.states.clear();
    await rig.clock.advance(2 * renewMs);
    expect(held.valid()).toEqual(all);
  });

  test("are looked at at once where somebody doubts them, also where the store says that nothing has changed", async () => {
    const { held, leases } = rig.join();
    await rig.clock.advance(3 * renewMs + 500);
    rig.server.records.claims.set("p0", "9:other-x");
    leases.doubt();
    await rig.clock.advance(10);
    expect(held.claims.get("p0")?.lost()).toBe(true);
    expect(held.valid()).toEqual(all.filter((name) => name !== "p0"));
  });

  test("are lost where the store forgot that they were taken, and says that nothing has changed", async () => {
    const { held } = rig.join();
    await rig.settle();
    rig.server.records.claims.clear();
    rig.server.records.mark = 0;
    const before = [...held.claims.values()];
    await rig.clock.advance(renewMs);
    expect(before.every((claim) => claim.lost())).toBe(true);
    await rig.clock.advance(renewMs);
    expect(held.valid()).toEqual(all);
  });

  test("are given back where a restart brought them back, also beside others that were taken with them", async () => {
    const one = rig.join();
    await rig.clock.advance(2 * renewMs);
    const before = rig.tokens();
    const other = rig.join();
    await rig.clock.advance(2 * renewMs);
    const moved = all.filter((name) => rig.tokens()[name] !== before[name]);
    expect(moved.length).toBeGreaterThan(0);
    const kept = all.filter((name) => !moved.includes(name));
    other.wire.state = "down";
    for (const name of moved) rig.server.records.claims.set(name, before[name] ?? "");
    rig.server.records.run = "2";
    one.leases.doubt();
    await rig.clock.advance(20);
    for (const name of moved) expect(rig.tokens()[name]).not.toBe(before[name]);
    for (const name of kept) expect(rig.tokens()[name]).toBe(before[name]);
  });

  test("are not taken any more once it stops, by a renewal that was sent before", async () => {
    const { leases, wire } = rig.join();
    await rig.settle();
    rig.server.records.claims.delete("p0");
    wire.states.set("renew", "slow");
    await rig.clock.advance(renewMs);
    wire.calls.length = 0;
    const stopped = leases.stop();
    wire.states.clear();
    wire.deliver();
    await rig.settle();
    await stopped;
    expect(wire.calls.at(-1)).toBe("leave");
    expect(wire.calls).not.toContain("take");
  });

  test("leave a token alone that no member of the fleet has written", async () => {
    rig.server.records.claims.set("p0", "somebody");
    const { held } = rig.join();
    await rig.clock.advance(60_000);
    expect(held.valid()).toEqual(all.filter((name) => name !== "p0"));
    expect(rig.tokens()["p0"]).toBe("somebody");
  });
});

describe("the leases of a fleet", () => {
  test("become even by asking one back at a time, and then stay", async () => {
    const one = rig.join();
    await rig.settle();
    one.held.busy.add("p3");
    const other = rig.join();
    await rig.clock.advance(renewMs + 500);
    expect(one.held.events.filter((event) => event.endsWith(" released")).toSorted()).toEqual([
      "b8 released",
      "p3 released",
    ]);
    // The partition is still worked on; the bot has moved.
    expect(other.held.valid()).toEqual(["b8"]);
    expect(one.held.valid()).toEqual(["b7", "p0", "p1", "p2", "p3"]);
    one.held.letGo("p3");
    await rig.settle();
    expect(one.held.valid()).toEqual(["b7", "p0", "p1"]);
    expect(other.held.valid()).toEqual(["b8", "p2", "p3"]);
    const [first, second] = [one.held.events.length, other.held.events.length];
    await rig.clock.advance(60_000);
    expect([one.held.events.length, other.held.events.length]).toEqual([first, second]);
  });

  test("of a dead member are taken over within its life time and one renewal", async () => {
    const [one, other] = await two();
    one.wire.state = "down";
    await rig.clock.advance(giveUpMs);
    expect(other.held.valid()).not.toEqual(all);
    await rig.clock.advance(ttlMs - giveUpMs + renewMs);
    expect(other.held.valid()).toEqual(all);
  });

  test("stay where they are after the store was away for everybody, whoever comes back first", async () => {
    const [one, other] = await two();
    const tokens = rig.tokens();
    one.wire.state = other.wire.state = "down";
    await rig.clock.advance(20_000);
    expect(owned(one, other)).toEqual([]);
    one.wire.state = "up";
    await rig.clock.advance(ttlMs - renewMs);
    other.wire.state = "up";
    await rig.clock.advance(20_000);
    expect(owned(one, other)).toEqual(all);
    expect(rig.tokens()).toEqual(tokens);
  });

  test("of a member that does not come back after such an outage are taken after its life time once more", async () => {
    const [one, other] = await two();
    one.wire.state = other.wire.state = "down";
    await rig.clock.advance(20_000);
    one.wire.state = "up";
    await rig.clock.advance(ttlMs + 2 * renewMs);
    expect(one.held.valid()).toEqual(all);
  });

  test("are given the same patience where the server was restarted in between", async () => {
    const [one, other] = await two();
    const tokens = rig.tokens();
    const mine = one.held.valid();
    other.wire.state = "down";
    rig.server.records.run = "2";
    rig.server.records.alive.clear();
    await rig.clock.advance(ttlMs - renewMs);
    expect(one.held.valid()).toEqual(mine);
    other.wire.state = "up";
    await rig.clock.advance(20_000);
    expect(rig.tokens()).toEqual(tokens);
  });

  test("that a restart has undone are lost to who took them, and come back to nobody under their old token", async () => {
    const one = rig.join();
    await rig.settle();
    const before = new Map(rig.server.records.claims);
    const other = rig.join();
    await rig.clock.advance(renewMs + 500);
    const moved = other.held.valid();
    expect(moved.length).toBeGreaterThan(0);
    const old = moved.map((name) => one.held.claims.get(name));
    rig.server.records.claims = new Map(before);
    rig.server.records.run = "2";
    await rig.clock.advance(20_000);
    expect(old.map((claim) => claim?.valid())).toEqual(moved.map(() => false));
    expect(owned(one, other)).toEqual(all);
    for (const name of moved) expect(before.get(name)).not.toBe(rig.tokens()[name]);
  });

  test("are with the others at once where a member stops", async () => {
    const [one, other] = await two();
    const stopped = one.leases.stop();
    await rig.clock.advance(200);
    await stopped;
    expect(other.held.valid()).toEqual(all);
    expect(one.held.valid()).toEqual([]);
    expect([...rig.server.records.members.keys()]).toEqual([other.leases.member]);
  });

  test("are each given back as soon as it is released, by a member that takes nothing any more", async () => {
    const [one, other] = await two();
    const mine = one.held.valid();
    const [slow = "", ...others] = mine;
    const known = one.held.events.length;
    one.held.busy.add(slow);
    let isStopped = false;
    const stopping = (async () => {
      await one.leases.stop();
      isStopped = true;
    })();
    await rig.clock.advance(5_000);
    expect(after(one.held, known)).toEqual(mine.map((name) => `${name} released`));
    expect(other.held.valid()).toEqual(all.filter((name) => name !== slow));
    for (const name of others) expect(one.held.claims.get(name)?.lost()).toBe(true);
    expect(one.held.claims.get(slow)?.valid()).toBe(true);
    expect(isStopped).toBe(false);
    one.held.letGo(slow);
    await rig.clock.advance(200);
    await stopping;
    expect(other.held.valid()).toEqual(all);
    expect(one.leases.counts().given).toBe(one.leases.counts().taken);
  });

  test("are dealt to the others from the moment a member begins to stop", async () => {
    const [one, other] = await two();
    const third = rig.join();
    await rig.clock.advance(renewMs + 500);
    // What it holds is not given back yet, and it has the fewest of all.
    for (const name of third.held.valid()) third.held.busy.add(name);
    void third.leases.stop();
    await rig.settle();
    const stopped = one.leases.stop();
    await rig.clock.advance(300);
    await stopped;
    expect(owned(other, third)).toEqual(all);
    expect(third.leases.counts().taken).toBe(third.held.claims.size);
  });

  test("are left to run out by a member that stops while the store is away", async () => {
    const [one, other] = await two();
    one.wire.state = "down";
    const stopped = one.leases.stop();
    await rig.settle();
    await stopped;
    expect(one.held.valid()).toEqual([]);
    expect(one.warnings).toHaveLength(1);
    await rig.clock.advance(ttlMs + 2 * renewMs);
    expect(other.held.valid()).toEqual(all);
  });

  test("are not given back by a member that lost them while it was letting go", async () => {
    const [one, other] = await two();
    const [name = ""] = one.held.valid();
    one.held.busy.add(name);
    const stopped = one.leases.stop();
    await rig.settle();
    one.wire.state = "down";
    await rig.clock.advance(ttlMs + 2 * renewMs);
    expect(other.held.token(name)).toStartWith("2:");
    one.wire.state = "up";
    await rig.clock.advance(renewMs);
    expect(one.held.events.at(-1)).toBe(`${name} lost`);
    one.held.letGo(name);
    await rig.settle();
    await stopped;
    expect(rig.tokens()[name]).toBe(other.held.token(name));
    expect(one.held.events.at(-1)).toBe(`${name} lost`);
  });

  test("that come again while an earlier tenure still lets go are not touched by its end", async () => {
    const one = rig.join();
    await rig.settle();
    one.held.busy.add("p3");
    const other = rig.join();
    await rig.clock.advance(2 * renewMs);
    one.wire.state = "down";
    await rig.clock.advance(ttlMs + 2 * renewMs);
    expect(other.held.valid()).toContain("p3");
    one.wire.state = "up";
    await rig.clock.advance(renewMs);
    const stopped = other.leases.stop();
    await rig.settle();
    await stopped;
    expect(one.held.valid()).toEqual(all);
    const token = one.held.token("p3");
    one.held.letGo("p3");
    await rig.settle();
    one.leases.doubt();
    await rig.clock.advance(3 * renewMs);
    expect(one.held.valid()).toEqual(all);
    expect(rig.tokens()["p3"]).toBe(token);
  });

  test("of bots that only some members know go to those", async () => {
    const one = rig.join({ bots: [] });
    const other = rig.join({ bots: [7, 8, 9].map(toBotId) });
    await rig.clock.advance(3 * renewMs);
    expect(owned(one, other)).toEqual(["b7", "b8", "b9", "p0", "p1", "p2", "p3"]);
    expect(one.held.valid().filter((name) => name.startsWith("b"))).toEqual([]);
  });
});

describe("what the members know of each other", () => {
  test("is who there is, what each says of itself, and who has what", async () => {
    const one = rig.join();
    expect(one.leases.fleet()).toBeUndefined();
    const other = rig.join({ host: "there", info: () => ({ port: 3_001 }) });
    await rig.clock.advance(10_250);
    const view = one.leases.fleet();
    expect(view?.self).toBe(one.leases.member);
    const startedAt = rig.clock.now() - 10_250;
    const shared = { version: "1.2.3", startedAt, draining: false, alive: true, botSet: expect.any(String) };
    expect(view?.members).toEqual([
      { id: one.leases.member, host: "here", info: {}, heartbeatAt: expect.any(Number), ...shared },
      { id: other.leases.member, host: "there", info: { port: 3_001 }, heartbeatAt: expect.any(Number), ...shared },
    ]);
    for (const { heartbeatAt = 0 } of view?.members ?? [])
      expect(rig.clock.now() - heartbeatAt).toBeLessThanOrEqual(2 * renewMs);
    expect(new Set(view?.bots.keys())).toEqual(new Set([7, 8].map(toBotId)));
    for (const [partition, { owner, epoch }] of view?.partitions ?? []) {
      expect(rig.tokens()[`p${partition}`]).toStartWith(`${epoch}:${owner}-`);
    }
  });

  test("shows a dead one with its last heartbeat until its claims are taken over", async () => {
    const [one, other] = await two();
    const diedAt = rig.clock.now();
    one.wire.state = "down";
    const id = one.leases.member;
    const shown = () => other.leases.fleet()?.members.find((member) => member.id === id);
    for (let waitedMs = 0; shown()?.alive === true && waitedMs < ttlMs + renewMs; waitedMs += 100) {
      await rig.clock.advance(100);
    }
    expect(shown()?.alive).toBe(false);
    expect(diedAt - (shown()?.heartbeatAt ?? 0)).toBeLessThanOrEqual(renewMs);
    await rig.clock.advance(2 * renewMs);
    expect(shown()).toBeUndefined();
  });

  test("leaves out what one says of itself where that is too long, and takes what cannot be read for nothing", async () => {
    const { leases } = rig.join({ info: () => ({ text: "x".repeat(1_000) }) });
    rig.server.records.members.set("zzz", "{not json");
    rig.server.records.alive.set("zzz", Infinity);
    await rig.clock.advance(renewMs);
    expect(leases.fleet()?.members.map(({ host, info }) => [host, info])).toEqual([
      ["here", {}],
      ["", {}],
    ]);
  });

  test("is told to the others, not to oneself", async () => {
    const [one, other] = await two();
    one.leases.tell("bot 7 waits 5 s");
    await rig.settle();
    expect([one.told, other.told]).toEqual([[], [`${one.leases.member}: bot 7 waits 5 s`]]);
  });
});

function byKind(a: string, b: string): number {
  return b.charCodeAt(0) - a.charCodeAt(0) || (a < b ? -1 : 1);
}
