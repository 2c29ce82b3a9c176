/** `bun run start` with the limits that a bot has where nobody sets any, before a Telegram that enforces its own. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { until } from "../chaos/rig.ts";
import { createStage } from "./stage.ts";

const module = join(import.meta.dir, "fixtures", "talkative.ts");
/** One more than botfleet sends at once: on its way a message may be overtaken by the clock, but not by a second. */
const telegram = { chatPerSecond: 1, chatBurst: 6 };
const crowd = [11, 12, 13, 14, 15];

test("with default limits ten answers to one chat are paced so that Telegram refuses none, and other chats do not wait", async () => {
  await using stage = await createStage([{ name: "talkative", module, limits: {} }], { limits: telegram });
  const { api, botIds } = stage.simulator;
  const bot = botIds[0] ?? 0;
  api.journal.full = true;
  await using process = await stage.spawn().started;
  const sends = () => api.journal.entries.filter((entry) => entry.type === "send");
  const to = (chat: number) => sends().filter((entry) => entry.chat === chat);

  api.people.person(7).say(bot, "ten");
  await until("the first answers", () => to(7).length >= 5);
  for (const person of crowd) api.people.person(person).say(bot, "hello");
  await until("every answer", () => sends().length === 10 + crowd.length);

  expect(sends().filter(({ outcome }) => outcome !== 200)).toEqual([]);
  expect(to(7).map(({ text }) => text)).toEqual(Array.from({ length: 10 }, (_, at) => `ten ${at + 1}`));
  // Five at once, one each second from then on: the tenth comes after 5 s.
  expect((to(7).at(-1)?.at ?? 0) - (to(7)[0]?.at ?? 0)).toBeGreaterThan(4_000);
  expect(sends().at(-1)).toMatchObject({ chat: 7, text: "ten 10" });
  const { text } = await process.page("/metrics");
  expect(text).toContain('botfleet_flood_wait_seconds_count{kind="reply",reason="chat"} 5\n');
  expect(text).toContain('botfleet_flood_waiting_calls{kind="reply"} 0\n');
  expect(text).not.toContain("botfleet_api_too_many_requests_total{");
}, 60_000);
