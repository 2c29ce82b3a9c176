/** The metrics of a whole botfleet against what the simulated Telegram and the test know: each event is counted exactly once. */
import { expect, test } from "bun:test";
import { join } from "node:path";
import { isIdle, until } from "../chaos/rig.ts";
import type { BotfleetProcess } from "../support/botfleet-process.ts";
import { type Family, readExposition } from "../support/exposition.ts";
import { createStage, type Stage } from "./stage.ts";

const module = join(import.meta.dir, "fixtures", "talkative.ts");
const limits = { engine: "off" };
const bots = [
  { name: "shop", module, limits },
  { name: "quiet", module, limits },
];

type Families = ReadonlyMap<string, Family>;

/** The value of the one series with these labels; undefined where there is none. Of a histogram the number of its observations. */
function value(families: Families, name: string, labels: Readonly<Record<string, string>> = {}): number | undefined {
  const family = families.get(`botfleet_${name}`);
  const sample = family?.type === "histogram" ? `botfleet_${name}_count` : `botfleet_${name}`;
  return family?.samples.find((one) => one.name === sample && Bun.deepEquals(one.labels, labels))?.value;
}

function sum(families: Families, name: string): number {
  return (families.get(`botfleet_${name}`)?.samples ?? []).reduce((total, sample) => total + sample.value, 0);
}

async function scrape(process: BotfleetProcess): Promise<Families> {
  return readExposition((await process.page("/metrics")).text);
}

/** Polls that Telegram has answered; the one that waits is not over. */
function pollsOver({ simulator: { api, botIds } }: Stage): readonly number[] {
  return botIds.map((bot) => (api.journal.calls(bot).get("getUpdates") ?? 0) - (api.bot(bot).poll.waiting ? 1 : 0));
}

async function playAll(stage: Stage): Promise<void> {
  const { api, botIds } = stage.simulator;
  const shop = botIds[0] ?? 0;
  const { updateId } = api.people.person(1).say(shop, "hello");
  for (const person of [2, 3, 4]) api.people.person(person).say(shop, "hello");
  api.people.person(5).say(shop, "fails once");
  api.people.person(6).say(shop, "fails once as well");
  // Telegram refuses the sixth answer in a row.
  api.people.person(7).say(shop, "six");
  api.people.refuse(shop, 8, "blocked");
  api.people.deliver(shop, { message: messageOf(8, "anybody there?") });
  api.people.deliver(shop, { update_id: updateId, message: messageOf(1, "hello") });
  // An update without a date.
  api.people.deliver(shop, { poll: { id: "1", question: "?", options: [] } });
  await until("all answers", () => api.journal.counts().sendsOk === 4 + 2 + 6);
}

function messageOf(person: number, text: string): object {
  const from = { id: person, first_name: "Ann" };
  return {
    message_id: 900 + person,
    date: Math.floor(Date.now() / 1_000),
    chat: { ...from, type: "private" },
    from,
    text,
  };
}

test("every update, attempt, call, poll and 429 is counted once, under its bot", async () => {
  await using stage = await createStage(bots, { limits: { chatPerSecond: 1, chatBurst: 5 } });
  const { journal } = stage.simulator.api;
  journal.full = true;
  await using process = await stage.spawn().started;
  await playAll(stage);
  await until("nothing waits", () => isIdle(stage, process));
  const refusals = journal.entries.filter((entry) => entry.type === "send" && entry.outcome === 429).length;
  expect(refusals).toBeGreaterThan(0);

  // A poll may end between the scrape and the look at Telegram's own count.
  let families: Families = new Map();
  const polls = (): readonly number[] =>
    bots.map(({ name }) => {
      const all = families.get("botfleet_polls_total")?.samples ?? [];
      return all.reduce((total, sample) => total + (sample.labels["bot"] === name ? sample.value : 0), 0);
    });
  await until("the polls counted", async () => {
    families = await scrape(process);
    return Bun.deepEquals(polls(), pollsOver(stage));
  });

  const of = (bot: string) => (name: string) => [name, value(families, `updates_${name}_total`, { bot })] as const;
  const names = ["received", "duplicate", "malformed", "handled", "undeliverable", "retried", "dead", "expired"];
  expect(Object.fromEntries(names.map(of("shop")))).toEqual({
    received: 9,
    duplicate: 1,
    malformed: 0,
    handled: 8,
    undeliverable: 1,
    retried: 2,
    dead: 0,
    expired: 0,
  });
  expect(Object.fromEntries(names.map(of("quiet")))).toEqual(Object.fromEntries(names.map((name) => [name, 0])));
  expect(families.get("botfleet_updates_postponed_total")?.samples).toEqual([]);

  const call = (outcome: string) => value(families, "api_calls_total", { method: "sendMessage", outcome });
  expect([call("ok"), call("refused"), sum(families, "api_calls_total")]).toEqual([12, 1, 13]);
  const sent = journal.calls(stage.botId(0)).get("sendMessage") ?? 0;
  expect(sum(families, "api_calls_total") + sum(families, "api_retries_total")).toBe(sent);
  expect(families.get("botfleet_api_too_many_requests_total")?.samples).toEqual([
    { name: "botfleet_api_too_many_requests_total", labels: { bot: "shop", whom: "chat" }, value: refusals },
  ]);

  expect({
    handler: value(families, "handler_seconds"),
    update: value(families, "update_seconds"),
    sinceDate: value(families, "update_since_date_seconds"),
    call: value(families, "api_call_seconds"),
    wait: value(families, "flood_wait_seconds", { kind: "reply", reason: "retry_after" }),
    append: value(families, "inbox_append_seconds"),
  }).toEqual({
    handler: 11,
    update: 9,
    sinceDate: 8,
    call: 13,
    wait: refusals,
    append: value(families, "polls_total", { bot: "shop", outcome: "updates" }),
  });
  expect(value(families, "inbox_flush_seconds")).toBeGreaterThan(0);

  for (const { name: bot } of bots) {
    expect(value(families, "backlog_updates", { bot })).toBe(0);
    expect(value(families, "oldest_update_age_seconds", { bot })).toBe(0);
  }
  const polledAt = value(families, "last_poll_timestamp_seconds", { bot: "shop" }) ?? 0;
  expect(Math.abs(polledAt - Date.now() / 1_000)).toBeLessThan(60);
  const open = value(families, "transport_open_connections") ?? 0;
  expect(open).toBeGreaterThanOrEqual(bots.length);
  expect(value(families, "transport_connections_opened_total")).toBeGreaterThanOrEqual(open);
  expect(value(families, "transport_idle_connections")).toBeLessThanOrEqual(open);
}, 60_000);
