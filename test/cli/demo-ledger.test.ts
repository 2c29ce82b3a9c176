import { expect, test } from "bun:test";
import { type Answer, Ledger } from "../../src/cli/demo-ledger.ts";
import { createBotApi } from "../../src/simulator/bot-api.ts";
import { FakeClock } from "../support/fake-clock.ts";

const crowd = 1_000_000;

/** A ledger over a simulated Telegram, and a bot that answers what the test makes it answer. */
function createRig(queueMaxUpdates = 100) {
  const clock = new FakeClock();
  const api = createBotApi({ clock, random: () => 0.5, anyChat: true, queueMaxUpdates });
  const { id, token } = api.addBot({ id: 7 });
  const answers: Answer[] = [];
  const ledger = new Ledger({ api, bot: id, firstCrowdChat: crowd, onAnswer: (answer) => answers.push(answer) });
  const answer = async (chat: number, text: string): Promise<void> => {
    await api.call(token, "sendMessage", { chat_id: chat, text });
  };
  return { clock, api, ledger, answers, answer };
}

test("typed words are counted like numbered ones: answered, doubled, and how long it took", async () => {
  const { clock, ledger, answers, answer } = createRig();
  ledger.say(1, "hello");
  await clock.advance(12);
  await answer(1, "hello");
  await answer(1, "hello");
  expect(ledger.report()).toMatchObject({ sent: 1, answered: 1, lost: 0, doubled: 1, reordered: 0 });
  expect(answers.map(({ afterMs, again }) => [afterMs, again])).toEqual([
    [12, false],
    [12, true],
  ]);
});

test("the same words said twice are two messages, and two answers are no double", async () => {
  const { ledger, answer } = createRig();
  ledger.say(1, "again");
  ledger.say(1, "again");
  await answer(1, "again");
  expect(ledger.report()).toMatchObject({ sent: 2, answered: 1, lost: 1, doubled: 0 });
  await answer(1, "again");
  expect(ledger.report()).toMatchObject({ sent: 2, answered: 2, lost: 0, doubled: 0 });
});

test("answers in the wrong order are seen, of people and of the crowd, and only within a chat", async () => {
  const { ledger, answer } = createRig();
  for (const text of ["one", "two"]) ledger.say(1, text);
  ledger.say(2, "one");
  await answer(1, "two");
  await answer(2, "one");
  expect(ledger.report().reordered).toBe(0);
  await answer(1, "one");
  expect(ledger.report().reordered).toBe(1);
  ledger.crowd(4, 2);
  for (const [chat, n] of [
    [0, 1],
    [1, 0],
    [0, 0],
  ] as const) {
    await answer(crowd + chat, `#${crowd + chat} ${n}`);
  }
  expect(ledger.report()).toMatchObject({ sent: 7, answered: 6, lost: 1, reordered: 2 });
});

test("what Telegram refuses or never heard of is no answer", async () => {
  const { api, ledger, answers, answer } = createRig();
  ledger.say(1, "hello");
  api.faults.add({ kind: "500", times: 1 });
  await answer(1, "hello");
  await answer(1, "left over from an earlier demo");
  expect(ledger.report()).toMatchObject({ sent: 1, answered: 0, lost: 1, doubled: 0 });
  expect(answers).toEqual([]);
});

test("a message that a full queue drops was never sent", () => {
  const { ledger } = createRig(3);
  expect(ledger.crowd(5, 2)).toBe(3);
  expect(ledger.say(1, "no room")).toBe(false);
  expect(ledger.report()).toMatchObject({ sent: 3, lost: 3 });
});
