/** Referral codes. */

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** 8.4e17 codes: nobody finds one by trying, and two users hardly ever draw the same. */
const codeChars = 10;
/** The largest multiple of the alphabet's size in a byte: what lies above would favour its first letters. */
const fairBelow = 256 - (256 % alphabet.length);

/** `random` fills an array with random bytes, as `crypto.getRandomValues` does. */
export function newReferralCode(random: (into: Uint8Array<ArrayBuffer>) => void): string {
  let code = "";
  const bytes = new Uint8Array(codeChars * 2);
  while (code.length < codeChars) {
    random(bytes);
    for (const byte of bytes) {
      if (byte < fairBelow && code.length < codeChars) code += alphabet[byte % alphabet.length];
    }
  }
  return code;
}
