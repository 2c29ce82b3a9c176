/** The tables of the SQLite storage. */
import type { Format } from "../sqlite/format.ts";
import { sessionSchema } from "./sqlite-sessions.ts";

/**
 * `users`: a column for what is searched by or what a reward changes; the rest as JSON text. `referral_state` 0 none, 1 owed, 2 paid.
 * `wallet`, `code`, `device` and `ip` hold the text of `keyOf`. `members`: who is active in which bot. `histogram`: active users per bucket of
 * points. `members` and `histogram` change in the transaction of what they are made of.
 */
const userSchema = `
  CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE users(
    id INTEGER PRIMARY KEY, version INTEGER NOT NULL, updated_at INTEGER NOT NULL, referral_count INTEGER NOT NULL,
    points INTEGER NOT NULL, is_active INTEGER NOT NULL, is_verified INTEGER NOT NULL, miniapp_verified INTEGER NOT NULL,
    referral_state INTEGER NOT NULL, referral_since INTEGER, created_at INTEGER NOT NULL, referred_by INTEGER,
    code TEXT NOT NULL, wallet TEXT, device TEXT, ip TEXT, bots TEXT NOT NULL, rest TEXT NOT NULL
  );
  CREATE UNIQUE INDEX users_wallet ON users(wallet) WHERE wallet IS NOT NULL;
  CREATE UNIQUE INDEX users_code ON users(code);
  CREATE INDEX users_device_ip ON users(device, ip) WHERE device IS NOT NULL;
  CREATE INDEX users_active_points ON users(is_active, points DESC);
  CREATE INDEX users_verified ON users(id, miniapp_verified, is_verified);
  CREATE INDEX users_code_active ON users(code, is_active);
  CREATE INDEX users_referrer ON users(referred_by, created_at DESC, id DESC) WHERE referred_by IS NOT NULL;
  CREATE INDEX users_owed ON users(referral_since) WHERE referral_state = 1;
  CREATE TABLE members(bot INTEGER NOT NULL, user INTEGER NOT NULL, PRIMARY KEY (bot, user)) WITHOUT ROWID;
  CREATE TABLE histogram(points INTEGER PRIMARY KEY, users INTEGER NOT NULL);
`;

export const format: Format = {
  schema: userSchema + sessionSchema,
  migrations: [(db) => db.run(sessionSchema)],
};
