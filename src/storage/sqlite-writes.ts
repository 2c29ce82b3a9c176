/**
 * Writes on their way to the thread that owns the file: one text of cells between NULs (which no cell holds), at a third of the cost of the
 * documents, of which most stays as it was. "" stands for NULL. Of each write: id · expected version · bits of the columns that change · the
 * steady columns · those that change · where points or activity do, what both were and are · where the bots do, those joined and those left.
 */
import type { User } from "../users/user.ts";
import { activeBots, type Cell, changing, changingColumns, restOf, steady } from "./sqlite-rows.ts";
import type { Write } from "./store.ts";

/** A write as the thread reads it. */
export interface RowWrite {
  readonly id: number;
  /** 0: the row must not exist. */
  readonly expectedVersion: number;
  /** Bits of the columns behind the steady ones in `values`. */
  readonly changed: number;
  readonly values: readonly Cell[];
  readonly counted: { readonly before: Counted; readonly after: Counted } | undefined;
  readonly joined: readonly number[];
  readonly left: readonly number[];
}

/** What the histogram is made of. */
export interface Counted {
  readonly points: number;
  readonly isActive: boolean;
}

/** The bits of columns that do not stand in every write. */
export function bitsOf(...columns: readonly string[]): number {
  return columns.reduce((bits, column) => bits | (1 << changingColumns.indexOf(column)), 0);
}

/** Of the columns in which a field of the user stands. */
const fieldBits = {
  points: bitsOf("points"),
  isActive: bitsOf("is_active"),
  bots: bitsOf("bots"),
  referralCount: bitsOf("referral_count"),
  walletAddress: bitsOf("wallet"),
  referral: bitsOf("referral_state", "referral_since"),
  isVerified: bitsOf("is_verified"),
  miniappVerified: bitsOf("miniapp_verified"),
  deviceFingerprint: bitsOf("device"),
  ipAddress: bitsOf("ip"),
  createdAt: bitsOf("created_at"),
  referredBy: bitsOf("referred_by"),
  referralCode: bitsOf("code"),
} as const;
const everyBit = 2 ** changing.length - 1;
const countedBits = fieldBits.points | fieldBits.isActive;
const botsBit = fieldBits.bots;
const separator = "\0";

export function textOf(writes: readonly Write[]): string {
  const cells: Cell[] = [];
  for (const { user, before } of writes) {
    const changed = before === undefined ? everyBit : changedBits(user, before);
    cells.push(user.telegramId, before?.version ?? 0, changed, user.updatedAt, restOf(user));
    for (let place = 0; place < changing.length; place++) {
      if ((changed & (1 << place)) !== 0) cells.push(changing[place]?.cellOf(user) ?? null);
    }
    if ((changed & countedBits) !== 0) {
      cells.push(before?.points ?? 0, Number(before?.isActive ?? false), user.points, Number(user.isActive));
    }
    if ((changed & botsBit) !== 0) {
      const [was, is] = [activeBots(before?.bots ?? {}), activeBots(user.bots)];
      cells.push(without(is, was).join(), without(was, is).join());
    }
  }
  return cells.join(separator);
}

/** The writes of a text of `textOf`. */
export function* writesIn(text: string): Generator<RowWrite> {
  const cells = text === "" ? [] : text.split(separator);
  let at = 0;
  const next = (): string => cells[at++] ?? "";
  const nextIds = (): number[] => next().split(",").filter(Boolean).map(Number);
  const nextCounted = (): Counted => ({ points: Number(next()), isActive: next() === "1" });
  while (at < cells.length) {
    const id = Number(next());
    const expectedVersion = Number(next());
    const changed = Number(next());
    const values: Cell[] = [];
    for (let left = steady.length + ones(changed); left > 0; left--) values.push(next() || null);
    const counted = (changed & countedBits) === 0 ? undefined : { before: nextCounted(), after: nextCounted() };
    const [joined, left] = (changed & botsBit) === 0 ? [[], []] : [nextIds(), nextIds()];
    yield { id, expectedVersion, changed, values, counted, joined, left };
  }
}

/** Field by field: a loop over `changing` costs ten times as much, and each write does it. */
function changedBits(user: User, before: User): number {
  let changed = 0;
  if (user.points !== before.points) changed |= fieldBits.points;
  if (user.isActive !== before.isActive) changed |= fieldBits.isActive;
  if (user.bots !== before.bots) changed |= fieldBits.bots;
  if (user.referralCount !== before.referralCount) changed |= fieldBits.referralCount;
  if (user.walletAddress !== before.walletAddress) changed |= fieldBits.walletAddress;
  if (user.referral !== before.referral) changed |= fieldBits.referral;
  if (user.isVerified !== before.isVerified) changed |= fieldBits.isVerified;
  if (user.miniappVerified !== before.miniappVerified) changed |= fieldBits.miniappVerified;
  if (user.deviceFingerprint !== before.deviceFingerprint) changed |= fieldBits.deviceFingerprint;
  if (user.ipAddress !== before.ipAddress) changed |= fieldBits.ipAddress;
  if (user.createdAt !== before.createdAt) changed |= fieldBits.createdAt;
  if (user.referredBy !== before.referredBy) changed |= fieldBits.referredBy;
  if (user.referralCode !== before.referralCode) changed |= fieldBits.referralCode;
  return changed;
}

function without(bots: readonly string[], others: readonly string[]): readonly string[] {
  return bots.filter((bot) => !others.includes(bot));
}

function ones(bits: number): number {
  let count = 0;
  for (let left = bits; left !== 0; left &= left - 1) count++;
  return count;
}
