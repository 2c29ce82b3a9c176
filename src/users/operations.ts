/**
 * Everything that changes a user, as pure functions: the same operation on the same document gives the same document and outcome,
 * wherever and how often it runs. A bot decides by the outcome alone, never by a value it read before.
 */
import type { BotId, UserId } from "../ids.ts";
import type { Outcome } from "./outcome.ts";
import type { BotMembership, BotState, DailyDays, User } from "./user.ts";

export interface Profile {
  readonly username?: string;
  readonly firstName: string;
  readonly languageCode?: string;
}

export type Operation =
  /** Makes the user, or refreshes the profile of one that exists; active in `bot` either way. `referrer` counts for a new user alone. */
  | { readonly kind: "register"; readonly bot: BotId; readonly profile: Profile; readonly referrer?: UserId }
  /** Points for the UTC day of `Applying.at`, once a day. */
  | { readonly kind: "daily" }
  /** `wallet` in canonical spelling. */
  | { readonly kind: "set_wallet"; readonly wallet: string }
  | { readonly kind: "set_bot_state"; readonly bot: BotId; readonly state: BotState };

/** What an operation of a kind can end with. */
export interface OutcomeKinds {
  register: "registered" | "known";
  daily: "granted" | "already" | "unregistered";
  set_wallet: "wallet_set" | "wallet_same" | "wallet_taken" | "unregistered";
  set_bot_state: "state_set" | "state_same" | "unregistered";
}

export type OutcomeOf<Kind extends Operation["kind"]> = Extract<Outcome, { readonly kind: OutcomeKinds[Kind] }>;

/** Whose user it is and when; `at` is when the update was received, wall-clock ms, so that a replay gets the same. */
export interface Applying {
  readonly id: UserId;
  readonly at: number;
  /** The referral code of the user, should it be new. */
  readonly code: string;
}

export interface Change {
  /** The very object that went in where nothing has to be written. */
  readonly user: User | undefined;
  readonly outcome: Outcome;
}

export const dailyPoints = 10;
export const referralPoints = 50;

const dayMs = 86_400_000;

/** `version` and `applied` are the repository's and stay as they are (0 and empty for a new user). */
export function apply(user: User | undefined, operation: Operation, applying: Applying): Change {
  if (operation.kind === "register") return register(user, operation, applying);
  if (user === undefined) return { user, outcome: { kind: "unregistered" } };
  const { at } = applying;
  switch (operation.kind) {
    case "daily":
      return daily(user, at);
    case "set_wallet":
      return setWallet(user, operation.wallet, at);
    case "set_bot_state":
      return setBotState(user, operation.bot, operation.state, at);
  }
}

/** The outcome of an operation that the store refused because a unique value of it belongs to another user; undefined: try another code. */
export function takenOutcome(operation: Operation): Outcome | undefined {
  return operation.kind === "set_wallet" ? { kind: "wallet_taken" } : undefined;
}

/**
 * Whether a replay must find this outcome remembered although nothing else of the user changes: what was set or known already is not so any more
 * once a later operation, stored before the process died, has changed it. A day stays granted, and who is not registered has nothing that remembers.
 */
export function mustBeRemembered({ kind }: Outcome): boolean {
  return kind !== "already" && kind !== "unregistered";
}

function register(
  user: User | undefined,
  { bot, profile, referrer }: Extract<Operation, { readonly kind: "register" }>,
  { id, at, code }: Applying,
): Change {
  if (user !== undefined) return refresh(user, bot, profile, at);
  const referredBy = referrer === id ? undefined : referrer;
  const fresh: User = {
    telegramId: id,
    ...only(profile),
    referralCode: code,
    ...(referredBy === undefined ? {} : { referredBy }),
    points: 0,
    referralCount: 0,
    isActive: true,
    isVerified: false,
    miniappVerified: false,
    createdAt: at,
    updatedAt: at,
    version: 0,
    bots: { [bot]: { state: "active", since: at } },
    referral: { state: "none" },
    applied: [],
  };
  return { user: fresh, outcome: { kind: "registered", ...(referredBy === undefined ? {} : { referredBy }) } };
}

function refresh(user: User, bot: BotId, profile: Profile, at: number): Change {
  const { user: active, outcome } = setBotState(user, bot, "active", at);
  const known: Outcome = { kind: "known", returned: outcome.kind === "state_set" };
  const { username, firstName, languageCode } = profile;
  const isSame = user.username === username && user.firstName === firstName && user.languageCode === languageCode;
  if (isSame || active === undefined) return { user: active, outcome: known };
  const { username: _name, languageCode: _language, ...rest } = active;
  return { user: { ...rest, ...only(profile), updatedAt: at }, outcome: known };
}

/** A module may hand over all that Telegram told of somebody: of that, nothing else gets into the user. */
function only({ username, firstName, languageCode }: Profile): Profile {
  return {
    firstName,
    ...(username === undefined ? {} : { username }),
    ...(languageCode === undefined ? {} : { languageCode }),
  };
}

function daily(user: User, at: number): Change {
  const day = Math.floor(at / dayMs);
  const days = withDay(user.daily, day);
  if (days === undefined) return { user, outcome: { kind: "already" } };
  const points = user.points + dailyPoints;
  const owes = user.daily === undefined && user.referredBy !== undefined && user.referral.state === "none";
  return {
    user: { ...user, points, daily: days, updatedAt: at, ...(owes ? { referral: { state: "owed", since: at } } : {}) },
    outcome: { kind: "granted", points, owes },
  };
}

const daysBefore = 31;

/** Undefined where the day was granted before. An update of an earlier day may come late: its lane waited, or it was a dead letter. */
function withDay(days: DailyDays | undefined, day: number): DailyDays | undefined {
  if (days === undefined) return { last: day, before: 0 };
  const { last, before } = days;
  const ahead = day - last;
  if (ahead > daysBefore) return { last: day, before: 0 };
  if (ahead > 0) return { last: day, before: ((before << ahead) | (1 << (ahead - 1))) >>> 0 };
  const bit = ahead === 0 || -ahead > daysBefore ? 0 : (1 << (-ahead - 1)) >>> 0;
  return bit === 0 || (before & bit) !== 0 ? undefined : { last, before: (before | bit) >>> 0 };
}

function setWallet(user: User, wallet: string, at: number): Change {
  if (user.walletAddress === wallet) return { user, outcome: { kind: "wallet_same" } };
  const replaced = user.walletAddress !== undefined;
  return { user: { ...user, walletAddress: wallet, updatedAt: at }, outcome: { kind: "wallet_set", replaced } };
}

function setBotState(user: User, bot: BotId, state: BotState, at: number): Change {
  if (user.bots[bot]?.state === state) return { user, outcome: { kind: "state_same" } };
  const bots: Record<string, BotMembership> = { ...user.bots, [bot]: { state, since: at } };
  const isActive = Object.values(bots).some((membership) => membership.state === "active");
  return { user: { ...user, bots, isActive, updatedAt: at }, outcome: { kind: "state_set" } };
}
