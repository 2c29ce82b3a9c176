/** The three bots of the start test, and what is to become of each update they get. */
import { join } from "node:path";
import { BotError, GrammyError } from "grammy";
import type { ApiResponse } from "grammy/types";
import { loadModule } from "../../src/bots/catalog.ts";
import { systemClock } from "../../src/clock.ts";
import { laneOf, payloadOf, type Update } from "../../src/ids.ts";
import { createBotApi } from "../../src/simulator/bot-api.ts";
import { type Call, host } from "../bots/fixtures/scripted.ts";

export interface FleetBot {
  readonly name: string;
  readonly module: string;
}

const root = join(import.meta.dir, "..");

export const fleet: readonly FleetBot[] = [
  { name: "echo", module: "echo" },
  { name: "handlers", module: join(root, "start", "fixtures", "handlers.ts") },
  { name: "plugins", module: join(root, "bots", "fixtures", "plugins.ts") },
];

/** What one bot is sent, and how it must end. Every update is in one of these. */
export interface Delivery {
  /** JSON texts in the order of delivery. */
  readonly updates: readonly string[];
  readonly done: number;
  /** Those whose chat Telegram refuses to be written to. */
  readonly undeliverable: number;
  /** `update_id`s that were delivered before. */
  readonly known: number;
  /** JSON texts that are no updates, as they are written down. */
  readonly malformed: readonly string[];
  /** `update_id`s of those at which the middleware throws, or whose answer Telegram refuses. */
  readonly dead: readonly number[];
  /** Inline queries that waited too long: behind a dead one, or because they would have been one themselves. */
  readonly expired: number;
  /** Attempts that are followed by another one. */
  readonly retries: number;
}

/** The first four of five attempts; they are over before an inline query expires. */
const retriesMax = 4;

/**
 * The updates of `texts` that a bot can be sent within the time of a test: of those at which its middleware throws, one for each lane,
 * since a lane waits 80 s for each. Tried out with the middleware alone and a Telegram of its own.
 */
export async function deliveryFor({ module }: FleetBot, texts: readonly string[]): Promise<Delivery> {
  const trial = createTrial();
  const { handle } = await host(await loadModule(module, root), (call) => trial.answer(call));
  const updates: string[] = [];
  const malformed = new Set<string>();
  const failing = new Set<string>();
  const dead: number[] = [];
  let expired = 0;
  const seen = new Set<number>();
  let done = 0;
  let undeliverable = 0;
  let known = 0;
  for (const text of rising(texts)) {
    const update = JSON.parse(text) as Update | null;
    trial.deliver(text);
    if (!isUsable(update)) malformed.add(JSON.stringify(update));
    else if (seen.has(update.update_id)) known++;
    else {
      const lane = String(laneOf(update));
      const isLate = failing.has(lane) && isInline(update);
      const error = await errorOf(handle(update));
      const isShut = isShutOut(error, lane);
      const isFailing = error !== undefined && !isShut;
      if (isFailing && failing.has(lane)) continue;
      if (isFailing) failing.add(lane);
      if (isLate || (isFailing && isInline(update))) expired++;
      else if (isShut) undeliverable++;
      else if (isFailing) dead.push(update.update_id);
      else done++;
    }
    if (isUsable(update)) seen.add(update.update_id);
    updates.push(text);
  }
  return {
    updates,
    done,
    undeliverable,
    known,
    malformed: [...malformed],
    dead,
    expired,
    retries: failing.size * retriesMax,
  };
}

/** As Telegram numbers them: a lower number that comes after a higher one was there before. First those whose number it could not give. */
function rising(texts: readonly string[]): readonly string[] {
  const numbers = new Map(texts.map((text) => [text, numberIn(text)]));
  return texts.toSorted((a, b) => (numbers.get(a) ?? 0) - (numbers.get(b) ?? 0));
}

function numberIn(text: string): number {
  const id: unknown = (JSON.parse(text) as Partial<Update> | null)?.update_id;
  return typeof id === "number" && Number.isInteger(id) && id > 0 && id < 2_000_000_000 ? id : 0;
}

/** A Telegram of its own, which refuses what the one of the test refuses. */
function createTrial(): { deliver(text: string): void; answer(call: Call): Promise<unknown> } {
  const api = createBotApi({ clock: systemClock, random: Math.random, anyChat: true });
  const { id, token } = api.addBot({ id: 7 });
  return {
    deliver: (text) => void api.people.deliver(id, text),
    async answer({ method, payload }) {
      const sent = JSON.parse(JSON.stringify(payload)) as Record<string, unknown>;
      const reply = await api.call(token, method, sent);
      if (reply.kind !== "answer") throw new Error(`${method} is not answered`);
      const answer = JSON.parse(reply.body) as ApiResponse<unknown>;
      if (!answer.ok) throw new GrammyError(`${method} is refused`, answer, method, sent);
      return answer.result;
    },
  };
}

function isInline(update: Update): boolean {
  return payloadOf(update)?.kind === "inline_query";
}

function isUsable(update: Update | null): update is Update {
  return Number.isSafeInteger(update?.update_id) && (update?.update_id ?? -1) >= 0;
}

async function errorOf(handled: Promise<void>): Promise<unknown> {
  return await handled.then(
    () => undefined,
    (error: unknown) => error ?? new Error("nothing"),
  );
}

/** Telegram knows no such chat, or the person has blocked the bot: for the chat that the update came from. */
function isShutOut(error: unknown, lane: string): boolean {
  const refusal = error instanceof BotError ? error.error : error;
  if (!(refusal instanceof GrammyError) || String(refusal.payload["chat_id"]) !== lane) return false;
  return refusal.error_code === 403 || refusal.description.includes("chat not found");
}
