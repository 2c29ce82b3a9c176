import { describe, expect, test } from "bun:test";
import { Fault } from "../../src/faults.ts";
import { createUserCheck } from "../../src/users/check-user.ts";
import { fullUser } from "../contract/users.ts";

const check = createUserCheck();

function faultOn(document: unknown): Fault {
  try {
    check(document);
  } catch (error) {
    if (error instanceof Fault) return error;
  }
  throw new Error("let through");
}

describe("a document read from a store", () => {
  test("that is a user is answered as it is, with every field or only those that must be", () => {
    const full = fullUser(7);
    expect(check(full)).toBe(full);
    const { username, languageCode, walletAddress, referredBy, deviceFingerprint, ipAddress, daily, ...least } = full;
    expect(check(least)).toBe(least);
    expect([username, languageCode, walletAddress, referredBy, deviceFingerprint, ipAddress, daily]).not.toContain(
      undefined,
    );
  });

  test("that is not one ends with `user_invalid`, naming the user and the field, whichever it is", () => {
    const full: Record<string, unknown> = { ...fullUser(7) };
    for (const field of Object.keys(full)) {
      for (const value of [null, "hidden value", Symbol("x"), [null], NaN, { hidden: 1 }, -1.5]) {
        const isText = typeof value === "string" && typeof full[field] === "string";
        const isTime = value === -1.5 && ["createdAt", "updatedAt"].includes(field);
        if (isText || isTime) continue;
        const { code, message } = faultOn({ ...full, [field]: value });
        expect(code).toBe("user_invalid");
        expect(message).toContain(`field ${field} `);
        expect(message).not.toContain("hidden");
        expect(message).toContain(field === "telegramId" ? "without a sound id" : "user 7");
      }
    }
  });

  test("that is not even an object is refused as well", () => {
    for (const document of [null, undefined, 5, "text", [], [{}], {}, () => 1]) {
      expect(faultOn(document).code).toBe("user_invalid");
    }
  });

  test("with keys of somebody's own is refused without repeating them", () => {
    const bots = { "hidden key": { state: "active", since: 1 } };
    expect(faultOn({ ...fullUser(7), bots }).message).not.toContain("hidden");
    const applied = [{ op: "1:2:0:daily", partition: 0, seq: 1, outcome: { kind: "hidden" } }];
    expect(faultOn({ ...fullUser(7), applied }).message).toContain("field applied ");
    const early = [{ ...applied[0], at: "hidden", outcome: { kind: "already" } }];
    expect(faultOn({ ...fullUser(7), applied: early }).message).toContain("field applied ");
  });
});
