/** The border between modules, which may be plain JavaScript, and users: what is stored must be a user when it is read again. */
import type { UserId } from "../ids.ts";
import type { Operation, Profile } from "./operations.ts";

/** Throws a TypeError that names what is wrong, never what it holds: the mistake of whoever calls. About 0.1 µs. */
export function checkOperation(id: UserId, operation: Operation): void {
  if (!isId(id)) throw wrong("the id of the user");
  switch (operation.kind) {
    case "register":
      if (!isBot(operation.bot)) throw wrong("`bot`");
      if (!isProfile(operation.profile)) throw wrong("`profile`");
      if (operation.referrer !== undefined && !isId(operation.referrer)) throw wrong("`referrer`");
      return;
    case "daily":
      return;
    case "set_wallet":
      if (typeof operation.wallet !== "string" || operation.wallet === "") throw wrong("`wallet`");
      return;
    case "set_bot_state":
      if (!isBot(operation.bot)) throw wrong("`bot`");
      if (operation.state !== "active" && operation.state !== "blocked") throw wrong("`state`");
      return;
    default:
      throw wrong("`kind`");
  }
}

function wrong(what: string): TypeError {
  return new TypeError(`users.change: ${what} is missing or of the wrong kind`);
}

function isId(value: unknown): boolean {
  return Number.isSafeInteger(value) && value !== 0;
}

const botMax = 999_999_999_999_999;

function isBot(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0 && value <= botMax;
}

function isProfile(value: Profile | null | undefined): boolean {
  if (typeof value !== "object" || value === null || typeof value.firstName !== "string") return false;
  return [value.username, value.languageCode].every((text) => text === undefined || typeof text === "string");
}
