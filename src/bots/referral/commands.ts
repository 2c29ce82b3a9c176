/**
 * What the commands do. A command answers by the outcome of its operation, never by a value read before: a second run of the same update
 * answers as the first did.
 */
import type { InlineKeyboardMarkup } from "grammy/types";
import type { BotId } from "../../ids.ts";
import type { Operation, OutcomeOf } from "../../users/operations.ts";
import type { User } from "../../users/user.ts";
import type { Leaderboard, Users } from "../../users/users.ts";
import type { Sender } from "./incoming.ts";
import type { Language } from "./languages.ts";
import { codeIn, inviteLink } from "./links.ts";
import type { Messages } from "./messages/messages.ts";
import { shownName } from "./names.ts";
import { canonicalWallet } from "./wallet.ts";

export interface Asked {
  readonly from: Sender;
  readonly argument: string;
  readonly language: Language;
}

/** Plain text, shorter than Telegram's 4,096 characters. */
export interface Reply {
  readonly text: string;
  readonly keyboard?: InlineKeyboardMarkup;
}

/** Rejects as `Users` does, and with nothing else. */
export type Command = (asked: Asked) => Promise<Reply>;

export interface CommandsOptions {
  readonly users: Users;
  readonly bot: BotId;
  /** Of the bot, without the @. */
  readonly username: string;
  /** Told each outcome. */
  readonly count: (event: string) => void;
}

/** Of a name or a language code: Telegram's longest have 64 characters. */
const profileMaxChars = 256;

/** By the name that a user types or a button sends. */
export function createCommands(options: CommandsOptions): ReadonlyMap<string, Command> {
  const { users, bot, username, count } = options;

  async function change<Kind extends Operation["kind"]>(
    { id }: Sender,
    operation: Extract<Operation, { readonly kind: Kind }>,
  ): Promise<OutcomeOf<Kind>> {
    const outcome = await users.change<Kind>(id, operation);
    count(outcome.kind);
    return outcome;
  }

  /** For commands that only show something of who asks. */
  function shown(show: (user: User, asked: Asked) => Reply | Promise<Reply>): Command {
    return async (asked) => {
      const user = await users.get(asked.from.id);
      return user === undefined ? pleaseStart(asked) : show(user, asked);
    };
  }

  const start: Command = async ({ from, argument, language: { words, keyboards } }) => {
    const { profile } = from;
    if (isTooLong(profile.firstName) || isTooLong(profile.username) || isTooLong(profile.languageCode)) {
      count("profile_too_long");
      return { text: words.profileTooLong };
    }
    const code = codeIn(argument);
    const referrer = code === undefined || code === "" ? undefined : await users.idOfCode(code);
    const referral = referrer === undefined ? {} : { referrer };
    const outcome = await change<"register">(from, { kind: "register", bot, profile, ...referral });
    const name = shownName(profile.firstName, words.nobody);
    return { text: greeting(words, name, outcome, code !== undefined), keyboard: keyboards.menu };
  };

  const daily: Command = async (asked) => {
    const { words, keyboards } = asked.language;
    const outcome = await change<"daily">(asked.from, { kind: "daily" });
    switch (outcome.kind) {
      case "granted":
        return { text: words.dailyGranted(outcome.points), keyboard: keyboards.invite };
      case "already":
        return { text: words.dailyAlready, keyboard: keyboards.invite };
      case "unregistered":
        return pleaseStart(asked);
    }
  };

  const points = shown(({ points: balance, referralCount }, { language: { words, keyboards } }) => ({
    text: words.points(balance, referralCount),
    keyboard: keyboards.points,
  }));

  const invite = shown(({ referralCode }, { language: { words, keyboards } }) => {
    const link = inviteLink(username, referralCode);
    return { text: words.invite(link), keyboard: keyboards.share(link) };
  });

  const leaderboard = shown(async (user, { language: { words } }) => ({
    text: boardText(words, user, await users.leaderboard()),
  }));

  const showWallet = shown(({ walletAddress }, { language: { words } }) => ({
    text: walletAddress === undefined ? words.walletNone : words.walletShown(walletAddress),
  }));

  const wallet: Command = async (asked) => {
    const { words } = asked.language;
    if (asked.argument === "") return showWallet(asked);
    const address = canonicalWallet(asked.argument);
    if (address === undefined) {
      count("wallet_wrong");
      return { text: words.walletWrong };
    }
    const outcome = await change<"set_wallet">(asked.from, { kind: "set_wallet", wallet: address });
    switch (outcome.kind) {
      case "wallet_set":
        return { text: outcome.replaced ? words.walletReplaced(address) : words.walletSet(address) };
      case "wallet_same":
        return { text: words.walletSame(address) };
      case "wallet_taken":
        return { text: words.walletTaken };
      case "unregistered":
        return pleaseStart(asked);
    }
  };

  const stop: Command = async (asked) => {
    const outcome = await change<"set_bot_state">(asked.from, { kind: "set_bot_state", bot, state: "blocked" });
    return outcome.kind === "unregistered" ? pleaseStart(asked) : { text: asked.language.words.stopped };
  };

  const help: Command = ({ language: { words, keyboards } }) =>
    Promise.resolve({ text: words.help, keyboard: keyboards.menu });

  return new Map(Object.entries({ start, daily, points, invite, leaderboard, wallet, help, stop }));
}

function pleaseStart({ language: { words, keyboards } }: Asked): Reply {
  return { text: words.pleaseStart, keyboard: keyboards.start };
}

function isTooLong(text: string | undefined): boolean {
  return text !== undefined && text.length > profileMaxChars;
}

/** `hadLink`: it came with somebody's code, known or not. */
function greeting(words: Messages, name: string, outcome: OutcomeOf<"register">, hadLink: boolean): string {
  if (outcome.kind === "known") return hadLink ? words.linkTooLate(name) : words.welcomeBack(name);
  if (outcome.referredBy !== undefined) return words.welcomeInvited(name);
  return hadLink ? words.welcomeUnknownCode(name) : words.welcome(name);
}

function boardText(words: Messages, user: User, board: Leaderboard): string {
  const lines = board.top.map(({ firstName, points }, at) =>
    words.leaderboardLine(at + 1, shownName(firstName, words.nobody), points),
  );
  const rank = board.rankOf(user);
  const place =
    rank === undefined ? words.placeNone : rank.isExact ? words.place(rank.place) : words.placeAbout(rank.place);
  const top = lines.length === 0 ? words.leaderboardEmpty : lines.join("\n");
  return `${words.leaderboardTitle}\n${top}\n\n${place}`;
}
