/** What the referral bot says. A language is one file with an object of this shape; what is missing there does not compile. */

export interface Messages {
  // Answers. Names are safe to be shown (names.ts); addresses are in canonical spelling.
  readonly welcome: (name: string) => string;
  readonly welcomeInvited: (name: string) => string;
  /** Registered; the code of the link belongs to nobody. */
  readonly welcomeUnknownCode: (name: string) => string;
  readonly welcomeBack: (name: string) => string;
  /** Was registered before; a link counts no more. */
  readonly linkTooLate: (name: string) => string;
  readonly profileTooLong: string;
  readonly pleaseStart: string;
  readonly dailyGranted: (points: number) => string;
  readonly dailyAlready: string;
  /** The balance is the first number in it, without separators. */
  readonly points: (points: number, friends: number) => string;
  readonly invite: (link: string) => string;
  /** What the share button writes beside the link. */
  readonly shareText: string;
  readonly leaderboardTitle: string;
  readonly leaderboardEmpty: string;
  readonly leaderboardLine: (place: number, name: string, points: number) => string;
  readonly place: (place: number) => string;
  readonly placeAbout: (place: number) => string;
  /** Stopped or blocked everywhere, so in no place. */
  readonly placeNone: string;
  /** For who shows no name. */
  readonly nobody: string;
  readonly walletSet: (address: string) => string;
  readonly walletReplaced: (address: string) => string;
  readonly walletSame: (address: string) => string;
  readonly walletTaken: string;
  readonly walletWrong: string;
  readonly walletShown: (address: string) => string;
  readonly walletNone: string;
  readonly stopped: string;
  readonly help: string;
  readonly hint: string;
  readonly tooMany: string;
  /** To a command in a group. */
  readonly writePrivately: string;

  // Labels of buttons.
  readonly buttonStart: string;
  readonly buttonDaily: string;
  readonly buttonPoints: string;
  readonly buttonInvite: string;
  readonly buttonLeaderboard: string;
  readonly buttonWallet: string;
  readonly buttonHelp: string;
  readonly buttonShare: string;
  readonly buttonOpen: string;
}
