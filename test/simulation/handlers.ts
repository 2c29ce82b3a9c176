/** The bot of the simulation: each message says, in its text, how its handler behaves (`u17 throw2`). */
import { Composer } from "grammy";
import type { Context } from "grammy";
import type { Clock } from "../../src/clock.ts";
import { sleep } from "../../src/clock.ts";
import type { Random } from "../../src/clock.ts";
import type { Oracle, PlanKind } from "./oracle.ts";

export interface Surroundings {
  readonly oracle: Pick<Oracle, "began" | "ended" | "returned" | "threw">;
  readonly clock: Clock;
  readonly random: Random;
}

type Send = (part: number) => Promise<unknown>;

export function plannedBot(surroundings: Surroundings): Composer<Context> {
  const { oracle } = surroundings;
  const composer = new Composer<Context>();
  composer.on("message:text", async (ctx) => {
    const [key = "", plan = ""] = ctx.msg.text.split(" ");
    const run = oracle.began(key);
    const send: Send = (part) => ctx.reply(`${key}.${part}`);
    try {
      await behave(surroundings, key, plan as PlanKind, run, send);
    } catch (error) {
      if (error instanceof Error && error.message.startsWith("planned")) oracle.threw(key);
      throw error;
    }
    if (plan === "late") oracle.ended(key);
    else oracle.returned(key);
  });
  return composer;
}

async function behave(
  { oracle, clock, random }: Surroundings,
  key: string,
  plan: PlanKind,
  run: number,
  send: Send,
): Promise<void> {
  switch (plan) {
    case "echo":
      await send(0);
      return;
    case "two":
      await send(0);
      await send(1);
      return;
    case "both":
      await Promise.all([send(0), send(1)]);
      return;
    case "late":
      // Not awaited, as in many bots: the update is done only when the message is out, whoever waits for it.
      send(0).then(
        () => oracle.returned(key),
        () => {},
      );
      return;
    case "nap":
      await sleep(clock, 200 + random() * 2_000);
      await send(0);
      return;
    case "throw2":
      await send(0);
      if (run < 2) throw new Error("planned, twice");
      await send(1);
      return;
    case "throwAlways":
      await send(0);
      throw new Error("planned, always");
    case "hang":
      await send(0);
      if (run === 0) await new Promise(() => {});
      await send(1);
      return;
    case "slow":
      // Wakes up long after its attempt was given up, beside its own retry.
      if (run === 0) await sleep(clock, 45_000 + random() * 5_000);
      await send(0);
  }
}
