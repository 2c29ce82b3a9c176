/**
 * Users as documents of MongoDB. As the user is, but: `_id` is the Telegram id once more, so that a sharded cluster can be sharded by it;
 * `applied` is JSON text, which nobody searches and which costs a fifth of what it does as BSON; `activeIn` holds the bots in which the user is
 * active, for the index; `writer` names the call of `write` that wrote it last.
 */
import { type BotId, toBotId, toUserId } from "../ids.ts";
import { invalidUser, type UserCheck } from "../users/check-user.ts";
import type { User } from "../users/user.ts";
import type { Write } from "./store.ts";

type Doc = Record<string, unknown>;

/** Texts of a user, absent where the user has none. */
const texts = ["username", "languageCode", "walletAddress", "deviceFingerprint", "ipAddress"] as const;
/** What may be absent besides. */
const optional = ["referredBy", "daily"] as const;
/** What every user has, and a write names only where it changes. */
const plain = [
  "points",
  "referralCount",
  "isActive",
  "isVerified",
  "miniappVerified",
  "createdAt",
  "bots",
  "referral",
] as const;

/** A new user. */
export function documentOf(user: User, writer: string): Doc {
  const { telegramId, firstName, referralCode, updatedAt, version, applied, bots } = user;
  const document: Doc = { _id: telegramId, telegramId, firstName: encoded(firstName) };
  for (const field of texts) {
    const text = user[field];
    if (text !== undefined) document[field] = encoded(text);
  }
  document["referralCode"] = encoded(referralCode);
  for (const field of optional) if (user[field] !== undefined) document[field] = user[field];
  for (const field of plain) document[field] = user[field];
  document["activeIn"] = activeIn(bots);
  return Object.assign(document, { updatedAt, version, applied: JSON.stringify(applied), writer });
}

/** What makes the stored `before` into `user`, as MongoDB's update operators. */
export function changesOf({ user, before }: Write & { readonly before: User }, writer: string): Doc {
  const { updatedAt, version, applied } = user;
  const set: Doc = { updatedAt, version, applied: JSON.stringify(applied), writer };
  let unset: Doc | undefined;
  if (user.firstName !== before.firstName) set["firstName"] = encoded(user.firstName);
  if (user.referralCode !== before.referralCode) set["referralCode"] = encoded(user.referralCode);
  for (const field of texts) {
    const text = user[field];
    if (text === before[field]) continue;
    if (text === undefined) (unset ??= {})[field] = "";
    else set[field] = encoded(text);
  }
  for (const field of optional) {
    const value = user[field];
    if (value === before[field]) continue;
    if (value === undefined) (unset ??= {})[field] = "";
    else set[field] = value;
  }
  for (const field of plain) if (user[field] !== before[field]) set[field] = user[field];
  if (user.bots !== before.bots) set["activeIn"] = activeIn(user.bots);
  return unset === undefined ? { $set: set } : { $set: set, $unset: unset };
}

/** Throws `user_invalid`, naming the user and the field. Fields that a user does not have are left out. */
export function userOf(document: Doc, check: UserCheck): User {
  const id = document["_id"];
  if (typeof id !== "number" || document["telegramId"] !== id) {
    throw invalidUser(typeof id === "number" ? id : undefined, "telegramId");
  }
  const user: Doc = {
    telegramId: id,
    firstName: decoded(document["firstName"]),
    referralCode: decoded(document["referralCode"]),
    points: document["points"],
    referralCount: document["referralCount"],
    isActive: document["isActive"],
    isVerified: document["isVerified"],
    miniappVerified: document["miniappVerified"],
    createdAt: document["createdAt"],
    updatedAt: document["updatedAt"],
    version: document["version"],
    bots: document["bots"],
    referral: document["referral"],
    applied: listIn(document["applied"]),
  };
  for (const field of texts) if (document[field] !== undefined) user[field] = decoded(document[field]);
  for (const field of optional) if (document[field] !== undefined) user[field] = document[field];
  return check(user);
}

function listIn(text: unknown): unknown {
  if (text === "[]") return [];
  try {
    return JSON.parse(String(text));
  } catch {
    return undefined;
  }
}

function activeIn(bots: User["bots"]): readonly BotId[] {
  return Object.keys(bots)
    .filter((bot) => bots[bot]?.state === "active")
    .map((bot) => toBotId(Number(bot)));
}

/**
 * BSON is UTF-8, which knows no lone surrogates: a text that holds one is kept as its JSON text, and so is one that begins as JSON text does. No two
 * texts have the same form.
 */
export function encoded(text: string): string {
  return text.isWellFormed() && !text.startsWith('"') ? text : JSON.stringify(text);
}

export function decoded(text: unknown): unknown {
  if (typeof text !== "string" || !text.startsWith('"')) return text;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function idsOf(documents: readonly Doc[]) {
  return documents.map(({ _id }) => toUserId(Number(_id)));
}
