import { expect, test } from "bun:test";
import { toBotId } from "../src/ids.ts";
import type { Log } from "../src/log.ts";
import { createPipelineEvents } from "../src/main-events.ts";
import type { Metrics } from "../src/ops/metrics.ts";

function said(isFleet: boolean, bots: readonly number[]): unknown[] {
  const lines: unknown[] = [];
  const log: Log = {
    debug() {},
    info() {},
    warn: (_, fields) => void lines.push(fields?.["id"]),
    error() {},
    child: () => log,
  };
  const metrics = {
    bot: () => ({}) as ReturnType<Metrics["bot"]>,
    fenced() {},
    remembered() {},
  };
  const events = createPipelineEvents({ log, names: new Map(), metrics, isFleet, onDeath() {} });
  for (const bot of bots) events.onUnconfigured(toBotId(bot));
  return lines;
}

test("of each bot that only other instances are configured with it is said once that its updates wait", () => {
  expect(said(true, [5, 6, 5])).toEqual([5, 6]);
});

test("an instance that is alone has said so when it opened its inbox", () => {
  expect(said(false, [5])).toEqual([]);
});
