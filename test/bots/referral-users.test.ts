/** The referral bot over the real users: attempts that are run again, in the same process and after its death. */
import { expect, test } from "bun:test";
import { limits } from "../../config/limits.ts";
import { type AttemptEnd, AttemptRun } from "../../src/attempt-run.ts";
import { en } from "../../src/bots/referral/messages/en.ts";
import { createCodeTier } from "../../src/cache/codes.ts";
import { createMemoryTier } from "../../src/cache/memory.ts";
import { createStorageTier } from "../../src/cache/storage.ts";
import { faultOf } from "../../src/faults.ts";
import { laneOf, toBotId, toSeq, type Update } from "../../src/ids.ts";
import type { Send } from "../../src/inbox/inbox.ts";
import { createMemoryUserStore } from "../../src/storage/memory.ts";
import { createRepository } from "../../src/users/repository.ts";
import { evm, firstInteger, Rig, type RigBot } from "./referral-rig.ts";

interface Ran {
  readonly end: AttemptEnd;
  /** What the next attempt must not repeat. */
  readonly sends: readonly Send[];
  /** Calls answered from an earlier attempt. */
  readonly remembered: number;
  /** The bot's answers, as the chat shows them. */
  readonly texts: readonly string[];
}

async function stored() {
  const store = createMemoryUserStore();
  const held = { heldMax: 100, ttlMs: 600_000, absentMs: 1_000, absentMax: 100, codesMax: 100 };
  let made = 0;
  const world = new Rig({
    usersOf({ clock, scope }) {
      const below = createStorageTier({ store, group: true, readMax: 100 });
      const settled = {
        below: () => toSeq(0),
        unsettled: (_: number, seqs: readonly number[]) => Promise.resolve(new Set(seqs.map(toSeq))),
      };
      return createRepository({
        store,
        tier: createMemoryTier({ below, clock, limits: held }),
        codes: createCodeTier({ store, clock, limits: held }),
        scope,
        settled,
        isOwn: () => true,
        clock,
        random: () => 0.5,
        limits: limits.users,
        log: { debug() {}, error() {} },
        newCode: () => `code${String(++made).padStart(6, "0")}`,
        newWriter: () => `writer ${++made}`,
      });
    },
  });
  const bot = await world.addBot();
  return { world, store, bot };
}

/** One attempt on an update, on virtual time. */
async function attempt(world: Rig, bot: RigBot, update: Update, earlier: readonly Send[] = []): Promise<Ran> {
  const never = new AbortController().signal;
  let remembered = 0;
  const of = { bot: toBotId(42), seq: toSeq(update.update_id), lane: laneOf(update), number: 0, mayRepeat: false };
  const body = { updateId: update.update_id, update, receivedAt: world.clock.now(), size: 1, sends: earlier };
  const run = new AttemptRun(of, body, world.clock.monotonic(), {
    partition: 0,
    signal: never,
    waitSignal: never,
    mayAct: () => true,
    monotonic: () => world.clock.monotonic(),
    onPause() {},
    onResume() {},
    onRemembered: () => void remembered++,
    hash: (method, payload) => `${method}(${payload})`,
  });
  const shown = () => world.api.people.messages(42, Number(laneOf(update)));
  const before = shown().at(-1)?.moment ?? 0;
  const ends: AttemptEnd[] = [];
  world.scope.run(run, () =>
    run.begin(
      () => bot.hosted.handle(structuredClone(update)),
      (end) => void ends.push(end),
    ),
  );
  for (let at = 0; ends.length === 0 && at < 1_000; at++) await world.clock.advance(10);
  const [end] = ends;
  if (end === undefined) throw new Error("the attempt does not end");
  const texts = shown().filter(({ from, moment }) => from === "bot" && moment > before);
  return { end, sends: run.sends(), remembered, texts: texts.map(({ text }) => text) };
}

/** The one update that waits at Telegram. */
async function fetched({ api }: Rig, bot: RigBot): Promise<Update> {
  const reply = await api.call(bot.simulated.token, "getUpdates", { limit: 1 });
  if (reply.kind !== "answer") throw new Error(reply.kind);
  const [update] = (JSON.parse(reply.body) as { readonly result: readonly Update[] }).result;
  bot.simulated.queue.clear();
  return update ?? expect.unreachable();
}

test("an update that is handled again after a crash answers as the first time, and changes users once", async () => {
  const { world, store, bot } = await stored();
  const say = async (person: number, text: string): Promise<string> => {
    world.api.people.person(person).say(42, text);
    const update = await fetched(world, bot);
    const first = await attempt(world, bot, update);
    const users = structuredClone([...store.users]);
    const again = await attempt(world, bot, update);
    expect([first.end, again.end]).toEqual([{ kind: "returned" }, { kind: "returned" }]);
    expect([text, again.texts]).toEqual([text, first.texts]);
    expect([text, [...store.users]]).toEqual([text, users]);
    return first.texts.join("\n");
  };
  world.api.people.person(6, { firstName: "Bob" });
  await say(5, "/start");
  const code = /ref_\w+/.exec(await say(5, "/invite"))?.[0];
  expect(await say(6, `/start ${code}`)).toBe(en.welcomeInvited("Bob"));
  expect(await say(6, "/daily")).toBe(en.dailyGranted(10));
  expect(await say(6, "/daily")).toBe(en.dailyAlready);
  expect(await say(6, `/wallet ${evm.toLowerCase()}`)).toBe(en.walletSet(evm));
  expect(await say(5, `/wallet ${evm}`)).toBe(en.walletTaken);
  expect(firstInteger(await say(5, "/points"))).toBe(50);
  expect(await say(6, "/leaderboard")).toContain("1. Person 5: 50 points\n2. Bob: 10 points");
  expect(await say(6, "/stop")).toBe(en.stopped);
  expect([...store.users.values()].map(({ points, referralCount }) => [points, referralCount])).toEqual([
    [50, 1],
    [10, 0],
  ]);
});

test("an answer that did not get through is given by the next attempt, and the points once", async () => {
  const { world, store, bot } = await stored();
  world.api.people.person(5).say(42, "/start");
  await attempt(world, bot, await fetched(world, bot));
  world.api.people.person(5).press(42, "daily");
  const update = await fetched(world, bot);
  const outage = world.api.faults.add({ kind: "500", method: "sendMessage" });
  const failed = await attempt(world, bot, update);
  expect(failed.end.kind === "threw" && faultOf(failed.end.error)?.code).toBe("unavailable");
  outage.remove();
  const done = await attempt(world, bot, update, failed.sends);
  expect([done.end, done.texts]).toEqual([{ kind: "returned" }, [en.dailyGranted(10)]]);
  // The operation and the answer to the press.
  expect([failed.remembered, done.remembered]).toEqual([0, 2]);
  expect([...store.users.values()][0]?.points).toBe(10);
});
