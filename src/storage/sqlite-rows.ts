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

/** The document of a row, its cells in the order of `columns`, as JSON text. What stands in `bots` and `rest` is passed on unread. */
export function documentOf(row: readonly Cell[]): string {
  const [id, version, updatedAt, referralCount, bots, rest, points, isActive, isVerified, miniapp, ...more] = row;
  const [state, since, createdAt, referredBy, code, wallet, device, ip] = more;
  const cell = (name: string, value: Cell | undefined): string => (value === null ? "" : `"${name}":${String(value)},`);
  const key = (name: string, value: Cell | undefined): string =>
    typeof value === "string" ? cell(name, jsonOf(value)) : "";
  return (
    `{"telegramId":${String(id)},"version":${String(version)},"updatedAt":${String(updatedAt)},` +
    `"referralCount":${String(referralCount)},"points":${String(points)},"isActive":${isActive === 1},` +
    `"isVerified":${isVerified === 1},"miniappVerified":${miniapp === 1},"createdAt":${String(createdAt)},` +
    key("referralCode", code) +
    cell("referredBy", referredBy) +
    key("walletAddress", wallet) +
    key("deviceFingerprint", device) +
    key("ipAddress", ip) +
    `"referral":{"state":"${referralStates[Number(state)]}"${since === null ? "" : `,"since":${String(since)}`}},` +
    `"bots":${String(bots)},${String(rest).slice(1)}`
  );
}

function jsonOf(key: string): string {
  return key.startsWith('"') ? key : JSON.stringify(key);
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
