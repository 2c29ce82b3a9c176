/** Users as statements of a compare-and-set. */
import { Fault } from "../faults.ts";
import type { User } from "../users/user.ts";
import { compareAndSet, type Statement } from "./mongodb-compare-and-set.ts";
import type { Document, Mongo } from "./mongodb-connection.ts";
import { changesOf, documentOf } from "./mongodb-documents.ts";
import { users } from "./mongodb-prepare.ts";
import type { Write, Written } from "./store.ts";

export interface WriteLimits {
  /** What one command may hold, by an estimate that is never too low, bytes: the server takes 16 MiB and refuses more. */
  readonly commandMaxBytes: number;
}

type Update = Write & { readonly before: User };

/**
 * The answers in the order of the writes. Rejects with `user_invalid` before anything is written where a document is too large; with the driver's error
 * where it is not known what was written, or nothing was.
 */
export async function writeUsers(
  mongo: Mongo,
  writes: readonly Write[],
  writer: string,
  { commandMaxBytes }: WriteLimits,
): Promise<readonly Written[]> {
  const statements = writes.map((write): Statement => {
    const bytes = bytesOf(write.user);
    if (bytes > commandMaxBytes) throw tooLarge(write.user);
    const isNew = !isUpdate(write);
    const statement = isUpdate(write) ? statementOf(write, writer) : documentOf(write.user, writer);
    return { id: write.user.telegramId, isNew, statement, bytes };
  });
  return await compareAndSet(mongo, users, statements, writer, commandMaxBytes);
}

function isUpdate(write: Write): write is Update {
  return write.before !== undefined;
}

function statementOf(write: Update, writer: string): Document {
  return { q: { _id: write.user.telegramId, version: write.before.version }, u: changesOf(write, writer) };
}

/** At least what its document takes: three bytes a character. Made for each write, so it builds nothing. */
function bytesOf(user: User): number {
  const characters =
    user.firstName.length +
    user.referralCode.length +
    (user.username?.length ?? 0) +
    (user.languageCode?.length ?? 0) +
    (user.walletAddress?.length ?? 0) +
    (user.deviceFingerprint?.length ?? 0) +
    (user.ipAddress?.length ?? 0);
  return 1_500 + 6 * characters + 100 * Object.keys(user.bots).length + 300 * user.applied.length;
}

function tooLarge({ telegramId }: User): Fault {
  return new Fault(
    "user_invalid",
    `user ${telegramId} cannot be stored: its document would be larger than the 16 MB that MongoDB takes; shorten its texts and lists by hand`,
  );
}
