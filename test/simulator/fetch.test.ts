import { expect, test } from "bun:test";
import { createFetch } from "../../src/simulator/fetch.ts";
import { settled } from "../support/fake-clock.ts";
import { core, watched } from "./core.ts";

function fetching(options: Parameters<typeof createFetch>[1] = {}) {
  const sim = core();
  const fetch = createFetch(sim.api, options);
  const url = (method: string): string => `http://telegram.test/bot${sim.api.bot(sim.bot).token}/${method}`;
  const post = (method: string, payload: object, signal?: AbortSignal): Promise<Response> =>
    fetch(url(method), { method: "POST", body: JSON.stringify(payload), ...(signal === undefined ? {} : { signal }) });
  return { ...sim, fetch, url, post };
}

test("calls are answered like those of fetch, with JSON, form and FormData bodies", async () => {
  const { say, post, fetch, url } = fetching();
  say("hi");
  const answer = await post("sendMessage", { chat_id: 7, text: "ü" });
  expect([answer.ok, answer.status, answer.headers.get("content-type")]).toEqual([true, 200, "application/json"]);
  expect(Number(answer.headers.get("content-length"))).toBe(Buffer.byteLength(await answer.text()));
  const form = new FormData();
  form.set("chat_id", "7");
  form.set("photo", new File(["abc"], "a.jpg"));
  for (const body of ["chat_id=7&text=b", new URLSearchParams({ chat_id: "7", text: "c" })]) {
    expect((await fetch(url("sendMessage"), { method: "POST", body })).status).toBe(200);
  }
  expect((await fetch(url("sendPhoto"), { method: "POST", body: form })).status).toBe(200);
  expect((await fetch("http://telegram.test/bot1:x/getMe")).status).toBe(401);
});

test("broken connections reject as those of Bun's fetch do", async () => {
  const { post, api } = fetching();
  const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
    promise.then(
      () => "answered",
      (error: { code?: string }) => error.code,
    );
  api.faults.add({ kind: "reset", times: 1 });
  expect(await codeOf(post("getMe", {}))).toBe("ECONNRESET");
  api.faults.add({ kind: "refused", times: 1 });
  expect(await codeOf(post("getMe", {}))).toBe("ECONNREFUSED");
  api.faults.add({ kind: "truncated", times: 1 });
  const cut = await post("getMe", {});
  expect([cut.status, await codeOf(cut.text()), await codeOf(cut.json())]).toEqual([200, "ECONNRESET", "ECONNRESET"]);
});

test("a call that hangs ends with its signal's reason, and a poll that is aborted leaves", async () => {
  const { post, api, bot } = fetching();
  api.faults.add({ kind: "hang", method: "getMe" });
  for (const method of ["getMe", "getUpdates"]) {
    const controller = new AbortController();
    const reason = new Error("given up");
    const call = watched(post(method, { timeout: 30 }, controller.signal).catch((error: unknown) => error));
    await settled();
    expect(call.done).toBe(false);
    controller.abort(reason);
    await settled();
    expect(call.value).toBe(reason as unknown as Response);
  }
  expect(api.bot(bot).poll.waiting).toBe(false);
});

test("request and answer each take their way", async () => {
  const { post, clock, api, bot, say } = fetching({ wayMs: 25 });
  say("hi");
  const call = watched(post("sendMessage", { chat_id: 7, text: "x" }));
  await clock.advance(24);
  expect(api.journal.counts(bot).sends).toBe(0);
  await clock.advance(1);
  expect([call.done, api.journal.counts(bot).sends]).toEqual([false, 1]);
  await clock.advance(25);
  expect(call.done).toBe(true);
});

test("a call aborted on its way has no effect, one aborted later has", async () => {
  const { post, clock, api, bot, say } = fetching({ wayMs: 25 });
  say("hi");
  for (const afterMs of [10, 30]) {
    const controller = new AbortController();
    const call = watched(post("sendMessage", { chat_id: 7, text: "x" }, controller.signal).catch(() => undefined));
    await clock.advance(afterMs);
    controller.abort();
    await clock.advance(100);
    expect(call.done).toBe(true);
  }
  expect(api.journal.counts(bot).sends).toBe(1);
});

test("the same seed gives the same course", async () => {
  const run = async (): Promise<string> => {
    const { api, bot, clock, post } = fetching();
    api.faults.add({ kind: "500", probability: 0.3 });
    const seen: string[] = [];
    for (let n = 0; n < 100; n++) {
      api.people.person(1 + (n % 3)).say(bot, `text ${n}`);
      void post("getUpdates", { timeout: 1, offset: 100 + n }).then(async (answer) => seen.push(await answer.text()));
      await clock.advance(n);
    }
    return seen.join("\n");
  };
  const first = await run();
  expect(first.length).toBeGreaterThan(1_000);
  expect(await run()).toBe(first);
});
