/** Who gets a connection and when, over sockets that do what the test says. */
import { expect, test } from "bun:test";
import type { HttpReply } from "../../src/telegram/exchange.ts";
import { answered, failure, rig, wire } from "./dialed.ts";

test("the host of the address is dialed, and the request goes out in one write", async () => {
  const world = rig();
  const reply = world.call('"é"');
  const { target } = wire(world, 0);
  expect(target).toMatchObject({ hostname: "telegram.example", port: 8443, secure: true });
  wire(world, 0).open();
  expect(wire(world, 0).got).toMatch(/^POST \/bot1:x\/getMe HTTP\/1.1\r\nHost: telegram.example:8443\r\n/);
  expect(wire(world, 0).got).toMatch(/Content-Length: 4\r\n\r\n"\xc3\xa9"$/);
  wire(world, 0).answer("{}");
  expect(await reply).toMatchObject(answered("{}"));
});

test.each([
  ["https://telegram.example", "telegram.example", 443, true],
  ["http://telegram.example", "telegram.example", 80, false],
  ["http://[::1]:81", "::1", 81, false],
])("%s is %s at port %d", (root, hostname, port, secure) => {
  const world = rig();
  void world.call("{}", { url: `${root}/bot1:x/getMe` });
  expect(wire(world, 0).target).toMatchObject({ hostname, port, secure });
});

test("calls beyond the limit wait their turn, in order, and one beyond those is turned away unsent", async () => {
  const world = rig();
  const replies = ["1", "2", "3", "4", "5"].map((body) => world.call(body));
  expect(await world.call("6")).toEqual(failure("unreachable", "EAGAIN") as HttpReply);
  expect(world.dialed).toHaveLength(2);
  expect(world.transport.stats()).toMatchObject({ open: 2, dialing: 2, calls: 2, waiting: 5 });
  for (const dialed of world.dialed) dialed.open();
  for (let at = 0; at < 5; at++) {
    const carrying = wire(world, at % 2);
    expect(carrying.got).toEndWith(String(at + 1));
    carrying.answer(`"${at + 1}"`);
    expect(await replies[at]).toMatchObject(answered(`"${at + 1}"`));
  }
  expect(world.dialed).toHaveLength(2);
  expect(world.transport.stats()).toMatchObject({ open: 2, idle: 2, calls: 0, waiting: 0 });
});

test("the wait for a turn counts against the deadline", async () => {
  const world = rig({ callsMaxPerHost: 1 });
  void world.call("1", { maxMs: 60_000 });
  wire(world, 0).open();
  const waiting = world.call("2", { maxMs: 3_000 });
  const stop = new AbortController();
  const aborted = world.call("3", { signal: stop.signal });
  stop.abort();
  expect(await aborted).toMatchObject(failure("aborted"));
  await world.clock.advance(3_100);
  expect(await waiting).toMatchObject(failure("deadline"));
  wire(world, 0).answer("{}");
  expect(wire(world, 0).got).toBe("");
  expect(world.transport.stats()).toMatchObject({ idle: 1, calls: 0, waiting: 0 });
});

test("waiting polls hold back no call, and calls hold back no poll", async () => {
  const world = rig();
  const polls = [world.poll(), world.poll(), world.poll()];
  for (let at = 0; at < 2; at++) wire(world, at).open();
  const calls = [world.call("1"), world.call("2"), world.call("3")];
  expect(world.transport.stats()).toMatchObject({ polls: 2, calls: 2, waiting: 4 });
  for (let at = 2; at < 4; at++) wire(world, at).open();
  wire(world, 2).answer('"1"');
  expect(await calls[0]).toMatchObject(answered('"1"'));
  expect(wire(world, 2).got).toEndWith("3");
  wire(world, 0).answer("[]");
  expect(await polls[0]).toMatchObject(answered("[]"));
  expect(wire(world, 0).got).toContain("/getUpdates");
  expect(world.dialed).toHaveLength(4);
});

test("a connection that is free before the own one is open is taken, and the own one serves the next", async () => {
  const world = rig();
  const first = world.call("1");
  wire(world, 0).open();
  const second = world.call("2");
  wire(world, 0).answer("{}");
  await first;
  expect(wire(world, 0).got).toEndWith("2");
  wire(world, 1).open();
  expect(world.transport.stats()).toMatchObject({ open: 2, idle: 1 });
  wire(world, 0).answer("{}");
  await second;
  void world.call("3");
  expect(wire(world, 0).got).toEndWith("3");
  expect(world.dialed).toHaveLength(2);
});

test("a kept connection that turns out closed before a byte was written is passed over: the request goes over the next", async () => {
  const world = rig();
  const both = [world.call("1"), world.call("2")];
  for (const dialed of world.dialed) dialed.open();
  for (const dialed of world.dialed) dialed.answer("{}");
  await Promise.all(both);
  wire(world, 1).takes = -1;
  const third = world.call("3");
  expect(wire(world, 0).got).toEndWith("3");
  wire(world, 0).answer('"3"');
  expect(await third).toMatchObject(answered('"3"'));
  wire(world, 0).takes = -1;
  const fourth = world.call("4");
  wire(world, 2).open();
  wire(world, 2).answer('"4"');
  expect(await fourth).toMatchObject(answered('"4"'));
});

test("a kept connection that breaks once the request is written leaves the outcome open", async () => {
  const world = rig();
  const first = world.call("1");
  wire(world, 0).open();
  wire(world, 0).answer("{}");
  await first;
  const second = world.call("2");
  wire(world, 0).events.closed("ECONNRESET");
  expect(await second).toEqual(failure("closed", "ECONNRESET") as HttpReply);
  expect(world.dialed).toHaveLength(1);
});

test("an answer without a length is whole when the server closes in good order, and cut off when the connection breaks", async () => {
  for (const code of ["", "ECONNRESET"]) {
    const world = rig();
    const reply = world.call();
    wire(world, 0).open();
    wire(world, 0).events.received(Buffer.from("HTTP/1.1 200 OK\r\n\r\n{}"));
    wire(world, 0).events.closed(code);
    expect(await reply).toMatchObject(code === "" ? answered("{}") : failure("closed", code));
  }
});

test("what the socket does not take at once is written when it can take more, byte for byte", async () => {
  const world = rig();
  const body = '"сообщение 👋, half \ud800"';
  const reply = world.call(body);
  wire(world, 0).takes = 7;
  wire(world, 0).open();
  for (let times = 0; times < 100; times++) wire(world, 0).events.drained();
  const { got } = wire(world, 0);
  expect(got).toEndWith(
    `\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${Buffer.from(body).toString("latin1")}`,
  );
  expect(got.match(/POST/g)).toHaveLength(1);
  wire(world, 0).answer("{}");
  expect(await reply).toMatchObject(answered("{}"));
  expect(world.transport.stats()).toMatchObject({ idle: 1 });
});

test("an answer to a request that is not written to the end leaves its connection to nobody", async () => {
  const world = rig();
  const reply = world.call();
  wire(world, 0).takes = 7;
  wire(world, 0).open();
  wire(world, 0).answer("early");
  expect(await reply).toMatchObject(answered("early"));
  expect(wire(world, 0).ended).toBe("terminate");
  expect(world.transport.stats()).toMatchObject({ open: 0, idle: 0 });
});

test("a hanging connection is torn down at the deadline, and what it says later reaches nobody", async () => {
  const world = rig();
  const first = world.call("1", { maxMs: 3_000 });
  wire(world, 0).open();
  await world.clock.advance(3_100);
  expect(await first).toMatchObject(failure("deadline"));
  expect(wire(world, 0).ended).toBe("terminate");
  const second = world.call("2");
  wire(world, 0).answer("late");
  wire(world, 0).events.closed("");
  wire(world, 1).open();
  wire(world, 1).answer("{}");
  expect(await second).toMatchObject(answered("{}"));
});

test("the connection used last is used next, so that what is not needed grows old", async () => {
  const world = rig();
  const both = [world.call("1"), world.call("2")];
  for (const dialed of world.dialed) dialed.open();
  for (const dialed of world.dialed) dialed.answer("{}");
  await Promise.all(both);
  for (let times = 0; times < 20; times++) {
    await world.clock.advance(1_000);
    const reply = world.call();
    wire(world, 1).answer("{}");
    await reply;
  }
  expect([wire(world, 0).ended, wire(world, 1).ended]).toEqual(["end", "no"]);
});

test("a stop ends what waits, and an attempt that opens afterwards is closed", async () => {
  const world = rig();
  const replies = [world.call("1"), world.call("2"), world.call("3"), world.poll()];
  await world.transport.stop();
  for (const reply of await Promise.all(replies)) expect(reply).toMatchObject(failure("aborted"));
  wire(world, 0).open();
  wire(world, 1).events.refused("ECONNREFUSED");
  wire(world, 2).events.closed("");
  expect(wire(world, 0).ended).toBe("terminate");
  expect(world.transport.stats()).toMatchObject({ open: 0, dialing: 0, calls: 0, polls: 0, waiting: 0 });
  expect(world.clock.pending()).toBe(0);
});

test("hosts share no connection and no limit", async () => {
  const world = rig({ callsMaxPerHost: 1 });
  void world.call("1");
  void world.call("2", { url: "http://other.example/bot1:x/getMe" });
  expect(world.dialed.map(({ target }) => target.hostname)).toEqual(["telegram.example", "other.example"]);
  expect(world.transport.stats()).toMatchObject({ open: 2, calls: 2 });
});
