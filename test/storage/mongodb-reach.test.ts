import { expect, test } from "bun:test";
import { MongoNetworkError } from "mongodb";
import { Fault, faultOf } from "../../src/faults.ts";
import type { Document, Mongo } from "../../src/storage/mongodb-connection.ts";
import { Reach } from "../../src/storage/mongodb-reach.ts";
import { FakeClock, settled } from "../support/fake-clock.ts";

const asMajority = (command: Document): boolean => JSON.stringify(command).includes("majorities");

/** Over a server whose answers to writes with a majority come when the test says so. */
async function createRig() {
  const majorities: PromiseWithResolvers<Document>[] = [];
  const answer = { ok: 1, n: 1, setName: "rs0", cursor: { firstBatch: [] } };
  const mongo: Mongo = {
    run(command) {
      if (!asMajority(command)) return Promise.resolve(answer);
      const asked = Promise.withResolvers<Document>();
      majorities.push(asked);
      return asked.promise;
    },
    find: () => Promise.resolve([{ number: 1 }]),
    aggregate: () => Promise.resolve([]),
    transaction: () => Promise.reject(new Error("not asked for")),
    reset: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  const log = { info: () => {}, error: () => {} };
  const clock = new FakeClock();
  const reach = new Reach({
    mongo,
    database: "test",
    clock,
    indexesMaxMs: 1_000,
    log,
    probeMs: 600_000,
    watch: undefined,
  });
  await reach.open();
  const loseAnswer = () =>
    reach
      .ask("users", "write", "change", () => Promise.reject(new MongoNetworkError("closed")))
      .catch((error: unknown) => faultOf(error)?.effect);
  const read = () => reach.ask("users", "read", "read", () => reach.find({ filter: {}, limit: 1 }));
  return { reach, majorities, answer, loseAnswer, read };
}

test("reads nothing after a write without an answer before a later one has reached a majority", async () => {
  const { reach, majorities, answer, loseAnswer, read } = await createRig();
  expect(await loseAnswer()).toBe("unknown");
  const first = read();
  await settled();
  expect(majorities.length).toBe(1);
  // Behind the write with a majority that is on its way: this one says nothing of it.
  expect(await loseAnswer()).toBe("unknown");
  majorities[0]?.resolve(answer);
  await settled();
  const second = read();
  await settled();
  expect(majorities.length).toBe(2);
  majorities[1]?.resolve(answer);
  expect((await Promise.all([first, second])).map((found) => found.length)).toEqual([1, 1]);
  await read();
  expect(majorities.length).toBe(2);
  await reach.stop();
});

test("says of no read that it may have done something, however it ended", async () => {
  const { reach } = await createRig();
  const errors = [new MongoNetworkError("closed"), new Fault("unavailable", "no answer", { effect: "unknown" })];
  for (const error of errors) {
    const fault = await reach.ask("users", "read", "read", () => Promise.reject(error)).catch(faultOf);
    expect(fault).toMatchObject({ code: "unavailable", effect: "not_done" });
  }
  await reach.stop();
});
