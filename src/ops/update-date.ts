/** When Telegram says that something happened. */
import { payloadOf, type Update } from "../ids.ts";

/**
 * Wall-clock ms, in whole seconds; undefined where the update does not say: queries and answers to polls have no date, and the one of a
 * business connection is that of its beginning.
 */
export function dateOf(update: Update): number | undefined {
  const found = payloadOf(update);
  if (found === undefined || found.kind === "business_connection") return undefined;
  const { payload } = found;
  if (typeof payload !== "object" || payload === null) return undefined;
  const { date, edit_date: edited } = payload as { readonly date?: unknown; readonly edit_date?: unknown };
  const seconds = edited ?? date;
  // 0 stands for a message that cannot be seen any more.
  return Number.isSafeInteger(seconds) && (seconds as number) > 0 ? (seconds as number) * 1_000 : undefined;
}
