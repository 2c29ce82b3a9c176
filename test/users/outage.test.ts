/** Users behind the pipeline while storage fails: nothing is counted, nothing is lost, everything takes effect once. */
import { expect, test } from "bun:test";
import { toUserId } from "../../src/ids.ts";
import { rig } from "../support/pipeline-rig.ts";
import { createUsersRig, register, type UsersRig } from "./rig.ts";

test("storage that fails for a minute makes lanes wait, counts no attempt, and every change is made once afterwards", async () => {
  const made = rig();
  const { repository, state, durable, tier } = createUsersRig({ clock: made.clock, scope: made.scope });
  const outcomes: string[] = [];
  made.handle(1, async ({ text, update }) => {
    const id = toUserId(update.message?.chat.id ?? 0);
    const operation = text === "start" ? register() : ({ kind: "daily" } as const);
    outcomes.push((await repository.change(id, operation)).kind);
  });
  const people = Array.from({ length: 50 }, (_, at) => 1 + at);
  for (const id of people) made.say(1, id, "start");
  await made.clock.advance(1_000);
  expect(outcomes).toEqual(people.map(() => "registered"));

  state.isDown = true;
  for (const id of people) tier.forget([toUserId(id)]);
  for (const id of people) for (const text of ["daily", "daily"]) made.say(1, id, text);
  await made.clock.advance(60_000);
  expect(outcomes.length).toBe(people.length);
  state.isDown = false;
  await made.clock.advance(40_000);

  expect(new Set(made.ends)).toEqual(new Set(["done", "outage"]));
  expect(made.ends.filter((end) => end === "done").length).toBe(3 * people.length);
  expect(made.partition.stored.size).toBe(0);
  expect(outcomes.filter((kind) => kind === "granted").length).toBe(people.length);
  for (const id of people) expect(durable.users.get(toUserId(id))?.points).toBe(10);
});

test("storage that answers nothing for a minute counts no attempt, and every change is made once", async () => {
  const made = rig();
  const { repository, state, durable } = createUsersRig({ clock: made.clock, scope: made.scope });
  made.handle(1, async ({ text, update }) => {
    const id = toUserId(update.message?.chat.id ?? 0);
    await repository.change(id, text === "start" ? register() : { kind: "daily" });
  });
  made.say(1, 5, "start");
  await made.clock.advance(1_000);
  const answered = Promise.withResolvers<void>();
  state.writesAnswered = answered.promise;
  made.say(1, 5, "daily");
  await made.clock.advance(60_000);
  expect(made.ends).toEqual(["done"]);
  answered.resolve();
  await made.clock.advance(40_000);
  expect(made.ends).toEqual(["done", "outage", "done"]);
  expect(durable.users.get(toUserId(5))?.points).toBe(10);
});

test.each<[string, (rig: UsersRig) => Promise<unknown>]>([
  ["a user", ({ repository }) => repository.get(toUserId(6))],
  ["a code", ({ repository }) => repository.idOfCode("abcdefgh")],
  ["the leaderboard", ({ repository }) => repository.leaderboard()],
])("a handler that finds no words for storage that cannot tell %s is not at fault", async (_what, ask) => {
  const made = rig();
  const users = createUsersRig({ clock: made.clock, scope: made.scope });
  made.handle(1, () =>
    ask(users).then(
      () => undefined,
      () => Promise.reject(new Error("something went wrong")),
    ),
  );
  users.state.isDown = true;
  made.say(1, 5, "hello");
  await made.clock.advance(120_000);
  expect(new Set(made.ends)).toEqual(new Set(["outage"]));
  users.state.isDown = false;
  await made.clock.advance(40_000);
  expect(made.ends.at(-1)).toBe("done");
});
