/** What people write, and what Telegram and Redis do to those who call them. */
import type { BotApi } from "../../src/simulator/bot-api.ts";
import type { FaultKind } from "../../src/simulator/faults.ts";
import type { PlanKind } from "./oracle.ts";
import type { Process } from "./process.ts";
import type { Wires } from "./redis-wires.ts";
import type { Scheduler } from "./scheduler.ts";

/** Of what people write: how its handler behaves. */
export const plans: readonly PlanKind[] = [
  "echo",
  "echo",
  "echo",
  "echo",
  "two",
  "both",
  "late",
  "nap",
  "nap",
  "throw2",
  "throwAlways",
  "hang",
  "slow",
];

const pollFaults: readonly FaultKind[] = [
  "500",
  "502-html",
  "409",
  "429",
  "hang",
  "reset",
  "refused",
  "truncated",
  "empty",
  "not-json",
];
const sendFaults: readonly FaultKind[] = [
  "500",
  "502-html",
  "429",
  "hang",
  "reset",
  "refused",
  "truncated",
  "not-json",
];

/** Lets some calls fail for some time. */
export function breakTelegram(scheduler: Scheduler, api: BotApi): void {
  const method = scheduler.chance(0.5) ? "getUpdates" : "sendMessage";
  const fault = api.faults.add({
    method,
    kind: scheduler.pick(method === "getUpdates" ? pollFaults : sendFaults),
    when: scheduler.chance(0.5) ? "before" : "after",
    probability: scheduler.between(0.1, 1),
    retryAfter: 1 + Math.floor(scheduler.between(0, 20)),
  });
  scheduler.at(scheduler.between(500, 15_000), () => fault.remove());
}

/** Takes Redis away for some time, or makes it slow: for everybody, or for `process` where that is up. */
export function breakRedis(scheduler: Scheduler, wires: Wires, process: Process | undefined): void {
  const ms = scheduler.between(500, 20_000);
  const trouble = scheduler.pick(["hang", "cut", "slow"]);
  if (trouble === "hang") wires.hang(ms);
  else if (trouble === "slow") wires.slow(ms);
  else if (process !== undefined) wires.cut(process, ms);
}

interface Often {
  readonly min: number;
  /** It happens less often than that. */
  readonly max: number;
  readonly withinMs: number;
}

/** Lets something happen several times; often two things at nearly the same moment. */
export function scatter(scheduler: Scheduler, { min, max, withinMs }: Often, run: () => void): void {
  for (let n = Math.floor(scheduler.between(min, max)); n > 0; n--) {
    const share = scheduler.chance(0.5)
      ? scheduler.between(0, 1)
      : Math.floor(scheduler.between(0, 6)) * 0.15 + scheduler.between(0, 0.025);
    scheduler.at(share * withinMs, run);
  }
}
