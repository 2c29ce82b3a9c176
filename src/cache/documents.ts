/** What stands in the second tier: texts that a script of the server can read the head of. Anything else is damaged, and counts as nothing. */
import type { UserId } from "../ids.ts";
import type { User } from "../users/user.ts";
import type { UserCheck } from "../users/check-user.ts";
import { unpack } from "./packing.ts";

/** `d <generation> <version> <user as packed>`; version 0: there is no such user. */
const documentForm = /^d ([a-z0-9]+) (\d{1,16}) /;

/** `absent` there is no such user · `nothing` storage has to be asked: nothing is there, or a lease, or what may be old, or what is damaged. */
export type Found =
  | { readonly kind: "user"; readonly user: User }
  | { readonly kind: "absent" }
  | { readonly kind: "nothing" | "old" | "damaged" };

export function documentOf(generation: string, version: number, row: string): string {
  return `d ${generation} ${version} ${row}`;
}

/** Never throws, whatever is there. */
export function readDocument(value: string | undefined, id: UserId, generation: string, check: UserCheck): Found {
  if (value === undefined || value.startsWith("l ")) return { kind: "nothing" };
  const head = documentForm.exec(value);
  if (head === null) return { kind: "damaged" };
  if (head[1] !== generation) return { kind: "old" };
  const version = Number(head[2]);
  if (version === 0) return value.length === head[0].length ? { kind: "absent" } : { kind: "damaged" };
  try {
    const user = check(unpack(value.slice(head[0].length)));
    return user.telegramId === id && user.version === version ? { kind: "user", user } : { kind: "damaged" };
  } catch {
    // Of another botfleet, or of nobody's: storage knows better, and the next fill replaces it.
    return { kind: "damaged" };
  }
}
