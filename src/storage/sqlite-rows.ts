/** Users as rows, and rows as JSON documents. */
import type { ReferralState, User } from "../users/user.ts";
import type { Write } from "./store.ts";

export type Cell = number | string | null;

/** Columns that stand in an index. An update names those alone that it changes, so that no other index is touched. */
export const indexed = [
  "points",
  "is_active",
  "is_verified",
  "miniapp_verified",
  "referral_state",
  "referral_since",
  "created_at",
  "referred_by",
  "code",
  "wallet",
  "device",
  "ip",
] as const;
/** The others, written each time. */
export const plain = ["version", "updated_at", "referral_count", "bots", "rest"] as const;
/** In the order of the cells of a row. */
export const columns = ["id", ...plain, ...indexed] as const;
/** A row and, behind it, the version it replaces. */
export const cellsPerWrite = columns.length + 1;

export const referralStates: readonly ReferralState[] = ["none", "owed", "paid"];

/** One flat list: it goes to the thread at a third of the cost of documents. */
export function cellsOf(writes: readonly Write[]): Cell[] {
  const cells: Cell[] = [];
  for (const { user, expectedVersion } of writes) {
    const { username, firstName, languageCode, daily, applied, referral } = user;
    cells.push(
      user.telegramId,
      user.version,
      user.updatedAt,
      user.referralCount,
      JSON.stringify(user.bots),
      JSON.stringify({ firstName, username, languageCode, daily, applied }),
      user.points,
      Number(user.isActive),
      Number(user.isVerified),
      Number(user.miniappVerified),
      referralStates.indexOf(referral.state),
      referral.since ?? null,
      user.createdAt,
      user.referredBy ?? null,
      keyOf(user.referralCode),
      keyOrNull(user.walletAddress),
      keyOrNull(user.deviceFingerprint),
      keyOrNull(user.ipAddress),
      expectedVersion,
    );
  }
  return cells;
}

/**
 * The text by which a value is found in SQLite, which knows no lone surrogates and ends some texts at NUL: a value that holds either is
 * kept as its JSON text, and so is one that begins as JSON text does. No two values have the same key.
 */
export function keyOf(text: string): string {
  const isPlain = text.isWellFormed() && !text.includes("\0") && !text.startsWith('"');
  return isPlain ? text : JSON.stringify(text);
}

function keyOrNull(text: string | undefined): string | null {
  return text === undefined ? null : keyOf(text);
}

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

/** Bots in which the user of this row is active. Text that is none of ours names none. */
export function activeBots(bots: string): readonly number[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(bots);
  } catch {
    // A damaged cell: it is about to be replaced, and what it said is in `members` until its user is written again.
    return [];
  }
  return Object.entries(parsed as User["bots"]).flatMap(([bot, { state }]) =>
    state === "active" ? [Number(bot)] : [],
  );
}

/** Where a user with so many points stands in the histogram: exact below 1,024, then 512 buckets for each doubling. */
export function bucketOf(points: number): number {
  if (points < 1_024) return points;
  const width = 2 ** (Math.floor(Math.log2(points)) - 9);
  return Math.floor(points / width) * width;
}
