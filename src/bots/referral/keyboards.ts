/** Buttons under messages. What a button sends is the name of a command. */
import type { InlineKeyboardButton, InlineKeyboardMarkup } from "grammy/types";
import type { Messages } from "./messages/messages.ts";

export interface Keyboards {
  readonly menu: InlineKeyboardMarkup;
  /** For who is not registered. */
  readonly start: InlineKeyboardMarkup;
  readonly points: InlineKeyboardMarkup;
  readonly invite: InlineKeyboardMarkup;
  /** Opens Telegram's choice of chats to send `link` to. */
  readonly share: (link: string) => InlineKeyboardMarkup;
  /** Opens the chat behind `link`. */
  readonly open: (link: string) => InlineKeyboardMarkup;
}

/** Made once for each language. */
export function createKeyboards(words: Messages): Keyboards {
  const daily = button(words.buttonDaily, "daily");
  const points = button(words.buttonPoints, "points");
  const invite = button(words.buttonInvite, "invite");
  const leaderboard = button(words.buttonLeaderboard, "leaderboard");
  const wallet = button(words.buttonWallet, "wallet");
  const help = button(words.buttonHelp, "help");
  const shared = encodeURIComponent(words.shareText);
  return {
    menu: keyboard([daily, points], [invite, leaderboard], [wallet, help]),
    start: keyboard([button(words.buttonStart, "start")]),
    points: keyboard([daily, invite]),
    invite: keyboard([invite, leaderboard]),
    share: (link) =>
      keyboard([
        { text: words.buttonShare, url: `https://t.me/share/url?url=${encodeURIComponent(link)}&text=${shared}` },
      ]),
    open: (link) => keyboard([{ text: words.buttonOpen, url: link }]),
  };
}

function keyboard(...rows: readonly InlineKeyboardButton[][]): InlineKeyboardMarkup {
  return { inline_keyboard: [...rows] };
}

function button(text: string, command: string): InlineKeyboardButton {
  return { text, callback_data: command };
}
