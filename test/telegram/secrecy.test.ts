/** Promise 8: whatever goes wrong on the wire, no error that leaves the client holds the token. */
import { afterAll, expect, spyOn, test } from "bun:test";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { Api, InputFile } from "grammy";
import { createAbortListeners } from "../../src/abort-listeners.ts";
import { systemClock } from "../../src/clock.ts";
import { createDeadlines } from "../../src/telegram/deadlines.ts";
import { createFetchTransport } from "../../src/telegram/fetch-transport.ts";
import { scripted, secret, token } from "./scripted.ts";
import type { Scripted } from "./scripted.ts";

const stops: (() => void)[] = [];
afterAll(() => {
  for (const stop of stops) stop();
});

/** A server that answers every request with these bytes, then closes; undefined: never answers. */
async function answering(bytes: string | undefined): Promise<string> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.on("data", () => {
      if (bytes !== undefined) socket.end(bytes);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stops.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function client(apiRoot: string): Scripted & { api: Api } {
  const deadlines = createDeadlines({ clock: systemClock, tickMs: 5 });
  const listeners = createAbortListeners();
  const limits = { callMaxMs: 40, uploadMaxMs: 40, connectTries: 2, connectRetryFirstMs: 1, floodWaitMaxMs: 0 };
  const made = scripted([], {
    apiRoot,
    clock: systemClock,
    deadlines,
    listeners,
    limits,
    fetch,
    transport: createFetchTransport({ fetch, deadlines, listeners, answerMaxBytes: 10_000 }),
  });
  const api = new Api(token, made.client.apiOptions);
  api.config.use(made.client.transformer);
  return { ...made, api };
}

/** Everything a log, a page or a console could print of an error. */
function printed(error: unknown): string {
  const lines: string[] = [];
  const spy = spyOn(console, "error").mockImplementation((...parts: unknown[]) => {
    lines.push(parts.map((part) => Bun.inspect(part, { depth: 20 })).join(" "));
  });
  console.error(error);
  spy.mockRestore();
  const deep = (value: unknown, depth = 0): string => {
    if (depth > 6 || typeof value !== "object" || value === null) return String(value);
    return Reflect.ownKeys(value)
      .map((key) => `${String(key)}=${deep((value as Record<PropertyKey, unknown>)[key], depth + 1)}`)
      .join("\n");
  };
  return [...lines, JSON.stringify(error), Bun.inspect(error), String(error), deep(error)].join("\n");
}

const echo = `{"ok":false,"error_code":400,"description":"Bad Request: /bot${token}/x"}`;
const wires: readonly [string, string | undefined][] = [
  ["a refused connection", "refused"],
  ["a reset", ""],
  ["an answer cut off", 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"ok"'],
  ["a hanging server", undefined],
  [
    "HTML that quotes the URL",
    `HTTP/1.1 502 Bad Gateway\r\nContent-Length: 70\r\n\r\n${`<p>/bot${token}/x</p>`.padEnd(70)}`,
  ],
  ["a refusal that quotes the URL", `HTTP/1.1 400 Bad\r\nContent-Length: ${echo.length}\r\n\r\n${echo}`],
  [
    "401",
    'HTTP/1.1 401 X\r\nContent-Length: 55\r\n\r\n{"ok":false,"error_code":401,"description":"Unauthorized"}'.padEnd(55),
  ],
];

test.each(wires)("%s shows no token: call, upload and exchange", async (_, bytes) => {
  const root = bytes === "refused" ? "http://127.0.0.1:1" : await answering(bytes);
  const { api, client: made } = client(root);
  const file = new InputFile(new Uint8Array(3), "x");
  // grammY's own types promise a result; here only the end counts.
  const ends = await Promise.allSettled<unknown>([
    api.sendMessage(7, "hi"),
    api.sendDocument(7, file),
    made.exchange("getUpdates", {}),
  ]);
  for (const end of ends) {
    const text = printed(end.status === "rejected" ? end.reason : end.value);
    expect(text).not.toContain(secret);
  }
  expect(ends[0]?.status).toBe("rejected");
  expect(ends[1]?.status).toBe("rejected");
});

test("a file whose own path or URL holds the token shows no token either", async () => {
  const { api } = client(await answering(undefined));
  for (const source of [new URL(`http://127.0.0.1:1/file/bot${token}/photo.jpg`), `/nowhere/bot${token}/photo.jpg`]) {
    const error = await api.sendPhoto(7, new InputFile(source)).catch((thrown: unknown) => thrown);
    expect(String(error)).toContain("cannot be read");
    expect(printed(error)).not.toContain(secret);
  }
});
