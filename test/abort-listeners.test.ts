import { expect, test } from "bun:test";
import { createAbortListeners } from "../src/abort-listeners.ts";

test("whoever listens is called once when the signal aborts, whoever has left is not", () => {
  const listeners = createAbortListeners();
  const { signal, ...controller } = withSignal();
  const called: string[] = [];
  listeners.add(signal, () => called.push("stays"));
  const leave = listeners.add(signal, () => called.push("left"));
  leave();
  leave();
  controller.abort();
  controller.abort();
  expect(called).toEqual(["stays"]);
});

test("on a signal that has aborted it is called at once", () => {
  let called = 0;
  createAbortListeners().add(AbortSignal.abort(), () => called++)();
  expect(called).toBe(1);
});

test("a signal carries one listener however many listen", () => {
  const listeners = createAbortListeners();
  const { signal, added } = withSignal();
  for (let at = 0; at < 1_000; at++) listeners.add(signal, () => {});
  expect(added()).toBe(1);
});

function withSignal(): { signal: AbortSignal; abort: () => void; added: () => number } {
  const controller = new AbortController();
  const { signal } = controller;
  let count = 0;
  const add = signal.addEventListener.bind(signal);
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    count++;
    add(...args);
  };
  return { signal, abort: () => controller.abort(), added: () => count };
}
