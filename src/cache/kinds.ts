/** How users, and sessions, stand in the second tier. */
import { toLaneKey, toSeq, toUserId, type UserId } from "../ids.ts";
import type { PastValue, Session } from "../storage/session-store.ts";
import type { UserCheck } from "../users/check-user.ts";
import type { User } from "../users/user.ts";
import type { Kind } from "./documents.ts";
import { pack, unpack } from "./packing.ts";

/** Longer ones would hold the server up for everybody, characters. */
const rowMaxChars = 65_536;

/** As the first tier packs them. */
export function usersKind(check: UserCheck): Kind<UserId, User> {
  return {
    keyOf: (id) => String(id),
    idOf: (key) => (/^-?\d{1,16}$/.test(key) ? toUserId(Number(key)) : undefined),
    idIn: ({ telegramId }) => telegramId,
    versionIn: ({ version }) => version,
    rowOf: (user) => short(pack(user)),
    documentIn: (row) => check(unpack(row)),
  };
}

const sessionPrefix = "s:";

/** `[key, version, value, [lane, partition, seq, before, at, followed][]]`, null for what there is not, `followed` 1 or 0. */
export const sessionsKind: Kind<string, Session> = {
  // As JSON first, which writes lone surrogates in ASCII: `encodeURIComponent` refuses them.
  keyOf: (key) => sessionPrefix + encodeURIComponent(JSON.stringify(key)),
  idOf(key) {
    if (!key.startsWith(sessionPrefix)) return undefined;
    try {
      const id: unknown = JSON.parse(decodeURIComponent(key.slice(sessionPrefix.length)));
      return typeof id === "string" ? id : undefined;
    } catch {
      return undefined; // Nobody of ours said it.
    }
  },
  idIn: ({ key }) => key,
  versionIn: ({ version }) => version,
  rowOf: ({ key, version, value, past }) =>
    short(
      JSON.stringify([
        key,
        version,
        value ?? null,
        past.map(({ lane, partition, seq, before, at, isFollowed = false }) => [
          lane,
          partition,
          seq,
          before ?? null,
          at,
          Number(isFollowed),
        ]),
      ]),
    ),
  documentIn(row) {
    const cells: unknown = JSON.parse(row);
    if (!Array.isArray(cells)) return undefined;
    const [key, version, value, past] = cells as readonly unknown[];
    if (typeof key !== "string" || !isCount(version) || !isText(value) || !Array.isArray(past)) return undefined;
    const values = past.map(pastValueIn).filter((each) => each !== undefined);
    return values.length < past.length ? undefined : { key, version, value: value ?? undefined, past: values };
  },
};

function pastValueIn(cells: unknown): PastValue | undefined {
  if (!Array.isArray(cells)) return undefined;
  const [lane, partition, seq, before, at, followed] = cells as readonly unknown[];
  if (typeof lane !== "string" && typeof lane !== "number") return undefined;
  if (!isCount(partition) || !isCount(seq) || !isText(before) || !isCount(at)) return undefined;
  const value = { lane: toLaneKey(lane), partition, seq: toSeq(seq), before: before ?? undefined, at };
  return followed === 1 ? { ...value, isFollowed: true } : value;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function isText(value: unknown): value is string | null {
  return value === null || typeof value === "string";
}

function short(row: string): string | undefined {
  return row.length <= rowMaxChars ? row : undefined;
}
