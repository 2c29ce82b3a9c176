import { expect, test } from "bun:test";
import { join } from "node:path";
import { createLineOutput, type WriteBytes } from "../../src/ops/lines.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { systemClock } from "../../src/clock.ts";

type Done = Parameters<WriteBytes>[2];

/** A descriptor that answers a write only when the test says so. */
function heldDescriptor() {
  const writes: { text: string; done: Done }[] = [];
  const writeBytes: WriteBytes = (_, bytes, done) => writes.push({ text: new TextDecoder().decode(bytes), done });
  return { writes, writeBytes };
}

const options = {
  descriptor: 1,
  bufferMaxChars: 20,
  droppedLine: (count: number) => `${count} dropped\n`,
  clock: systemClock,
};

test("lines that arrive during a write share the next one", () => {
  const { writes, writeBytes } = heldDescriptor();
  const output = createLineOutput({ ...options, writeBytes });
  output.write("a\n");
  output.write("b\n");
  output.write("c\n");
  expect(writes.map(({ text }) => text)).toEqual(["a\n"]);
  writes[0]?.done(null, 2);
  expect(writes.map(({ text }) => text)).toEqual(["a\n", "b\nc\n"]);
});

test("lines beyond the buffer are dropped, and their number is told once the reader reads again", () => {
  const { writes, writeBytes } = heldDescriptor();
  const output = createLineOutput({ ...options, writeBytes });
  for (let line = 0; line < 10; line++) output.write("12345678\n");
  writes[0]?.done(null, 9);
  expect(writes[1]?.text).toBe("12345678\n12345678\n7 dropped\n");
});

test("what a write left over is written next, no byte twice and none lost", () => {
  const { writes, writeBytes } = heldDescriptor();
  const output = createLineOutput({ ...options, writeBytes });
  output.write("äöü\n");
  output.write("next\n");
  writes[0]?.done(null, 2);
  expect(writes[1]?.text).toBe("öü\n");
  writes[1]?.done(null, 5);
  expect(writes[2]?.text).toBe("next\n");
});

test("`flushed` resolves when everything taken is written, also when the reader is gone", async () => {
  const { writes, writeBytes } = heldDescriptor();
  const output = createLineOutput({ ...options, writeBytes });
  await output.flushed();
  output.write("a\n");
  output.write("b\n");
  const flushed = output.flushed().then(() => "flushed");
  writes[0]?.done({ code: "EPIPE" }, 0);
  expect(await Promise.race([flushed, Promise.resolve("open")])).toBe("open");
  writes[1]?.done({ code: "EPIPE" }, 0);
  expect(await flushed).toBe("flushed");
});

test("a descriptor that takes nothing just now is tried again, and nothing is lost", async () => {
  const { writes, writeBytes } = heldDescriptor();
  const clock = new FakeClock();
  const output = createLineOutput({ ...options, writeBytes, clock });
  output.write("a\n");
  writes[0]?.done({ code: "EAGAIN" }, 0);
  output.write("b\n");
  expect(writes).toHaveLength(1);
  await clock.advance(20);
  writes[1]?.done(null, 2);
  expect(writes.map(({ text }) => text)).toEqual(["a\n", "a\n", "b\n"]);
});

const program = join(import.meta.dir, "fixtures/lines-program.ts");

test("a process whose reader closed its pipe goes on and ends as it wanted", async () => {
  const child = Bun.spawn(["bash", "-c", `"${process.execPath}" "${program}" steps | head -n 1`], {
    stderr: "pipe",
    stdout: "pipe",
  });
  expect(await child.stdout.text()).toBe("line 0\n");
  expect(await child.stderr.text()).toBe("went on to the end\n");
});

test("a process whose reader stands still is held up neither while running nor at its end", async () => {
  const child = Bun.spawn(["bash", "-c", `"${process.execPath}" "${program}" flood | sleep 5`], {
    stderr: "pipe",
    stdout: "ignore",
  });
  const first = await child.stderr.getReader().read();
  expect(new TextDecoder().decode(first.value)).toBe("exiting\n");
  child.kill();
});
