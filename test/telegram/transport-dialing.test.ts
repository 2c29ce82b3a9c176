/** How connections are opened, and what becomes of those that are not, over sockets that do what the test says. */
import { expect, test } from "bun:test";
import type { HttpReply } from "../../src/telegram/exchange.ts";
import { answered, failure, rig, wire } from "./dialed.ts";

test("an attempt that fails ends one request, unsent, with the system's word", async () => {
  const world = rig({ callsMaxPerHost: 3, dialsMaxPerHost: 1 });
  const replies = [world.call("1"), world.call("2")];
  expect(world.dialed).toHaveLength(1);
  wire(world, 0).events.refused("ECONNREFUSED");
  expect(await replies[0]).toEqual(failure("unreachable", "ECONNREFUSED") as HttpReply);
  wire(world, 1).open();
  wire(world, 1).answer("{}");
  expect(await replies[1]).toMatchObject(answered("{}"));
});

test("an attempt that says twice that it failed counts once", async () => {
  const world = rig();
  const replies = [world.call("1"), world.call("2")];
  wire(world, 0).events.refused("CERT_HAS_EXPIRED");
  wire(world, 0).events.closed("");
  wire(world, 0).events.refused("ECONNRESET");
  expect(await replies[0]).toMatchObject(failure("unreachable", "CERT_HAS_EXPIRED"));
  expect(world.transport.stats()).toMatchObject({ open: 1, dialing: 1, waiting: 1 });
});

test("a connection that breaks while it is being opened is one that could not be opened", async () => {
  const world = rig();
  const reply = world.call();
  wire(world, 0).events.closed("ECONNRESET");
  expect(await reply).toEqual(failure("unreachable", "ECONNRESET") as HttpReply);
  expect(world.transport.stats()).toMatchObject({ open: 0, dialing: 0 });
});

test("a connection that is closed again before it could be used has carried nothing", async () => {
  const world = rig();
  const reply = world.call();
  wire(world, 0).takes = -1;
  wire(world, 0).open();
  expect(await reply).toEqual(failure("unreachable", "ECONNRESET") as HttpReply);
  expect(world.transport.stats()).toMatchObject({ open: 0, calls: 0 });
});

test("what the network swallows is unreachable in time, and a connection that opens late after all is used", async () => {
  const world = rig();
  const first = world.call("1");
  await world.clock.advance(5_200);
  expect(await first).toEqual(failure("unreachable", "ETIMEDOUT") as HttpReply);
  expect(world.transport.stats()).toMatchObject({ open: 1, dialing: 0, calls: 0 });
  const second = world.call("2");
  expect(world.dialed).toHaveLength(2);
  wire(world, 0).open();
  expect(wire(world, 0).got).toEndWith("2");
  wire(world, 0).answer("{}");
  expect(await second).toMatchObject(answered("{}"));
});

test("an attempt that was given up and fails late ends no request that came since", async () => {
  const world = rig();
  const first = world.call("1");
  await world.clock.advance(5_200);
  await first;
  const second = world.call("2");
  wire(world, 0).events.refused("ETIMEDOUT");
  wire(world, 1).open();
  wire(world, 1).answer("{}");
  expect(await second).toMatchObject(answered("{}"));
});

test("where sockets that the network swallowed take all the room, one that goes makes room for an attempt", async () => {
  const world = rig({ pollsMaxPerHost: 0 });
  const swallowed = [world.call("1"), world.call("2")];
  await world.clock.advance(5_200);
  await Promise.all(swallowed);
  const third = world.call("3");
  void world.call("4");
  expect(world.dialed).toHaveLength(2);
  wire(world, 0).open();
  expect(wire(world, 0).got).toEndWith("3");
  wire(world, 0).events.closed("ECONNRESET");
  expect(await third).toMatchObject(failure("closed", "ECONNRESET"));
  expect(world.dialed).toHaveLength(3);
  wire(world, 2).open();
  expect(wire(world, 2).got).toEndWith("4");
});

test("a deadline that comes together with the end of the wait for a connection ends the request once", async () => {
  const world = rig();
  const reply = world.call("1", { maxMs: 5_000 });
  await world.clock.advance(5_200);
  expect(await reply).toMatchObject({ kind: "failed" });
  expect(world.transport.stats()).toMatchObject({ calls: 0, waiting: 0 });
});

test("a request that has ended listens to its signal no more", async () => {
  const { signal } = new AbortController();
  let listening = 0;
  const world = rig({}, { add: () => (listening++, () => void listening--) });
  const reply = world.call("1", { signal });
  expect(listening).toBe(1);
  wire(world, 0).open();
  wire(world, 0).answer("{}");
  await reply;
  expect(listening).toBe(0);
});

test("while the network swallows attempts only few are made, and all sockets together stay within the limit", async () => {
  const world = rig({ callsMaxPerHost: 50, pollsMaxPerHost: 10, waitingMaxPerHost: 1_000, dialsMaxPerHost: 40 });
  const ask = (): Promise<HttpReply>[] => Array.from({ length: 50 }, () => world.call());
  const first = ask();
  expect(world.dialed).toHaveLength(40);
  await world.clock.advance(5_200);
  for (const reply of await Promise.all(first)) expect(reply).toMatchObject(failure("unreachable", "ETIMEDOUT"));
  const before = world.dialed.length;
  expect(before).toBeLessThanOrEqual(48);
  void ask();
  expect(world.dialed.length).toBeLessThanOrEqual(48);
  await world.clock.advance(60_000);
  void ask();
  expect(world.dialed.length).toBeLessThanOrEqual(60);
  for (const dialed of world.dialed.slice()) dialed.events.refused("ETIMEDOUT");
  const few = world.transport.stats().dialing;
  wire(world, world.dialed.length - 1).open();
  expect([few, world.transport.stats().dialing]).toEqual([8, 40]);
});

test("a request that has ended while its connection was being opened leaves the connection to the next", async () => {
  const world = rig();
  const stop = new AbortController();
  const reply = world.call("1", { signal: stop.signal });
  stop.abort();
  expect(await reply).toMatchObject(failure("aborted"));
  wire(world, 0).open();
  expect(wire(world, 0).got).toBe("");
  void world.call("2");
  expect(wire(world, 0).got).toEndWith("2");
  expect(world.dialed).toHaveLength(1);
});
