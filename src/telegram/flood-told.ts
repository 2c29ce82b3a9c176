/** What processes that send as the same bot tell each other: that Telegram has refused the whole bot. */
import { type BotId, toBotId } from "../ids.ts";

export interface BotRefusal {
  readonly bot: BotId;
  /** From when it is told, ms: a span, since the clocks of machines differ. */
  readonly waitMs: number;
}

const kind = "bot_refused";

export function refusalText({ bot, waitMs }: BotRefusal): string {
  return JSON.stringify({ kind, bot, waitMs: Math.ceil(waitMs) });
}

/** Undefined for whatever is no such text, or asks for a wait longer than `waitMaxMs`: nobody may stop a bot for ever by a message. */
export function refusalIn(text: string, waitMaxMs: number): BotRefusal | undefined {
  const told = objectIn(text);
  if (told?.["kind"] !== kind) return undefined;
  const { bot, waitMs } = told;
  if (typeof bot !== "number" || !Number.isSafeInteger(bot) || bot <= 0) return undefined;
  if (typeof waitMs !== "number" || !(waitMs > 0 && waitMs <= waitMaxMs)) return undefined;
  return { bot: toBotId(bot), waitMs };
}

function objectIn(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // Said by something else.
  }
}
