import { expect, test } from "bun:test";
import { startThread } from "../../src/sqlite/thread.ts";

test("a thread that dies is told to be broken before its calls end: whoever asked sees that it was no mistake of theirs", async () => {
  const thread = startThread(new URL("./fixtures/dying-worker.ts", import.meta.url), "the users");
  const told: string[] = [];
  void thread.broken.then((reason) => told.push(`broken: ${String(reason)}`));
  const asked = thread.ask("read").catch((error: unknown) => told.push(`ended: ${String(error)}`));
  await asked;
  expect(told).toHaveLength(2);
  for (const [place, word] of ["broken", "ended"].entries()) {
    expect(told[place]).toStartWith(`${word}: Error: the thread of the users failed`);
    expect(told[place]).toContain("out of luck");
  }
  expect(await thread.ask("read").catch(String)).toContain("out of luck");
  thread.end();
});
