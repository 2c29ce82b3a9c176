/** Russian. */
import { dailyPoints, referralPoints } from "../../../users/operations.ts";
import type { Messages } from "./messages.ts";

/** As CLDR has it for whole numbers: 1 балл, 2 балла, 5 баллов, 11 баллов, 21 балл. */
function pointsOf(count: number): string {
  const [tens, ones] = [count % 100, count % 10];
  if (tens >= 11 && tens <= 14) return `${count} баллов`;
  if (ones === 1) return `${count} балл`;
  return `${count} ${ones >= 2 && ones <= 4 ? "балла" : "баллов"}`;
}

const about = `/daily приносит ${pointsOf(dailyPoints)} в день, а /invite ${pointsOf(referralPoints)} за каждого друга, который придёт по вашей ссылке и впервые заберёт ежедневные баллы.`;

export const ru: Messages = {
  welcome: (name) => `Здравствуйте, ${name}! Вы зарегистрированы.\n\n${about}`,
  welcomeInvited: (name) =>
    `Здравствуйте, ${name}! Вы зарегистрированы, и мы запомнили, кто вас пригласил.\n\nЗаберите первые баллы командой /daily, и ваш друг тоже получит баллы. ${about}`,
  welcomeUnknownCode: (name) =>
    `Здравствуйте, ${name}! Вы зарегистрированы. К сожалению, код из вашей ссылки неизвестен, поэтому пригласивший не записан.\n\n${about}`,
  welcomeBack: (name) => `С возвращением, ${name}! Вы зарегистрированы.\n\n${about}`,
  linkTooLate: (name) =>
    `С возвращением, ${name}! Вы уже зарегистрированы, поэтому ссылка-приглашение не учитывается: она действует только для новых пользователей.`,
  profileTooLong: "К сожалению, ваше имя в Telegram слишком длинное. Сократите его и отправьте /start ещё раз.",
  pleaseStart: "Вы ещё не зарегистрированы. Нажмите кнопку или отправьте /start.",
  dailyGranted: (points) =>
    `Вам начислено за сегодня: ${pointsOf(dailyPoints)}. Ваш баланс: ${pointsOf(points)}. Приходите завтра!`,
  dailyAlready: "Сегодняшние баллы вы уже забрали. Новый день начинается в полночь по UTC.",
  points: (points, friends) => `Ваш баланс: ${pointsOf(points)}.\nДрузей, которые принесли вам баллы: ${friends}.`,
  invite: (link) =>
    `Ваша ссылка-приглашение:\n${link}\n\nЗа каждого друга, который придёт по ней и впервые заберёт баллы командой /daily, вы получите ${pointsOf(referralPoints)}.`,
  shareText: "Присоединяйтесь и собирайте баллы каждый день!",
  leaderboardTitle: "Лидеры:",
  leaderboardEmpty: "Пока никого нет.",
  leaderboardLine: (place, name, points) => `${place}. ${name}: ${pointsOf(points)}`,
  place: (place) => `Ваше место: ${place}`,
  placeAbout: (place) => `Ваше место: около ${place}`,
  placeNone: "У вас нет места, потому что вы остановили бота. Отправьте /start, чтобы вернуться.",
  nobody: "Некто",
  walletSet: (address) => `Ваш кошелёк сохранён:\n${address}`,
  walletReplaced: (address) => `Ваш кошелёк изменён:\n${address}\n\nПрежний снова свободен.`,
  walletSame: (address) => `Это и так ваш кошелёк, ничего не изменилось:\n${address}`,
  walletTaken: "К сожалению, этот кошелёк принадлежит другому пользователю. Ничего не изменилось.",
  walletWrong:
    "Такой адрес мне неизвестен, или в нём ошибка. Ничего не изменилось.\n\nОтправьте /wallet и адрес сети EVM (0x…), TON или Solana.",
  walletShown: (address) => `Ваш кошелёк:\n${address}\n\nЧтобы изменить его, отправьте /wallet и новый адрес.`,
  walletNone: "У вас ещё нет кошелька. Отправьте /wallet и адрес сети EVM (0x…), TON или Solana.",
  stopped: "Готово: я больше не буду писать вам первым. Ваши баллы останутся. Отправьте /start, чтобы вернуться.",
  help: [
    `/daily: ${pointsOf(dailyPoints)}, раз в день`,
    "/points: ваш баланс",
    `/invite: ваша ссылка; ${pointsOf(referralPoints)} за каждого друга`,
    "/leaderboard: лидеры и ваше место",
    "/wallet: показать кошелёк, а с адресом сохранить его",
    "/stop: больше не получать сообщений",
    "/help: этот список",
  ].join("\n"),
  hint: "Я понимаю только команды. Отправьте /help, чтобы их увидеть.",
  tooMany: "Слишком много сообщений сразу. Подождите немного.",
  writePrivately: "Напишите мне, пожалуйста, в личные сообщения: баллы и кошельки касаются только вас.",

  buttonStart: "Начать",
  buttonDaily: "Баллы за день",
  buttonPoints: "Мои баллы",
  buttonInvite: "Пригласить друзей",
  buttonLeaderboard: "Лидеры",
  buttonWallet: "Мой кошелёк",
  buttonHelp: "Помощь",
  buttonShare: "Поделиться ссылкой",
  buttonOpen: "Открыть чат",
};
