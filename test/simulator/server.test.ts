import { afterAll, beforeAll, expect, test } from "bun:test";
import { Bot } from "grammy";
import { gzipSync } from "node:zlib";
import type { Simulator } from "../../src/simulator/server.ts";
import { startSimulator } from "../../src/simulator/server.ts";

let sim: Simulator;
let bot: number;
let token: string;

beforeAll(async () => {
  sim = await startSimulator({ bots: 2 });
  bot = sim.botIds[0]!;
  token = sim.tokens[0]!;
});

afterAll(() => sim.stop());

async function post(path: string, body: unknown): Promise<{ readonly status: number; readonly value: unknown }> {
  const answer = await fetch(`${sim.url}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: answer.status, value: await answer.json() };
}

/** Sends bytes over a socket of its own and resolves with everything that came until the other side closed (or `until` was there). */
function exchange(bytes: readonly (string | Buffer)[], until?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    void Bun.connect({
      hostname: "127.0.0.1",
      port: sim.port,
      socket: {
        async open(socket) {
          for (const part of bytes) {
            socket.write(part);
            socket.flush();
            await Bun.sleep(1);
          }
        },
        data(socket, data) {
          text += data.toString();
          if (until !== undefined && text.includes(until)) socket.terminate();
        },
        close: () => resolve(text),
        error: (_, error) => reject(error),
      },
    });
  });
}

const getMe = (more = ""): string => `GET /bot${token}/getMe HTTP/1.1\r\nHost: x\r\n${more}\r\n`;

test("a real grammY bot polls, answers, and is pressed", async () => {
  const grammy = new Bot(sim.tokens[1]!, { client: { apiRoot: sim.url } });
  grammy.on("message:text", (context) =>
    context.reply(context.msg.text, { reply_markup: { inline_keyboard: [[{ text: "Go", callback_data: "go" }]] } }),
  );
  grammy.on("callback_query:data", async (context) => {
    await context.answerCallbackQuery("ok");
    await context.editMessageText(`went ${context.callbackQuery.data}`);
  });
  const running = grammy.start({ timeout: 1 });
  const { people } = sim.api;
  people.person(70).say(sim.tokens[1]!, "hello ü");
  await people.waitForAnswer(sim.tokens[1]!, 70, ({ text }) => text === "hello ü");
  people.person(70).press(sim.tokens[1]!, "Go");
  await people.waitForAnswer(sim.tokens[1]!, 70, ({ text }) => text === "went go");
  await grammy.stop();
  await running;
});

test("bodies may be JSON, gzipped JSON, a form, multipart or a query", async () => {
  sim.api.people.person(71).say(bot, "hi");
  const url = `${sim.url}/bot${token}/sendMessage`;
  const form = new FormData();
  form.set("chat_id", "71");
  form.set("caption", "d ü");
  form.set("photo", new File([new Uint8Array(200_000)], "a b.jpg"));
  const json = { "content-type": "application/json" };
  const statuses = await Promise.all([
    fetch(url, { method: "POST", headers: json, body: '{"chat_id":71,"text":"a ü"}' }),
    fetch(url, {
      method: "POST",
      headers: { ...json, "content-encoding": "gzip" },
      body: gzipSync('{"chat_id":71,"text":"b"}'),
    }),
    fetch(url, { method: "POST", body: new URLSearchParams({ chat_id: "71", text: "c" }) }),
    fetch(`${sim.url}/bot${token}/sendPhoto`, { method: "POST", body: form }),
    fetch(`${url}?chat_id=71&text=e%20f`),
    fetch(url, { method: "POST", headers: json, body: "{" }),
  ]);
  expect(statuses.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 400]);
  const seen = sim.api.people.messages(bot, 71).map(({ text }) => text);
  expect(seen.toSorted()).toEqual(["a ü", "b", "c", "d ü", "e f", "hi"]);
});

test("a body of another type counts as none for bots and as JSON for the control routes", async () => {
  const body = JSON.stringify({ bot, chat_id: 71, person: 71, text: "x" });
  const request = { method: "POST", headers: { "content-type": "text/plain" }, body };
  const answer = await fetch(`${sim.url}/bot${token}/sendMessage`, request);
  expect(await answer.json()).toMatchObject({ description: "Bad Request: message text is empty" });
  expect((await fetch(`${sim.url}/simulator/say`, request)).status).toBe(200);
});

test("a chunked body is read, also in pieces and after 100 Continue", async () => {
  sim.api.people.person(72).say(bot, "hi");
  const body = '{"chat_id":72,"text":"ünits"}';
  const head = `POST /bot${token}/sendMessage HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n`;
  const bytes = Buffer.from(body);
  const chunk = (part: Buffer): Buffer =>
    Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from("\r\n")]);
  const chunks = [chunk(bytes.subarray(0, 24)), chunk(bytes.subarray(24)), "0\r\n\r\n"];
  const chunked = await exchange([`${head}Transfer-Encoding: chunked\r\n\r\n`, ...chunks], "ünits");
  expect(chunked).toStartWith("HTTP/1.1 200 OK\r\n");
  const expecting = `${head}Content-Length: ${bytes.length}\r\nExpect: 100-continue\r\n\r\n`;
  expect(await exchange([expecting, bytes], "ünits")).toStartWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
});

test("pipelined requests are answered in order, and Connection: close closes", async () => {
  const text = await exchange([getMe() + getMe().replace("getMe", "getNothing") + getMe("Connection: close\r\n")]);
  expect(text.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 404", "HTTP/1.1 200"]);
  expect(text.match(/Connection: [a-z-]+/g)).toEqual([
    "Connection: keep-alive",
    "Connection: keep-alive",
    "Connection: close",
  ]);
});

test("a request behind a late answer waits for it, one behind a hang is never answered", async () => {
  const { faults } = sim.api;
  const late = faults.add({ kind: "delay", method: "getMe", delayMs: 20, times: 1 });
  const close = getMe("Connection: close\r\n");
  const both = await exchange([getMe() + close.replace("getMe", "getMyCommands")]);
  late.remove();
  expect(both.indexOf('"is_bot"')).toBeGreaterThan(0);
  expect(both.indexOf('"result":[]')).toBeGreaterThan(both.indexOf('"is_bot"'));
  const hang = faults.add({ kind: "hang", method: "getMe", times: 1 });
  const before = sim.api.journal.calls(bot).get("getMyCommands");
  const silent = exchange([getMe() + close.replace("getMe", "getMyCommands")]);
  while (hang.struck === 0) await Bun.sleep(1);
  expect(await Promise.race([silent, Bun.sleep(50).then(() => "silence")])).toBe("silence");
  expect(sim.api.journal.calls(bot).get("getMyCommands")).toBe(before);
  hang.remove();
});

test("what is no HTTP gets an empty answer and the connection closes", async () => {
  expect(await exchange(["nonsense\r\n\r\n"])).toBe(
    "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
  );
  const huge = `POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n`;
  expect(await exchange([huge])).toStartWith("HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n");
});

test("a hang never answers, a reset destroys, a truncated answer ends in half of its body", async () => {
  const { faults } = sim.api;
  const hang = faults.add({ kind: "hang", method: "getMe" });
  const controller = new AbortController();
  const hanging = fetch(`${sim.url}/bot${token}/getMe`, { signal: controller.signal }).catch(
    (error: Error) => error.name,
  );
  while (hang.struck === 0) await Bun.sleep(1);
  expect(await Promise.race([hanging, Bun.sleep(50).then(() => "silence")])).toBe("silence");
  controller.abort();
  expect(await hanging).toBe("AbortError");
  hang.remove();
  const reset = faults.add({ kind: "reset", method: "getMe" });
  const [code] = await Promise.allSettled([fetch(`${sim.url}/bot${token}/getMe`)]);
  expect(code).toMatchObject({ status: "rejected", reason: { code: "ECONNRESET" } });
  expect(await exchange([getMe()])).toBe("");
  reset.remove();
  const truncated = faults.add({ kind: "truncated", method: "getMe", when: "after" });
  const cut = await exchange([getMe()]);
  truncated.remove();
  const whole = await exchange([getMe("Connection: close\r\n")]);
  const bodyOf = (text: string): string => text.slice(text.indexOf("\r\n\r\n") + 4);
  expect(bodyOf(whole)).toStartWith(bodyOf(cut));
  expect(bodyOf(cut).length).toBe(Math.floor(bodyOf(whole).length / 2));
  expect(/Content-Length: (\d+)/.exec(cut)?.[1]).toBe(String(bodyOf(whole).length));
});

test("a poll whose connection closes leaves", async () => {
  const quiet = sim.api.addBot({ id: 900 });
  const { poll } = quiet;
  const controller = new AbortController();
  const polling = fetch(`${sim.url}/bot${quiet.token}/getUpdates?timeout=50`, { signal: controller.signal });
  polling.catch(() => undefined);
  while (!poll.waiting) await Bun.sleep(1);
  controller.abort();
  while (poll.waiting) await Bun.sleep(1);
  expect(poll.conflicts).toBe(0);
});

test("a batch of 4 MiB goes over the wire whole", async () => {
  const other = await startSimulator();
  for (let at = 0; at < 60; at++) other.api.people.person(1).say(other.botIds[0]!, "ü".repeat(40_000));
  const answer = await fetch(`${other.url}/bot${other.tokens[0]}/getUpdates`);
  const { result } = (await answer.json()) as { readonly result: readonly unknown[] };
  expect(result.length).toBe(52);
  await other.stop();
});

test("a paused simulator refuses connections and breaks open ones, a resumed one answers on the same port", async () => {
  const other = await startSimulator();
  const url = `${other.url}/bot${other.tokens[0]}`;
  const polling = fetch(`${url}/getUpdates?timeout=50`).then(
    () => "answered",
    () => "broken",
  );
  while (!other.api.bot(other.botIds[0]!).poll.waiting) await Bun.sleep(1);
  other.pause();
  expect(await polling).toBe("broken");
  const refused = await fetch(`${url}/getMe`).catch((error: { code?: string }) => error.code);
  expect(refused).toBe("ECONNREFUSED");
  other.resume();
  expect((await fetch(`${url}/getMe`)).status).toBe(200);
  await other.stop();
  await other.stop();
});

test("other processes speak, wait, press and read through the control routes", async () => {
  const said = await post("/simulator/say", { bot, person: 80, text: "hi" });
  expect(said).toMatchObject({ status: 200, value: { chat: 80, state: "queued" } });
  const waiting = post("/simulator/wait", { bot: token, chat: 80, contains: "lo" });
  const keyboard = { inline_keyboard: [[{ text: "Go", callback_data: "go" }]] };
  await post(`/bot${token}/sendMessage`, { chat_id: 80, text: "hello", reply_markup: keyboard });
  expect((await waiting).value).toMatchObject({ from: "bot", text: "hello" });
  expect(await post("/simulator/press", { bot, person: 80, button: "Go" })).toMatchObject({
    value: { kind: "callback_query" },
  });
  expect(await post("/simulator/press", { bot, person: 80, button: "No" })).toMatchObject({ status: 400 });
  expect(await post("/simulator/wait", { bot, chat: 80, maxMs: 10 })).toMatchObject({ status: 504 });
  expect(await post("/simulator/say", { bot: 5, person: 80, text: "hi" })).toMatchObject({ status: 400 });
  expect(await (await fetch(`${sim.url}/simulator/messages?bot=${bot}&chat=80`)).json()).toMatchObject([
    { text: "hi" },
    { text: "hello" },
  ]);
  expect(await post("/simulator/nothing", {})).toMatchObject({ status: 404 });
});

test("other processes add bots, plan faults, make load and read counts through the control routes", async () => {
  const added = (await post("/simulator/bots", { count: 2 })).value as readonly { id: number; token: string }[];
  expect((await fetch(`${sim.url}/bot${added[1]!.token}/getMe`)).status).toBe(200);
  const { id } = (await post("/simulator/faults", { kind: "500", bot: added[0]!.token })).value as {
    readonly id: number;
  };
  expect((await fetch(`${sim.url}/bot${added[0]!.token}/getMe`)).status).toBe(500);
  expect(await (await fetch(`${sim.url}/simulator/faults`)).json()).toMatchObject([{ id, matched: 1, struck: 1 }]);
  await fetch(`${sim.url}/simulator/faults?id=${id}`, { method: "DELETE" });
  expect((await fetch(`${sim.url}/bot${added[0]!.token}/getMe`)).status).toBe(200);
  expect(await post("/simulator/faults", { kind: "earthquake" })).toMatchObject({ status: 400 });
  const load = (await post("/simulator/load", { bots: [added[0]!.id], inFlight: 5, total: 5, chats: 5 })).value;
  expect(await post("/simulator/load/settled", { ...(load as object), maxMs: 1 })).toMatchObject({
    value: { sent: 5, lost: 5, running: false },
  });
  expect(await (await fetch(`${sim.url}/simulator/journal?bot=${added[0]!.id}`)).json()).toMatchObject({
    created: 5,
    calls: { getMe: 2 },
  });
  expect(await (await fetch(`${sim.url}/simulator/process`)).json()).toMatchObject({ pid: process.pid });
});

test("callers whose API roots end in different paths are told apart", async () => {
  const callers: string[] = [];
  const unlisten = sim.api.journal.listen({ poll: ({ from }) => callers.push(from) });
  for (const from of ["", "/a", "/fleet/b"]) await fetch(`${sim.url}${from}/bot${token}/getUpdates`);
  unlisten();
  expect(callers).toEqual(["", "/a", "/fleet/b"]);
});
