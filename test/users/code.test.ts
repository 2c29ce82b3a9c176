import { expect, test } from "bun:test";
import { newReferralCode } from "../../src/users/code.ts";

test("a referral code is ten letters and digits, each as likely as any other", () => {
  const counts = new Map<string, number>();
  const codes = new Set<string>();
  for (let n = 0; n < 20_000; n++) {
    const code = newReferralCode((into) => void crypto.getRandomValues(into));
    expect(code).toMatch(/^[A-Za-z0-9]{10}$/);
    codes.add(code);
    for (const letter of code) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  }
  expect(codes.size).toBe(20_000);
  expect(counts.size).toBe(62);
  // 3,226 of each are to be expected, 57 more or less are one standard deviation.
  for (const [letter, count] of counts)
    expect({ letter, isFair: Math.abs(count - 3_226) < 400 }).toEqual({ letter, isFair: true });
});

test("bytes that would favour some letters are passed over", () => {
  let call = 0;
  const code = newReferralCode((into) => into.fill(call++ === 0 ? 255 : 61));
  expect(code).toBe("9999999999");
});
