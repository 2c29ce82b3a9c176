/** What Prometheus reads. Longer than other files because each metric has its test. */
import { afterEach, expect, test } from "bun:test";
import type { Update } from "../../src/ids.ts";
import type { LeaseMeasure } from "../../src/ops/fleet-metrics.ts";
import type { CacheStatus } from "../../src/ops/cache-metrics.ts";
import type { CallStatus } from "../../src/ops/call-gauges.ts";
import { createMetrics, type Metrics } from "../../src/ops/metrics.ts";
import type { Status } from "../../src/ops/status.ts";
import { readExposition } from "../support/exposition.ts";
import { statusOf } from "./fixtures/status.ts";

const now = (): number => 1_800_000_000_000;
const update = { update_id: 1, message: { date: 1_799_999_998 } } as Update;

const made: Metrics[] = [];
afterEach(() => {
  for (const metrics of made.splice(0)) metrics.stop();
});

function metricsOf(status: Partial<Status> = {}, histograms = true, calls?: CallStatus): Metrics {
  const source = { status: () => statusOf(status) };
  const metrics = createMetrics({
    slowMs: 100,
    version: "1.2.3",
    source,
    calls: () => calls,
    cache: () => undefined,
    leases: () => undefined,
    histograms,
    now,
  });
  made.push(metrics);
  return metrics;
}

/** Value of one series; undefined where it is absent. */
async function valueOf(metrics: Metrics, series: string): Promise<number | undefined> {
  const line = (await metrics.text()).split("\n").find((candidate) => candidate.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}

test("what happened to a bot's updates is counted under its name", async () => {
  const metrics = metricsOf();
  const shop = metrics.bot("shop");
  shop.appended({ stored: 3, known: 1, malformed: 0 }, 3);
  shop.appended({ stored: 2, known: 0, malformed: 1 }, 3);
  shop.attempt("done", 5, 10, update);
  shop.attempt("retry", 5, 10, update);
  shop.attempt("dead", 5, 10, update);
  shop.attempt("undeliverable", 5, 10, update);
  shop.attempt("expired", 0, 40_000, update);
  for (const why of ["outage", "outage", "kept"] as const) shop.attempt(why, 5, 10, update);
  shop.polled("updates");
  shop.polled("updates");
  shop.appendFailed();
  metrics.bot("other").appended({ stored: 7, known: 0, malformed: 0 }, 3);
  expect(await valueOf(metrics, 'botfleet_updates_received_total{bot="shop"}')).toBe(5);
  expect(await valueOf(metrics, 'botfleet_updates_duplicate_total{bot="shop"}')).toBe(1);
  for (const end of ["handled", "undeliverable", "retried", "dead", "expired", "malformed"]) {
    expect([end, await valueOf(metrics, `botfleet_updates_${end}_total{bot="shop"}`)]).toEqual([end, 1]);
  }
  expect(await valueOf(metrics, 'botfleet_updates_postponed_total{bot="shop",why="outage"}')).toBe(2);
  expect(await valueOf(metrics, 'botfleet_updates_postponed_total{bot="shop",why="kept"}')).toBe(1);
  expect(await valueOf(metrics, 'botfleet_polls_total{bot="shop",outcome="updates"}')).toBe(2);
  expect(await valueOf(metrics, 'botfleet_append_failures_total{bot="shop"}')).toBe(1);
  expect(await valueOf(metrics, 'botfleet_updates_received_total{bot="other"}')).toBe(7);
});

test("what a module counts is shown by its own words: the first 50 of a bot, and the rest together", async () => {
  const metrics = metricsOf();
  const shop = metrics.bot("shop");
  for (const event of ["bought", "bought", "with space", "__proto__", "A", "", "x".repeat(41)]) shop.happened(event);
  for (let at = 0; at < 100; at++) shop.happened(`word_${at}`);
  const count = (event: string) => valueOf(metrics, `botfleet_bot_events_total{bot="shop",event="${event}"}`);
  expect([await count("bought"), await count("word_47"), await count("word_48")]).toEqual([2, 1, undefined]);
  expect(await count("other")).toBe(5 + 52);
});

test("what happened beyond a single bot is counted once for all", async () => {
  const metrics = metricsOf();
  metrics.retried("flood");
  metrics.remembered();
  metrics.flushed(40, 3);
  metrics.flushed(2, 700);
  expect(await valueOf(metrics, 'botfleet_api_retries_total{why="flood"}')).toBe(1);
  expect(await valueOf(metrics, "botfleet_sends_remembered_total")).toBe(1);
  expect(await valueOf(metrics, "botfleet_inbox_writes_total")).toBe(42);
  expect(await valueOf(metrics, 'botfleet_inbox_flush_seconds_bucket{le="0.005"}')).toBe(1);
  expect(await valueOf(metrics, "botfleet_inbox_flush_seconds_count")).toBe(2);
});

test("429s are counted for each bot by whom they meant, those of its polls among them", async () => {
  const metrics = metricsOf();
  const shop = metrics.bot("shop");
  shop.tooMany("chat");
  shop.tooMany("chat");
  shop.tooMany("bot");
  shop.polled("flood");
  const refused = (whom: string) => valueOf(metrics, `botfleet_api_too_many_requests_total{bot="shop",whom="${whom}"}`);
  expect([await refused("chat"), await refused("bot"), await refused("poll")]).toEqual([2, 1, 1]);
  expect(await refused("method")).toBeUndefined();
});

test("waits in flood control are told by kind and reason, and what waits and is connected by the state of the moment", async () => {
  const flood = { waitingReplies: 3, waitingBroadcasts: 1, waitingChats: 2, knownChats: 9 };
  const connections = { open: 6, dialing: 1, idle: 2, calls: 0, polls: 3, waiting: 0, opened: 40 };
  const metrics = metricsOf({}, true, { flood, connections });
  metrics.floodWaited("reply", "chat", 900);
  metrics.floodWaited("reply", "chat", 40_000);
  metrics.floodWaited("broadcast", "retry_after", 1);
  for (const [series, value] of [
    ['flood_wait_seconds_bucket{kind="reply",reason="chat",le="1"}', 1],
    ['flood_wait_seconds_count{kind="reply",reason="chat"}', 2],
    ['flood_wait_seconds_sum{kind="reply",reason="chat"}', 40.9],
    ['flood_wait_seconds_count{kind="broadcast",reason="retry_after"}', 1],
    ['flood_wait_seconds_count{kind="reply",reason="bot"}', undefined],
    ['flood_waiting_calls{kind="reply"}', 3],
    ['flood_waiting_calls{kind="broadcast"}', 1],
    ["flood_waiting_chats", 2],
    ["flood_known_chats", 9],
    ["transport_connections_opened_total", 40],
    ["transport_open_connections", 6],
    ["transport_idle_connections", 2],
  ] as const) {
    expect([series, await valueOf(metrics, `botfleet_${series}`)]).toEqual([series, value]);
  }
});

test("of connections that Bun's fetch keeps nothing is told", async () => {
  const flood = { waitingReplies: 0, waitingBroadcasts: 0, waitingChats: 0, knownChats: 0 };
  expect(await metricsOf({}, true, { flood, connections: undefined }).text()).not.toMatch(/^botfleet_transport/m);
});

test("tiers of users tell what they know and hold, and of a tier that there is not nothing is told", async () => {
  const memory = { hits: 70, misses: 30, evictions: 2, held: 10, bytes: 5_000 };
  const redis = {
    hits: 20,
    misses: 10,
    damaged: 1,
    failures: 3,
    doubts: 4,
    owed: 5,
    breaker: "open" as const,
    connections: 2,
    callsInFlight: 6,
    server: { keys: 9, bytes: 8, evictions: 7 },
  };
  const source = { status: () => statusOf() };
  let status: CacheStatus | undefined;
  const metrics = createMetrics({
    slowMs: 100,
    version: "1.2.3",
    source,
    calls: () => undefined,
    cache: () => status,
    leases: () => undefined,
    histograms: true,
    now,
  });
  made.push(metrics);
  expect(await metrics.text()).not.toMatch(/^botfleet_cache_(?!read)/m);
  status = { memory, redis: undefined };
  expect(await valueOf(metrics, 'botfleet_cache_hits_total{tier="memory"}')).toBe(70);
  expect(await metrics.text()).not.toContain('"redis"');
  expect(await metrics.text()).not.toMatch(/^botfleet_cache_breaker_open/m);
  status = { memory, redis };
  metrics.tierAsked("redis", 3);
  for (const [series, value] of [
    ['hits_total{tier="redis"}', 20],
    ['misses_total{tier="redis"}', 10],
    ['misses_total{tier="memory"}', 30],
    ['evictions_total{tier="memory"}', 2],
    ['evictions_total{tier="redis"}', 7],
    ['entries{tier="memory"}', 10],
    ['entries{tier="redis"}', 9],
    ['bytes{tier="memory"}', 5_000],
    ['bytes{tier="redis"}', 8],
    ["breaker_open", 1],
    ["failures_total", 3],
    ["doubts_total", 4],
    ["damaged_total", 1],
    ["owed_users", 5],
    ["connections", 2],
    ["calls_in_flight", 6],
    ['read_seconds_bucket{tier="redis",le="0.002"}', 0],
    ['read_seconds_count{tier="redis"}', 1],
  ] as const) {
    expect([series, await valueOf(metrics, `botfleet_cache_${series}`)]).toEqual([series, value]);
  }
});

test("a scrape changes no count, and the same name gives the same counts", async () => {
  const metrics = metricsOf();
  metrics.bot("shop").appended({ stored: 1, known: 0, malformed: 0 }, 3);
  await metrics.text();
  metrics.bot("shop").appended({ stored: 1, known: 0, malformed: 0 }, 3);
  metrics.called("sendMessage", "ok", 5);
  await metrics.text();
  expect(await valueOf(metrics, 'botfleet_updates_received_total{bot="shop"}')).toBe(2);
  expect(await valueOf(metrics, 'botfleet_api_calls_total{method="sendMessage",outcome="ok"}')).toBe(1);
});

test("a percentile up to a minute can be read from the histograms", async () => {
  const metrics = metricsOf();
  const shop = metrics.bot("shop");
  for (let count = 0; count < 98; count++) shop.attempt("done", 4, 4, update);
  shop.attempt("done", 29_000, 59_000, update);
  shop.attempt("dead", 31_000, 61_000, update);
  const below = (name: string, bound: string) => valueOf(metrics, `botfleet_${name}_bucket{le="${bound}"}`);
  expect([await below("handler_seconds", "0.0025"), await below("handler_seconds", "0.005")]).toEqual([0, 98]);
  expect([await below("handler_seconds", "30"), await below("handler_seconds", "45")]).toEqual([99, 100]);
  expect([await below("update_seconds", "60"), await below("update_seconds", "120")]).toEqual([99, 100]);
  expect(await valueOf(metrics, "botfleet_update_seconds_count")).toBe(100);
});

test("an attempt that will be repeated is no end of its update", async () => {
  const metrics = metricsOf();
  metrics.bot("shop").attempt("retry", 5, 10, update);
  metrics.bot("shop").attempt("outage", 5, 10, update);
  expect(await valueOf(metrics, "botfleet_handler_seconds_count")).toBe(2);
  expect(await valueOf(metrics, "botfleet_update_seconds_count")).toBe(0);
});

test("without histograms everything else is still counted", async () => {
  const metrics = metricsOf({}, false);
  metrics.bot("shop").attempt("done", 5, 10, update);
  metrics.flushed(4, 2);
  const text = await metrics.text();
  expect(text).not.toContain("_bucket");
  expect(text).toContain('botfleet_updates_handled_total{bot="shop"} 1');
  expect(text).toContain("botfleet_inbox_writes_total 4");
});

test("methods are counted by name only where they have the form of one, and at most 200 of them", async () => {
  const metrics = metricsOf();
  metrics.called('evil"} 1\nx{y="', "ok", 5);
  metrics.called("a".repeat(41), "ok", 5);
  metrics.called("", "refused", 5);
  for (let method = 0; method < 1_000; method++)
    metrics.called(`m${"x".repeat(method % 30)}${nameOf(method)}`, "ok", 5);
  const text = await metrics.text();
  expect(text).not.toContain("evil");
  const methods = new Set([...text.matchAll(/api_calls_total\{method="(\w+)"/g)].map((match) => match[1]));
  expect(methods.size).toBeLessThanOrEqual(201);
  const total = [...text.matchAll(/^botfleet_api_calls_total\{[^}]*\} (\d+)$/gm)].reduce(
    (sum, match) => sum + Number(match[1]),
    0,
  );
  expect(total).toBe(1_003);
});

function nameOf(index: number): string {
  return String(index).replace(/\d/g, (digit) => "abcdefghij".charAt(Number(digit)));
}

test("what waits and what is at work comes from the status of the moment", async () => {
  let backlog = 3;
  let state: "ok" | "failing" = "ok";
  const metrics = createMetrics({
    slowMs: 100,
    version: "1.2.3",
    histograms: true,
    calls: () => undefined,
    cache: () => undefined,
    leases: () => undefined,
    now,
    source: {
      status: () =>
        statusOf({
          bots: [{ name: "shop", id: 1, state: "full", since: 0, backlog }],
          inbox: { state, deadLetters: 2 },
          pipeline: { inWork: 4, waiting: 5 },
        }),
    },
  });
  made.push(metrics);
  await metrics.text();
  backlog = 9;
  state = "failing";
  const text = await metrics.text();
  for (const line of [
    'botfleet_backlog_updates{bot="shop"} 9',
    'botfleet_bot_state{bot="shop",state="full"} 1',
    "botfleet_handlers_in_work 4",
    "botfleet_handlers_waiting 5",
    "botfleet_dead_letters 2",
    'botfleet_inbox_state{state="failing"} 1',
  ]) {
    expect(text.split("\n")).toContain(line);
  }
  expect(text).not.toContain('state="ok"');
});

test("the process reports memory, CPU, event loop, files and what it is", async () => {
  const metrics = metricsOf();
  expect(await valueOf(metrics, "botfleet_process_resident_memory_bytes")).toBeGreaterThan(1_000_000);
  expect(await valueOf(metrics, "botfleet_process_cpu_seconds_total")).toBeGreaterThan(0);
  expect(await valueOf(metrics, 'botfleet_event_loop_delay_seconds{quantile="0.99"}')).toBeGreaterThanOrEqual(0);
  expect(await valueOf(metrics, `botfleet_build_info{version="1.2.3",bun="${Bun.version}"}`)).toBe(1);
  if (process.platform === "linux") expect(await valueOf(metrics, "botfleet_process_open_fds")).toBeGreaterThan(2);
});

test("the text is read by a strict reader of the format, whatever a bot is called", async () => {
  const flood = { waitingReplies: 0, waitingBroadcasts: 0, waitingChats: 0, knownChats: 0 };
  const connections = { open: 6, dialing: 1, idle: 2, calls: 0, polls: 3, waiting: 0, opened: 40 };
  const bots = [
    { name: 'a"b\\c\nd', id: 1, state: "polling" as const, since: 0, backlog: 1, oldestReceivedAt: now() - 90_000 },
  ];
  const metrics = metricsOf({ bots }, true, { flood, connections });
  const odd = metrics.bot('a"b\\c\nd');
  odd.appended({ stored: 1, known: 0, malformed: 0 }, 3);
  odd.attempt("done", 5, 10, update);
  odd.polled("updates");
  odd.tooMany("method");
  metrics.called("getMe", "ok", 70_000);
  metrics.retried("flood");
  metrics.floodWaited("broadcast", "bot", 400_000);
  metrics.flushed(1, 1);
  const families = readExposition(await metrics.text());
  expect([...families.keys()].filter((name) => !name.startsWith("botfleet_"))).toEqual([]);
  const [age] = families.get("botfleet_oldest_update_age_seconds")?.samples ?? [];
  expect(age).toMatchObject({ labels: { bot: 'a\\"b\\\\c\\nd' }, value: 90 });
});

test("the time since its date is counted of an update that has one, and never below 0", async () => {
  const metrics = metricsOf();
  const shop = metrics.bot("shop");
  const at = now() / 1_000;
  const dated = [{ date: at - 2 }, { date: at - 400, edit_date: at - 40 }, { date: at + 60 }];
  for (const message of dated) shop.attempt("done", 1, 1, { update_id: 1, edited_message: message } as Update);
  for (const date of [undefined, 0, -5, 1.5, Infinity, "today"]) {
    shop.attempt("done", 1, 1, { update_id: 1, message: { date } } as unknown as Update);
  }
  shop.attempt("done", 1, 1, { update_id: 1, business_connection: { date: at - 9 } } as Update);
  shop.attempt("done", 1, 1, { update_id: 1, callback_query: { message: { date: at - 9 } } } as Update);
  shop.attempt("retry", 1, 1, update);
  expect(await valueOf(metrics, "botfleet_update_since_date_seconds_count")).toBe(3);
  expect(await valueOf(metrics, "botfleet_update_since_date_seconds_sum")).toBe(42);
});

test("what the fleet looks like is shown where there is one, and nothing of it where there is none", async () => {
  let status = statusOf();
  const seen: { leases: LeaseMeasure | undefined } = { leases: undefined };
  const metrics = createMetrics({
    slowMs: 100,
    version: "1.2.3",
    source: { status: () => status },
    calls: () => undefined,
    cache: () => undefined,
    leases: () => seen.leases,
    histograms: true,
    now: Date.now,
  });
  const samples = async (): Promise<readonly string[]> =>
    (await metrics.text())
      .split("\n")
      .filter((line) => /^botfleet_(?:lease|instances|bots_owned|partition)/.test(line));
  expect(await samples()).toEqual([]);
  const instance = { host: "a", version: "1.2.3", startedAt: 1, ready: true };
  status = statusOf({
    fleet: {
      self: "one",
      instances: [
        { ...instance, id: "one", state: "running", bots: 2, partitions: 3 },
        { ...instance, id: "two", state: "running", bots: 1, partitions: 1 },
        { ...instance, id: "old", state: "gone", bots: 0, partitions: 0 },
      ],
      partitions: [{ number: 0, owner: "one", epoch: 4, backlog: 7 }, { number: 1 }],
    },
  });
  seen.leases = { taken: 5, given: 1, lost: 0, lapses: 2 };
  expect(await samples()).toEqual([
    'botfleet_lease_changes_total{what="taken"} 5',
    'botfleet_lease_changes_total{what="given"} 1',
    'botfleet_lease_changes_total{what="lost"} 0',
    'botfleet_lease_changes_total{what="lapses"} 2',
    'botfleet_instances{state="running"} 2',
    'botfleet_instances{state="gone"} 1',
    "botfleet_bots_owned 2",
    "botfleet_partitions_owned 3",
    'botfleet_partition_backlog_updates{partition="0"} 7',
  ]);
  metrics.stop();
});
