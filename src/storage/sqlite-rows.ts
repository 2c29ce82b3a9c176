/** Users as rows, and rows as JSON documents. */
import type { ReferralState, User } from "../users/user.ts";

export type Cell = number | string | null;

/** A column that a write names only where it changes it, so that no index is touched for nothing. */
export interface Changing {
  readonly column: string;
  readonly cellOf: (user: User) => Cell;
}

/** The place of a column here is its bit in the `changed` of a write. */
export const changing: readonly Changing[] = [
  { column: "points", cellOf: ({ points }) => points },
  { column: "is_active", cellOf: ({ isActive }) => Number(isActive) },
  { column: "bots", cellOf: ({ bots }) => JSON.stringify(bots) },
  { column: "referral_count", cellOf: (user) => user.referralCount },
  { column: "wallet", cellOf: (user) => keyOrNull(user.walletAddress) },
  { column: "referral_state", cellOf: (user) => stateOf(user.referral) },
  { column: "referral_since", cellOf: (user) => user.referral.since ?? null },
  { column: "is_verified", cellOf: (user) => Number(user.isVerified) },
  { column: "miniapp_verified", cellOf: (user) => Number(user.miniappVerified) },
  { column: "device", cellOf: (user) => keyOrNull(user.deviceFingerprint) },
  { column: "ip", cellOf: (user) => keyOrNull(user.ipAddress) },
  { column: "created_at", cellOf: (user) => user.createdAt },
  { column: "referred_by", cellOf: (user) => user.referredBy ?? null },
  { column: "code", cellOf: (user) => keyOf(user.referralCode) },
];

export const changingColumns: readonly string[] = changing.map(({ column }) => column);
/** Written each time, besides the version. */
export const steady = ["updated_at", "rest"] as const;
/** In the order of the cells of a row. */
export const columns: readonly string[] = ["id", "version", ...steady, ...changingColumns];

const referralStates: readonly ReferralState[] = ["none", "owed", "paid"];

export function rowOf(user: User): Cell[] {
  return [user.telegramId, user.version, user.updatedAt, restOf(user), ...changing.map(({ cellOf }) => cellOf(user))];
}

/** The cell of what is neither searched by nor changed by a reward. */
export function restOf({ username, firstName, languageCode, daily, applied }: User): string {
  return JSON.stringify({ firstName, username, languageCode, daily, applied });
}

function stateOf({ state }: User["referral"]): number {
  return referralStates.indexOf(state);
}

/**
 * The text by which a value is found in SQLite, which knows no lone surrogates and ends some texts at NUL: a value that holds either is
 * kept as its JSON text, and so is one that begins as JSON text does, and the empty one. No two values have the same key.
 */
export function keyOf(text: string): string {
  const isPlain = text !== "" && text.isWellFormed() && !text.includes("\0") && !text.startsWith('"');
  return isPlain ? text : JSON.stringify(text);
}

/** The value whose `keyOf` it is. */
export function textOfKey(key: string): string {
  return key.startsWith('"') ? (JSON.parse(key) as string) : key;
}

function keyOrNull(text: string | undefined): string | null {
  return text === undefined ? null : keyOf(text);
}

/** Between documents. A control character that no JSON text holds, not even a damaged one that somebody wrote by hand over several lines. */
export const documentSeparator = "\x1e";

/**
 * The document of a row as JSON text, in SQL: to hand eighteen cells to JavaScript costs more than to make them one text. What stands in
 * `bots` and `rest` is passed on unread. `concat` leaves out what is NULL.
 */
export const documentSql = `concat(
  '{"telegramId":', id, ',"version":', version, ',"updatedAt":', updated_at, ',"createdAt":', created_at,
  ',"points":', points, ',"referralCount":', referral_count, ',"isActive":', iif(is_active, 'true', 'false'),
  ',"isVerified":', iif(is_verified, 'true', 'false'), ',"miniappVerified":', iif(miniapp_verified, 'true', 'false'),
  ',"referredBy":' || referred_by, ',"referralCode":' || ${jsonSql("code")}, ',"walletAddress":' || ${jsonSql("wallet")},
  ',"deviceFingerprint":' || ${jsonSql("device")}, ',"ipAddress":' || ${jsonSql("ip")},
  ',"referral":{"state":', CASE referral_state WHEN 0 THEN '"none"' WHEN 1 THEN '"owed"' WHEN 2 THEN '"paid"' ELSE 'null' END,
  ',"since":' || referral_since, '},"bots":', bots, ',', substr(rest, 2))`;

/** The JSON text of a key. */
function jsonSql(column: string): string {
  return `CASE WHEN substr(${column}, 1, 1) = '"' THEN ${column} WHEN ${column} NOT NULL THEN json_quote(${column}) END`;
}

/** The bots in which a user is active. */
export function activeBots(bots: User["bots"]): readonly string[] {
  return Object.keys(bots).filter((bot) => bots[bot]?.state === "active");
}

/** Where a user with so many points stands in the histogram: exact below 1,024, then 512 buckets for each doubling. */
export function bucketOf(points: number): number {
  if (points < 1_024) return points;
  const width = 2 ** (Math.floor(Math.log2(points)) - 9);
  return Math.floor(points / width) * width;
}
