/** What the poller does about each answer of Telegram's: one table. */
import type { UserFromGetMe } from "grammy/types";
import { faultOf } from "./faults.ts";
import type { Update } from "./ids.ts";
import { retryAfterMsOf } from "./telegram/answers.ts";
import type { Answer } from "./telegram/answers.ts";

/** What came of one exchange: an answer, or whatever it rejected with. */
export type Reply = { readonly answer: Answer } | { readonly error: unknown };

/**
 * `result` go on with it · `back_off` wait, longer each time · `disabled` the token is refused: wait minutes · `conflict` another
 * program polls this bot: wait and go on · `webhook` delete it, then go on · `flood` wait as long as Telegram says.
 * `words` say what happened.
 */
export type Decision<T> =
  | { readonly kind: "result"; readonly result: T }
  | { readonly kind: "back_off"; readonly why: "malformed" | "refused" | "unavailable"; readonly words: string }
  | { readonly kind: "disabled" | "conflict" | "webhook"; readonly words: string }
  | { readonly kind: "flood"; readonly waitMs: number; readonly words: string };

export type Setback = Exclude<Decision<unknown>, { readonly kind: "result" }>;

/** `read` answers undefined where the result is not what the method promises. */
export function decide<T>(reply: Reply, read: (result: unknown) => T | undefined): Decision<T> {
  if ("error" in reply) {
    const fault = faultOf(reply.error);
    // Only a Fault's message is known to hold no secret.
    const words = fault === undefined ? "an error that botfleet does not know" : fault.message;
    return { kind: "back_off", why: "unavailable", words };
  }
  const { answer } = reply;
  if (answer.ok) {
    const result = read(answer.result);
    if (result !== undefined) return { kind: "result", result };
    return { kind: "back_off", why: "malformed", words: "the answer is not what the Bot API promises" };
  }
  const code = answer.error_code;
  const words = `${code} ${answer.description}`;
  if (code === 401 || code === 404) return { kind: "disabled", words };
  if (code === 409) return { kind: answer.description.includes("webhook is active") ? "webhook" : "conflict", words };
  if (code >= 500) return { kind: "back_off", why: "unavailable", words };
  const waitMs = code === 429 ? retryAfterMsOf(answer) : undefined;
  return waitMs === undefined ? { kind: "back_off", why: "refused", words } : { kind: "flood", waitMs, words };
}

/** What an operator reads about a bot that is not polled just now: what happened and what to do. */
export function adviceOf(name: string, setback: Setback): string {
  switch (setback.kind) {
    case "disabled":
      return `Telegram refuses the token of bot ${name} (${setback.words}). Get the valid one from @BotFather and restart.`;
    case "conflict":
      return `Another program polls bot ${name} with the same token (${setback.words}). Stop it, or revoke the token.`;
    case "webhook":
      return `Bot ${name} has a webhook, which is deleted now; its waiting updates are kept (${setback.words}).`;
    case "flood":
      return `Telegram asks bot ${name} to wait ${Math.ceil(setback.waitMs / 1_000)} s (${setback.words}).`;
    case "back_off":
      return `Bot ${name} gets no updates just now, which needs no action unless it lasts: ${setback.words}`;
  }
}

/** The updates of a batch: all of them, also those without a usable id, unless that is true of all. */
export function updatesIn(result: unknown): Update[] | undefined {
  if (!Array.isArray(result)) return undefined;
  const updates = result as Update[];
  return updates.length === 0 || lastIdOf(updates) !== undefined ? updates : undefined;
}

/** The last usable `update_id`. Not negative: the offset made of it would delete what was never received. */
export function lastIdOf(updates: readonly Update[]): number | undefined {
  for (let at = updates.length - 1; at >= 0; at--) {
    const id: unknown = updates[at]?.update_id;
    if (Number.isSafeInteger(id) && (id as number) >= 0) return id as number;
  }
  return undefined;
}

export function meIn(result: unknown): UserFromGetMe | undefined {
  if (typeof result !== "object" || result === null || !("id" in result) || typeof result.id !== "number")
    return undefined;
  return result as UserFromGetMe;
}
