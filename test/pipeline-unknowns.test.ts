/** An update whose calls alone end without a usable answer, beside others of its bot that are answered: see lane-unknowns.ts. */
import { expect, test } from "bun:test";
import { limits } from "../config/limits.ts";
import { Fault } from "../src/faults.ts";
import { toBotId, toSeq } from "../src/ids.ts";
import { settled } from "./support/fake-clock.ts";
import { rig, type Rig, type Work } from "./support/pipeline-rig.ts";

const poisoned = 7;
const healthy = 8;
const unknown = (): Fault =>
  new Fault("unavailable", "no usable answer (500), outcome unknown.", { effect: "unknown" });
const { unknownsMax, outageCapMs } = limits.pipeline;
const one = toSeq(1);

/** Chat 7 meets what `fails` says in each of its calls, every other chat is answered. */
function world(fails: (times: number) => Fault | undefined, bots = 1): Rig & { seen: boolean[] } {
  const made = rig({}, bots);
  let times = 0;
  const seen: boolean[] = [];
  for (let bot = 1; bot <= bots; bot++) {
    made.handle(bot, async ({ text, attempt }: Work) => {
      if (text === "poison") seen.push(attempt.mayRepeat);
      await attempt.send("sendMessage", text, () => {
        const fault = text === "poison" ? fails(++times) : undefined;
        return fault === undefined ? Promise.resolve({ ok: true, result: 1 }) : Promise.reject(fault);
      });
    });
  }
  return Object.assign(made, { seen });
}

const attemptsOf = ({ started }: Rig): number => started.filter((text) => text === "poison").length;

/** Lets time pass, while chat 8 of `bot` writes each 10 s. */
async function pass(made: Rig, ms: number, bot = 1): Promise<void> {
  for (let passed = 0; passed < ms; passed += 10_000) {
    made.say(bot, healthy, `fine ${passed}`);
    await made.clock.advance(10_000);
  }
}

test("is a dead letter after a hundred attempts in a row, and its chat goes on", async () => {
  const made = world(unknown);
  made.say(1, poisoned, "poison");
  made.say(1, poisoned, "next");
  const startedMs = made.clock.monotonic();
  while (made.partition.outcomes.get(one) === undefined) await pass(made, 10_000);
  const tookMin = (made.clock.monotonic() - startedMs) / 60_000;
  expect([tookMin > 30, tookMin < 55]).toEqual([true, true]);
  // The first attempts follow within a second or two: between some of them nothing else was answered.
  expect(attemptsOf(made) - unknownsMax).toBeWithin(0, 8);
  expect(made.partition.outcomes.get(one)).toMatchObject({ kind: "dead", attempts: 0, effectsUnknown: true });
  expect(made.troubles.at(-1)).toMatchObject({
    kind: "dead",
    error: expect.stringMatching(/^100 times in a row Telegram gave no usable answer.*\(500\)/) as string,
  });
  expect(made.ends.filter((end) => end === "dead" || end === "retry")).toEqual(["dead"]);
  await settled();
  expect(made.started).toContain("next");
});

test("is told that what it does may have been done, from the second attempt on", async () => {
  const made = world((times) => (times < 3 ? unknown() : undefined));
  made.say(1, poisoned, "poison");
  await pass(made, 10_000);
  expect(made.seen).toEqual([false, true, true]);
});

test("where nothing else of the bot is answered, nothing is counted", async () => {
  const made = world(unknown, 2);
  made.say(1, poisoned, "poison");
  // Another bot's answers say nothing of this one's server, token or limits.
  await pass(made, 3 * 3_600_000, 2);
  expect(attemptsOf(made)).toBeGreaterThan(300);
  expect(made.partition.outcomes.get(one)).toBeUndefined();
});

test("an update that makes no call, or whose calls fail too, is no sign that Telegram answers", async () => {
  const made = rig();
  made.handle(1, async ({ text, attempt }) => {
    if (text.startsWith("idle")) return;
    if (text.startsWith("careless")) {
      await attempt.effect(() => Promise.resolve());
      await attempt.effect(() => Promise.reject(unknown())).catch(() => {});
      return;
    }
    await attempt.effect(() => Promise.reject(unknown()));
  });
  made.say(1, poisoned, "poison");
  for (let at = 0; at < 400; at++) {
    made.say(1, healthy, `idle ${at}`);
    made.say(1, 9, `careless ${at}`);
    await made.clock.advance(20_000);
  }
  expect(made.partition.outcomes.get(one)).toBeUndefined();
});

test("an update that only changes what storage keeps is no sign that Telegram answers", async () => {
  const made = rig();
  made.handle(1, async ({ text, attempt }) => {
    await attempt.send("users.daily", text, () => Promise.resolve({ ok: true }), "storage");
    if (text === "poison") await attempt.effect(() => Promise.reject(unknown()));
  });
  made.say(1, poisoned, "poison");
  await pass(made, 3 * 3_600_000);
  expect(attemptsOf(made)).toBeGreaterThan(300);
  expect(made.partition.outcomes.get(one)).toBeUndefined();
});

test.each<[string, Fault]>([
  ["could not be sent", new Fault("unavailable", "Telegram cannot be reached, not sent.")],
  ["met a 429", new Fault("unavailable", "Telegram asks to wait", { retryAfterMs: 1_000 })],
])("an attempt that %s ends the row", async (_, other) => {
  const made = world((times) => (times % 90 === 0 ? other : unknown()));
  made.say(1, poisoned, "poison");
  await pass(made, 400 * outageCapMs);
  expect(attemptsOf(made)).toBeGreaterThan(300);
  expect(made.partition.outcomes.get(one)).toBeUndefined();
});

test("the next update of the chat begins a row of its own, and nothing is kept of the one before", async () => {
  let poison = 2;
  const made = world((times) => (times <= 60 || (times > 61 && times <= 121) ? unknown() : undefined));
  while (poison-- > 0) made.say(1, poisoned, "poison");
  await pass(made, 140 * outageCapMs);
  expect([...made.partition.outcomes.values()].every(({ kind }) => kind === "done")).toBe(true);
  expect([attemptsOf(made), made.pipeline["unknowns"].size]).toEqual([122, 0]);
  expect(made.pipeline.backlog(toBotId(1))).toBe(0);
});

test("what an earlier process had received may be repeated as well, although that one ended in order", async () => {
  const made = rig();
  const seen: boolean[] = [];
  made.handle(1, async ({ attempt }) => void seen.push(attempt.mayRepeat));
  made.say(1, poisoned, "received before", { receivedAt: made.clock.now() - 1 });
  made.say(1, poisoned, "new");
  await made.clock.advance(1_000);
  expect(seen).toEqual([true, false]);
});

test("what was in work when the process died may be repeated as well", async () => {
  const made = rig();
  const seen: boolean[] = [];
  made.handle(1, async ({ attempt }) => void seen.push(attempt.mayRepeat));
  made.say(1, poisoned, "recovered", { suspicion: "suspect" });
  made.say(1, poisoned, "new");
  await made.clock.advance(1_000);
  expect(seen).toEqual([true, false]);
});
