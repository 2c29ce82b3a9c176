import { toToken } from "../ids.ts";
import type { Token } from "../ids.ts";

const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** The token of a simulated bot, always the same for the same id: `<id>:AA` and 33 further characters. */
export function makeToken(botId: number): Token {
  let state = (botId ^ Math.floor(botId / 2 ** 32) ^ 0x9e3779b9) >>> 0 || 1;
  let secret = "AA";
  while (secret.length < 35) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    secret += letters[(state >>> 0) % letters.length];
  }
  const token = toToken(`${botId}:${secret}`);
  if (token === undefined) throw new RangeError(`${botId} cannot be the id of a bot`);
  return token;
}
