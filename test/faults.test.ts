import { expect, test } from "bun:test";
import { BotError, type Context, HttpError } from "grammy";
import { Fault, type FaultCode, faultOf, isOutage } from "../src/faults.ts";

const fault = new Fault("unavailable", "Telegram cannot be reached", { retryAfterMs: 3_000 });

test("a fault is found behind grammY's errors and behind causes", () => {
  expect(faultOf(fault)).toBe(fault);
  expect(faultOf(new HttpError("call failed", fault))).toBe(fault);
  expect(faultOf(new BotError(new HttpError("call failed", fault), {} as Context))).toBe(fault);
  expect(faultOf(new Error("a", { cause: new Error("b", { cause: fault }) }))).toBe(fault);
});

test("what hides no fault has none, whatever was thrown", () => {
  const ring: { cause?: unknown } = {};
  ring.cause = ring;
  const hostile = new Proxy(
    {},
    {
      has: () => {
        throw new Error("has");
      },
      getPrototypeOf: () => {
        throw new Error("prototype");
      },
    },
  );
  const getter = {
    get error(): unknown {
      throw new Error("getter");
    },
  };
  for (const thrown of [undefined, null, 0, "unavailable", new Error("x"), {}, [], ring, hostile, getter]) {
    expect(faultOf(thrown)).toBeUndefined();
  }
});

test("only what lies outside, a shutdown and a lost claim are waited out", () => {
  const all: Record<FaultCode, boolean> = {
    unavailable: true,
    attempt_revoked: true,
    token_refused: true,
    inbox_refused: true,
    inbox_fenced: true,
    inbox_locked: false,
    format_newer: false,
    storage_damaged: false,
    user_invalid: false,
    session_invalid: false,
    settings_invalid: false,
    module_invalid: false,
    usage: false,
  };
  for (const [code, outage] of Object.entries(all)) expect(isOutage(new Fault(code as FaultCode, ""))).toBe(outage);
});

test("a fault keeps its cause and how long to wait", () => {
  const cause = new Error("socket");
  const made = new Fault("unavailable", "m", { cause, retryAfterMs: 7 });
  expect([made.cause, made.retryAfterMs, made.code, made.name]).toEqual([cause, 7, "unavailable", "Fault"]);
  expect("cause" in new Fault("usage", "m")).toBe(false);
});
