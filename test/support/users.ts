/** Users for tests. */
import { toUserId } from "../../src/ids.ts";
import type { User } from "../../src/users/user.ts";

export function userOf(id: number, version: number, fields: Partial<User> = {}): User {
  return {
    telegramId: toUserId(id),
    firstName: "P",
    referralCode: `code${id}`,
    points: version,
    referralCount: 0,
    isActive: true,
    isVerified: false,
    miniappVerified: false,
    createdAt: 1,
    updatedAt: version,
    version,
    bots: {},
    referral: { state: "none" },
    applied: [],
    ...fields,
  };
}
