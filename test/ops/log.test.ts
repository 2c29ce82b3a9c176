import { expect, test } from "bun:test";
import { Fault } from "../../src/faults.ts";
import { createRedact } from "../../src/ops/redact.ts";
import { createLog } from "../../src/ops/log.ts";
import type { LogLevel } from "../../src/log.ts";

const token = "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc";
const tail = token.slice(token.indexOf(":") + 1);

function logWith(level: LogLevel = "info", secrets: readonly string[] = []) {
  const text: string[] = [];
  const log = createLog({
    level,
    redact: createRedact(secrets),
    output: { write: (line) => text.push(line) },
    now: () => 1_700_000_000_000,
  });
  return { log, text, lines: () => text.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test("an event is one JSON line with level, time, fields and message", () => {
  const { log, text } = logWith();
  log.child({ bot: "shop" }).warn("poll failed", { tries: 2 });
  expect(text).toEqual([
    '{"level":"warn","time":"2023-11-14T22:13:20.000Z","bot":"shop","tries":2,"msg":"poll failed"}\n',
  ]);
});

test("lines below the level are not written", () => {
  const { log, text } = logWith("warn");
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d");
  expect(text.map((line) => line.includes('"msg":"c"') || line.includes('"msg":"d"'))).toEqual([true, true]);
});

/** As Bun's fetch fails: the address, token included, is a field of the error. */
function fetchError(): Error {
  return Object.assign(new Error(`connect to https://api.telegram.org/bot${token}/getMe failed`), {
    code: "ConnectionRefused",
    path: `https://api.telegram.org/bot${token}/getMe`,
  });
}

const plants: readonly (readonly [string, (log: ReturnType<typeof logWith>["log"]) => void])[] = [
  ["the message", (log) => log.info(`token ${token}`)],
  ["a field", (log) => log.info("x", { text: token })],
  ["the name of a field", (log) => log.info("x", { [token]: 1 })],
  ["a nested field", (log) => log.info("x", { a: { b: [{ c: `see ${token}` }] } })],
  ["a field of a child", (log) => log.child({ text: token }).info("x")],
  ["an error", (log) => log.error("x", { error: fetchError() })],
  ["the cause of an error", (log) => log.error("x", { error: new Error("outer", { cause: fetchError() }) })],
  [
    "an error that wraps another as grammY does",
    (log) => log.error("x", { error: Object.assign(new Error("outer"), { error: fetchError() }) }),
  ],
  ["an error of several", (log) => log.error("x", { error: new AggregateError([fetchError()], "all failed") })],
  ["a Fault", (log) => log.error("x", { error: new Fault("unavailable", `to ${token}`, { cause: fetchError() }) })],
  ["an error in a list", (log) => log.error("x", { errors: [fetchError()] })],
  ["a URL", (log) => log.info("x", { url: new URL(`https://api.telegram.org/bot${token}/getMe`) })],
  ["text beyond what is kept", (log) => log.info("x", { text: "x".repeat(4_096 - 26) + token })],
];

for (const [where, plant] of plants) {
  test(`a token planted in ${where} never reaches the output`, () => {
    const { log, text, lines } = logWith();
    plant(log);
    expect(lines()).toHaveLength(1);
    expect(text.join("")).not.toContain(tail.slice(0, 12));
  });
}

test("secrets handed in, and fields named like secrets, never reach the output", () => {
  const { log, text } = logWith("info", ["admin-secret"]);
  log.info("signed in with admin-secret", {
    password: "p",
    ADMIN_TOKEN: "short",
    initData: "query_id=1",
    x: "admin-secret",
  });
  log.info("x", { hash: "c501b71e775f74ce10e377dea85a7ea24ecd640b223ea86dfe453e0eaed2e2b2" });
  expect(text.join("")).not.toMatch(/admin-secret|"p"|short|query_id|c501b71e/);
});

test("an error is written as name, code, message, stack and cause, without its other fields", () => {
  const { log, lines } = logWith();
  log.error("call failed", { error: Object.assign(fetchError(), { payload: { text: "what a person wrote" } }) });
  const error = lines()[0]?.["error"] as Record<string, unknown>;
  expect(Object.keys(error)).toEqual(["name", "code", "message", "stack"]);
  expect(error["code"]).toBe("ConnectionRefused");
});

test("a Fault is written without a stack, for its message says everything", () => {
  const { log, lines } = logWith();
  log.error("stopped", { error: new Fault("inbox_locked", "DATA_DIR is in use") });
  expect(lines()[0]?.["error"]).toEqual({ name: "Fault", code: "inbox_locked", message: "DATA_DIR is in use" });
});

test("whatever is handed in, a line of bounded length comes out and nothing is thrown", () => {
  const { log, text, lines } = logWith();
  const ring: Record<string, unknown> = {};
  ring["ring"] = ring;
  log.info("%s %d %j {}", {
    ring,
    big: 10n ** 30n,
    none: undefined,
    run: () => 1,
    nan: Number.NaN,
    bytes: new Uint8Array(1_000_000),
    long: "y".repeat(1_000_000),
    many: Array.from({ length: 100_000 }, (_, index) => index),
    date: new Date(Number.NaN),
    toJSON: () => token,
  });
  log.info("getter", {
    get broken(): string {
      throw new Error("no");
    },
  });
  log.info("wide", Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`field${index}`, index])));
  expect(lines().map((line) => line["msg"])).toEqual(["%s %d %j {}", "getter", "wide"]);
  // One field that cannot be written whole takes no other with it.
  expect(lines()[0]).toMatchObject({ big: String(10n ** 30n), bytes: "<1000000 bytes>", nan: "NaN" });
  expect(text.join("").length).toBeLessThan(20_000);
});

test("a field named like a part of every line does not appear twice in it", () => {
  const { log, text } = logWith();
  log.child({ bot: "a", level: "x" }).info("y", { bot: "b", msg: "z", time: 1 });
  expect(text[0]).toBe(
    '{"level":"info","time":"2023-11-14T22:13:20.000Z","bot":"b","level_":"x","msg_":"z","time_":1,"msg":"y"}\n',
  );
});
