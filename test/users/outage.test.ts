/** Users behind the pipeline while storage fails: nothing is counted, nothing is lost, everything takes effect once. */
import { expect, test } from "bun:test";
import { toUserId } from "../../src/ids.ts";
import { rig } from "../support/pipeline-rig.ts";
import { createUsersRig, register } from "./rig.ts";

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
