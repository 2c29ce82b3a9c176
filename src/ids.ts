/** Ids that must not be mixed up are branded, and made only here. */
import type { Update as TelegramUpdate } from "grammy/types";

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** The number in a bot's token: its identity in every store, whatever it is called. */
export type BotId = Branded<number, "BotId">;
/** A Telegram user, the same in every bot. */
export type UserId = Branded<number, "UserId">;
/** `<bot id>:<secret>`. Never enters a log, an error, a metric or a page. */
export type Token = Branded<string, "Token">;
/** Place of an entry in its inbox partition: rises by arrival, is never used twice. */
export type Seq = Branded<number, "Seq">;
/**
 * What updates share to be handled one after another within one bot: the id of the chat, else of the user (in private chats
 * both are the same number), else text such as `poll:123`.
 */
export type LaneKey = Branded<number | string, "LaneKey">;

/** An update as Telegram sends it. Kinds that grammY's types do not know yet pass through. */
export type Update = TelegramUpdate;

const tokenForm = /^(\d{1,15}):[A-Za-z0-9_-]{1,128}$/;

/** The token, or undefined where `text` has not the form `<number>:<letters, digits, _ or ->`. */
export function toToken(text: string): Token | undefined {
  return tokenForm.test(text) ? (text as Token) : undefined;
}

export function botIdOf(token: Token): BotId {
  return Number(token.slice(0, token.indexOf(":"))) as BotId;
}

/** For ids read back from a store. */
export function toBotId(value: number): BotId {
  return value as BotId;
}

/** For ids that Telegram sent or a store gave back. */
export function toUserId(value: number): UserId {
  return value as UserId;
}

export function toSeq(value: number): Seq {
  return value as Seq;
}

export function toLaneKey(value: number | string): LaneKey {
  return value as LaneKey;
}

/** Characters of a kind, and of an id, in the name of a lane: every lane waiting keeps its name in memory. */
const laneTextMax = 64;

type Part = Record<string, unknown>;

function part(of: Part, name: string): Part | undefined {
  const value = of[name];
  return typeof value === "object" && value !== null ? (value as Part) : undefined;
}

function idIn(of: Part | undefined): number | undefined {
  const id = of?.["id"];
  // Infinity (JSON `1e999`) and ids that lost digits would come back from a store as another lane.
  return Number.isSafeInteger(id) ? (id as number) : undefined;
}

/** The one payload of an update and the name of its kind: its first object, else its first field; undefined where there is none. */
export function payloadOf(update: Update): { readonly kind: string; readonly payload: unknown } | undefined {
  let first: { readonly kind: string; readonly payload: unknown } | undefined;
  for (const kind in update) {
    if (kind === "update_id") continue;
    const payload = (update as unknown as Part)[kind];
    if (typeof payload === "object" && payload !== null) return { kind, payload };
    first ??= { kind, payload };
  }
  return first;
}

/**
 * The lane of an update: chat, else user, else poll, query or business connection id. Never throws, whatever the update holds: what
 * has none of these (a kind not known yet, say) shares the lane named after its kind. A whole number, or text of up to 129 characters.
 */
export function laneOf(update: Update): LaneKey {
  const found = payloadOf(update);
  if (found === undefined) return "" as LaneKey;
  const { payload } = found;
  const kind = found.kind.slice(0, laneTextMax);
  if (typeof payload !== "object" || payload === null) return kind as LaneKey;
  const body = payload as Part;
  const message = part(body, "message");
  const numeric =
    idIn(part(body, "chat")) ??
    (message === undefined ? undefined : idIn(part(message, "chat"))) ??
    // Before the user: beside a chat's vote Telegram puts the same stand-in user for all of them.
    idIn(part(body, "voter_chat")) ??
    idIn(part(body, "from")) ??
    idIn(part(body, "user"));
  if (numeric !== undefined) return numeric as LaneKey;
  const id = body["id"];
  return (
    typeof id === "string" || typeof id === "number" ? `${kind}:${String(id).slice(0, laneTextMax)}` : kind
  ) as LaneKey;
}
