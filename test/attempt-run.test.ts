import { expect, test } from "bun:test";
import { type AttemptEnd, AttemptRun } from "../src/attempt-run.ts";
import { createAttemptScope } from "../src/attempts.ts";
import { Fault, faultOf } from "../src/faults.ts";
import { toBotId, toLaneKey, toSeq } from "../src/ids.ts";
import type { Body, Send } from "../src/inbox/inbox.ts";
import { settled } from "./support/fake-clock.ts";

const ok = (result: unknown) => async () => ({ ok: true, result });

function attempt(sends: readonly Send[] = []) {
  const ends: AttemptEnd[] = [];
  const pauses: string[] = [];
  const time = { ms: 0 };
  let remembered = 0;
  const body: Body = { updateId: 9, update: { update_id: 9 }, receivedAt: 1, size: 1, sends };
  const of = { bot: toBotId(1), seq: toSeq(1), lane: toLaneKey(7), number: 0, mayRepeat: false };
  const run = new AttemptRun(of, body, time.ms, {
    partition: 0,
    signal: new AbortController().signal,
    waitSignal: new AbortController().signal,
    mayAct: () => true,
    monotonic: () => time.ms,
    onPause: () => void pauses.push("pause"),
    onResume: () => void pauses.push("resume"),
    onRemembered: () => void remembered++,
    hash: (method, payload) => `${method}(${payload})`,
  });
  const begin = (handler: () => Promise<void>): void => run.begin(handler, (end) => void ends.push(end));
  return { run, ends, pauses, time, begin, remembered: () => remembered };
}

const codeOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => "resolved",
    (error: unknown) => faultOf(error)?.code ?? error,
  );

test("an attempt is over when its handler has ended, once", async () => {
  const { run, ends, begin } = attempt();
  begin(async () => {});
  expect(ends).toEqual([]);
  await settled();
  run.revoke("deadline");
  expect([ends, run.revoked]).toEqual([[{ kind: "returned" }], false]);
});

test("a handler that throws, at once or later, ends its attempt with the error", async () => {
  const error = new Error("broken");
  for (const handler of [() => Promise.reject(error), () => throwing(error)]) {
    const { ends, begin, run } = attempt();
    begin(handler);
    await settled();
    expect(ends).toEqual([{ kind: "threw", error }]);
    expect(await codeOf(run.effect(async () => {}))).toBe("attempt_revoked");
  }
});

function throwing(error: Error): Promise<void> {
  throw error;
}

test("a call that the handler does not await is waited for", async () => {
  const { run, ends, begin } = attempt();
  const call = Promise.withResolvers<void>();
  begin(async () => void run.effect(() => call.promise));
  await settled();
  expect(ends).toEqual([]);
  call.resolve();
  await settled();
  expect(ends).toEqual([{ kind: "returned" }]);
});

test("an outage of a call that nobody awaits is the end of its attempt", async () => {
  const { run, ends, begin } = attempt();
  const call = Promise.withResolvers<void>();
  const error = new Fault("unavailable", "down");
  begin(async () => void run.effect(() => call.promise).catch(() => {}));
  await settled();
  call.reject(error);
  await settled();
  expect(ends).toEqual([{ kind: "threw", error }]);
});

test("any other failure of a call that nobody awaits is the handler's business", async () => {
  for (const error of [new Error("Bad Request: chat not found"), new Fault("usage", "wrong")]) {
    const { run, ends, begin } = attempt();
    const call = Promise.withResolvers<void>();
    begin(async () => void run.effect(() => call.promise).catch(() => {}));
    await settled();
    call.reject(error);
    await settled();
    expect(ends).toEqual([{ kind: "returned" }]);
  }
});

test("an outage that the handler has awaited and survived is not held against it", async () => {
  const { run, ends, begin } = attempt();
  begin(() => run.effect(() => Promise.reject(new Fault("unavailable", "down"))).catch(() => {}));
  await settled();
  expect(ends).toEqual([{ kind: "returned" }]);
});

test.each([
  ["an error of its own", () => Promise.reject(new Error("the customer was not answered"))],
  ["nothing before its deadline", () => new Promise<void>(() => {})],
])("a handler that met an outage and then ends with %s is not to blame", async (_, ending) => {
  const { run, ends, begin } = attempt();
  const down = new Fault("unavailable", "down");
  begin(async () => {
    await run.effect(() => Promise.reject(down)).catch(() => {});
    await ending();
  });
  await settled();
  run.revoke("deadline");
  expect(ends).toEqual([{ kind: "threw", error: down }]);
});

test("a call that outlasts the deadline and then meets an outage takes the blame from the handler", async () => {
  const { run, ends, begin } = attempt();
  const call = Promise.withResolvers<void>();
  const down = new Fault("unavailable", "down");
  let told: Promise<unknown> = Promise.resolve();
  begin(async () => {
    told = codeOf(run.effect(() => call.promise));
    await told;
  });
  run.revoke("deadline");
  call.reject(down);
  expect(await told).toBe("attempt_revoked");
  expect(ends).toEqual([{ kind: "threw", error: down }]);
});

test("a revoked attempt starts no effect, and is over when those in flight have ended", async () => {
  const { run, ends, begin } = attempt();
  const call = Promise.withResolvers<string>();
  const inFlight: Promise<string>[] = [];
  begin(() => {
    inFlight.push(run.effect(() => call.promise));
    return new Promise(() => {});
  });
  run.revoke("deadline");
  let ran = 0;
  const later = async () => ++ran;
  expect(await codeOf(run.effect(later))).toBe("attempt_revoked");
  expect(await codeOf(run.send("sendMessage", "a", async () => ({ ok: ++ran > 0 })))).toBe("attempt_revoked");
  expect([ran, ends]).toEqual([0, []]);
  call.resolve("sent");
  expect(await codeOf(inFlight[0] as Promise<string>)).toBe("attempt_revoked");
  expect(ends).toEqual([{ kind: "revoked", by: "deadline" }]);
  expect(await codeOf(run.effect(later))).toBe("attempt_revoked");
  expect(ran).toBe(0);
});

test("a send that ends after the revocation is remembered all the same", async () => {
  const { run, begin } = attempt();
  const call = Promise.withResolvers<{ ok: boolean; result: unknown }>();
  let sent: Promise<unknown> = Promise.resolve();
  begin(() => {
    sent = codeOf(run.send("sendMessage", "a", () => call.promise));
    return new Promise(() => {});
  });
  run.revoke("deadline");
  call.resolve({ ok: true, result: 5 });
  expect(await sent).toBe("attempt_revoked");
  expect(run.sends()).toEqual([{ call: 0, method: "sendMessage", hash: "sendMessage(a)", result: 5 }]);
});

test("a revoked attempt is not even answered what it sent before", async () => {
  const { run, begin, remembered } = attempt([{ call: 0, method: "m", hash: "m(a)", result: 1 }]);
  begin(() => new Promise(() => {}));
  run.revoke("deadline");
  expect(await codeOf(run.send("m", "a", ok(2)))).toBe("attempt_revoked");
  expect(remembered()).toBe(0);
});

test("a shutdown cuts short also a handler that returned over an open call", async () => {
  const { run, ends, begin } = attempt();
  const call = Promise.withResolvers<void>();
  begin(async () => void run.effect(() => call.promise).catch(() => {}));
  await settled();
  run.revoke("shutdown");
  expect(ends).toEqual([]);
  call.reject(new Fault("attempt_revoked", "aborted"));
  await settled();
  expect(ends).toEqual([{ kind: "revoked", by: "shutdown" }]);
});

test("a call after the end of its update is an ordinary call", async () => {
  const { run, begin } = attempt();
  begin(async () => {});
  await settled();
  expect(await run.effect(async () => 7)).toBe(7);
  expect(await run.send("sendMessage", "a", ok(8))).toEqual({ ok: true, result: 8 });
  expect(run.hasNewSends).toBe(false);
});

test("a finished send is not made again by a retry: same place, method and payload", async () => {
  const first = attempt();
  first.begin(() => new Promise(() => {}));
  await first.run.send("sendMessage", "a", ok(1));
  await first.run.send("sendMessage", "b", ok(2));
  expect(first.run.hasNewSends).toBe(true);

  const second = attempt(first.run.sends());
  second.begin(() => new Promise(() => {}));
  let made = 0;
  const again = async () => ({ ok: true, result: `again ${++made}` });
  expect(await second.run.send("sendMessage", "a", again)).toEqual({ ok: true, result: 1 });
  expect(await second.run.send("sendMessage", "b", again)).toEqual({ ok: true, result: 2 });
  expect([made, second.remembered(), second.run.hasNewSends]).toEqual([0, 2, false]);
  expect(await second.run.send("sendMessage", "c", again)).toEqual({ ok: true, result: "again 1" });
});

test("a send is made where the payload, the method or the place differs, and its new result replaces the old one", async () => {
  const sends: Send[] = [0, 1, 2].map((call) => ({ call, method: "m", hash: `m(${call})`, result: call }));
  const { run, begin, remembered } = attempt(sends);
  begin(() => new Promise(() => {}));
  expect(await run.send("m", "other", ok("new 0"))).toEqual({ ok: true, result: "new 0" });
  expect(await run.send("n", "1", ok("new 1"))).toEqual({ ok: true, result: "new 1" });
  expect(remembered()).toBe(0);
  expect(run.sends()).toEqual([
    { call: 0, method: "m", hash: "m(other)", result: "new 0" },
    { call: 1, method: "n", hash: "n(1)", result: "new 1" },
    { call: 2, method: "m", hash: "m(2)", result: 2 },
  ]);
});

test("an answer that is not ok, and a call that failed, are not remembered", async () => {
  const { run, begin } = attempt();
  begin(() => new Promise(() => {}));
  await run.send("m", "a", async () => ({ ok: false }));
  await codeOf(run.send("m", "a", () => Promise.reject(new Error("reset"))));
  await run.send("m", "a", ok(3));
  expect(run.sends()).toEqual([{ call: 2, method: "m", hash: "m(a)", result: 3 }]);
});

test("the deadline's clock stands still while any call waits in flood control", () => {
  const { run, pauses, time, begin } = attempt();
  begin(() => new Promise(() => {}));
  time.ms = 600;
  expect([run.isDue(600, 1_000), run.isDue(1_000, 1_000)]).toEqual([false, true]);
  run.pause();
  run.pause();
  time.ms = 60_000;
  expect([run.isDue(60_000, 1_000), run.isPaused]).toEqual([false, true]);
  run.resume();
  expect([run.isPaused, pauses]).toEqual([true, ["pause"]]);
  run.resume();
  expect(pauses).toEqual(["pause", "resume"]);
  expect([run.isDue(60_399, 1_000), run.isDue(60_400, 1_000)]).toEqual([false, true]);
});

test("an attempt that is over gives no slot back", async () => {
  const { run, pauses, begin } = attempt();
  begin(async () => {});
  await settled();
  run.pause();
  run.resume();
  expect(pauses).toEqual([]);
});

test("a call finds the attempt of its own handler, through every await, and none outside", async () => {
  const scope = createAttemptScope();
  const [one, two] = [attempt().run, attempt().run];
  const inside = async (): Promise<unknown> => {
    await settled();
    return scope.current();
  };
  expect(await Promise.all([scope.run(one, inside), scope.run(two, inside), inside()])).toEqual([one, two, undefined]);
});

test("a deadline that finds the attempt waiting for storage, most of its time, is an outage", async () => {
  const { run, ends, time, begin } = attempt();
  const answered = Promise.withResolvers<void>();
  begin(() => run.effect(() => answered.promise, "storage"));
  time.ms = 30_000;
  run.revoke("deadline");
  answered.resolve();
  await settled();
  expect(ends).toEqual([{ kind: "threw", error: expect.objectContaining({ code: "unavailable" }) as Error }]);
});

test("a deadline that finds the attempt waiting for storage for a moment is the handler's fault", async () => {
  const { run, ends, time, begin } = attempt();
  const answered = Promise.withResolvers<void>();
  begin(async () => {
    await run.effect(() => Promise.resolve(), "storage");
    time.ms = 16_000;
    await run.effect(() => answered.promise, "storage");
  });
  await settled();
  time.ms = 30_000;
  run.revoke("deadline");
  answered.resolve();
  await settled();
  expect(ends).toEqual([{ kind: "revoked", by: "deadline" }]);
});
