/** The border between documents as a store gives them and users. */
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { Type } from "@sinclair/typebox";
import { Fault } from "../faults.ts";
import type { User } from "./user.ts";

/** Answers the document itself as a `User`. Throws `user_invalid`, naming the user and the first field that is wrong, never what it holds. */
export type UserCheck = (document: unknown) => User;

/** Compiles the check once: about 0.3 µs a document then. Fields that a user does not have are let through. */
export function createUserCheck(): UserCheck {
  const check = TypeCompiler.Compile(userSchema());
  return (document) => {
    if (check.Check(document)) return document as unknown as User;
    const path = check.Errors(document).First()?.path ?? "";
    // Deeper keys may be anybody's text.
    throw invalidUser(idIn(document), path.split("/")[1] ?? "");
  };
}

/** `field` "": all of it. */
export function invalidUser(id: number | undefined, field: string): Fault {
  const whose = id === undefined ? "a user without a sound id" : `user ${id}`;
  const what = field === "" ? "is no user" : `is no user: its field ${field} is damaged`;
  return new Fault("user_invalid", `the stored document of ${whose} ${what}; restore or delete it`);
}

function idIn(document: unknown): number | undefined {
  const id = typeof document === "object" && document !== null && "telegramId" in document ? document.telegramId : 0;
  return typeof id === "number" && Number.isSafeInteger(id) && id !== 0 ? id : undefined;
}

function userSchema() {
  const id = Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER });
  const time = Type.Number();
  const count = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
  const literal = (words: readonly string[]) => Type.Union(words.map((word) => Type.Literal(word)));
  const membership = Type.Object({ state: literal(["active", "blocked"]), since: time });
  return Type.Object({
    telegramId: id,
    username: Type.Optional(Type.String()),
    firstName: Type.String(),
    languageCode: Type.Optional(Type.String()),
    walletAddress: Type.Optional(Type.String()),
    referralCode: Type.String(),
    referredBy: Type.Optional(id),
    points: Type.Integer({ minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER }),
    referralCount: count,
    isActive: Type.Boolean(),
    isVerified: Type.Boolean(),
    miniappVerified: Type.Boolean(),
    deviceFingerprint: Type.Optional(Type.String()),
    ipAddress: Type.Optional(Type.String()),
    createdAt: time,
    updatedAt: time,
    version: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER }),
    bots: Type.Record(Type.String({ pattern: "^[0-9]{1,15}$" }), membership, { additionalProperties: false }),
    referral: Type.Object({ state: literal(["none", "owed", "paid"]), since: Type.Optional(time) }),
    daily: Type.Optional(Type.Object({ last: Type.Integer(), before: Type.Integer({ minimum: 0 }) })),
    applied: Type.Array(
      Type.Object({
        op: Type.String(),
        partition: count,
        seq: count,
        at: Type.Optional(time),
        outcome: outcomeSchema(id),
      }),
    ),
  });
}

function outcomeSchema(id: ReturnType<typeof Type.Integer>) {
  const plain = ["already", "wallet_same", "wallet_taken", "state_set", "state_same", "unregistered"];
  return Type.Union([
    Type.Object({ kind: Type.Literal("granted"), points: Type.Number(), owes: Type.Boolean() }),
    Type.Object({ kind: Type.Literal("known"), returned: Type.Boolean() }),
    Type.Object({ kind: Type.Literal("registered"), referredBy: Type.Optional(id) }),
    Type.Object({ kind: Type.Literal("wallet_set"), replaced: Type.Boolean() }),
    Type.Object({ kind: Type.Union(plain.map((kind) => Type.Literal(kind))) }),
  ]);
}
