/** English, and what is said in every language that has no file of its own. */
import { dailyPoints, referralPoints } from "../../../users/operations.ts";
import type { Messages } from "./messages.ts";

function pointsOf(count: number): string {
  return `${count} ${count === 1 ? "point" : "points"}`;
}

const about = `/daily brings you ${pointsOf(dailyPoints)} a day, and /invite ${pointsOf(referralPoints)} for each friend who comes by your link and takes the first daily points.`;

export const en: Messages = {
  welcome: (name) => `Hello, ${name}! You are registered.\n\n${about}`,
  welcomeInvited: (name) =>
    `Hello, ${name}! You are registered, and the friend who invited you is noted.\n\nTake your first /daily points, and your friend gets points too. ${about}`,
  welcomeUnknownCode: (name) =>
    `Hello, ${name}! You are registered. Sorry, the code of your invitation link is not known, so nobody is noted as having invited you.\n\n${about}`,
  welcomeBack: (name) => `Welcome back, ${name}! You are registered.\n\n${about}`,
  linkTooLate: (name) =>
    `Welcome back, ${name}! You are registered already, so the invitation link does not count: it does only for who is new.`,
  profileTooLong: "Sorry, your Telegram name is too long for me. Please shorten it and send /start again.",
  pleaseStart: "You are not registered yet. Press the button or send /start.",
  dailyGranted: (points) =>
    `You got ${pointsOf(dailyPoints)} for today. Your balance is ${pointsOf(points)}. Come back tomorrow!`,
  dailyAlready: "You already took the points of today. A new day begins at midnight UTC.",
  points: (points, friends) => `Your balance: ${pointsOf(points)}.\nFriends who brought you points: ${friends}.`,
  invite: (link) =>
    `Your invitation link:\n${link}\n\nYou get ${pointsOf(referralPoints)} for each friend who comes by it and takes the first /daily points.`,
  shareText: "Join me here and collect points every day!",
  leaderboardTitle: "The leaders:",
  leaderboardEmpty: "Nobody is here yet.",
  leaderboardLine: (place, name, points) => `${place}. ${name}: ${pointsOf(points)}`,
  place: (place) => `Your place: ${place}`,
  placeAbout: (place) => `Your place: about ${place}`,
  placeNone: "You have no place, because you stopped the bot. Send /start to come back.",
  nobody: "Somebody",
  walletSet: (address) => `Your wallet is saved:\n${address}`,
  walletReplaced: (address) => `Your wallet is changed to:\n${address}\n\nThe former one is free again.`,
  walletSame: (address) => `This is your wallet already, nothing changed:\n${address}`,
  walletTaken: "Sorry, this wallet belongs to another user. Nothing changed.",
  walletWrong:
    "This is no address that I know, or a character of it is wrong. Nothing changed.\n\nSend /wallet and an address of an EVM chain (0x…), of TON or of Solana.",
  walletShown: (address) => `Your wallet:\n${address}\n\nTo change it, send /wallet and the new address.`,
  walletNone: "You have no wallet yet. Send /wallet and an address of an EVM chain (0x…), of TON or of Solana.",
  stopped: "You are out: I will not write to you by myself any more. Your points stay. Send /start to come back.",
  help: [
    `/daily: ${pointsOf(dailyPoints)}, once a day`,
    "/points: your balance",
    `/invite: your link; ${pointsOf(referralPoints)} for each friend`,
    "/leaderboard: the leaders and your place",
    "/wallet: show your wallet; with an address, save it",
    "/stop: hear no more from me",
    "/help: this list",
  ].join("\n"),
  hint: "I understand commands only. Send /help to see them.",
  tooMany: "That was a lot at once. Please wait a little.",
  writePrivately: "Please write to me in private: points and wallets are nobody else's business.",

  buttonStart: "Start",
  buttonDaily: "Daily points",
  buttonPoints: "My points",
  buttonInvite: "Invite friends",
  buttonLeaderboard: "Leaderboard",
  buttonWallet: "My wallet",
  buttonHelp: "Help",
  buttonShare: "Share the link",
  buttonOpen: "Open the chat",
};
