/**
 * Users as the first tier holds them: packed, but for those of the last looks. An update looks at its user several times within
 * milliseconds and writes it; packing for each of them would cost more than the rest.
 */
import type { UserId } from "../ids.ts";
import type { User } from "../users/user.ts";
import type { HeldEntry, Holding } from "./holding.ts";
import { pack, type Packed, unpack } from "./packing.ts";

/** Entries of a generation; two of them are kept unpacked. */
const generationMax = 1_000;
/** What an entry takes besides its text, and an unpacked one instead of it, bytes: measured by `bench:users`. */
const entryBytes = 150;
const unpackedBytes = 1_500;

export interface Entry extends HeldEntry {
  /** One of the two is there. */
  packed: Packed | undefined;
  user: User | undefined;
}

export class Entries implements Holding<UserId, User, Entry> {
  #young = new Set<Entry>();
  #old = new Set<Entry>();
  #packedBytes = 0;

  /** About what `count` entries take in memory. */
  bytes(count: number): number {
    const unpacked = Math.min(count, this.#young.size + this.#old.size);
    return count * entryBytes + this.#packedBytes + unpacked * unpackedBytes;
  }

  idOf(user: User): UserId {
    return user.telegramId;
  }

  of(user: User, doubt: number): Entry {
    const entry: Entry = { version: user.version, doubt, packed: undefined, user };
    this.#look(entry);
    return entry;
  }

  documentOf(entry: Entry): User {
    const user = entry.user ?? unpack(entry.packed ?? "");
    if (entry.user === undefined) {
      entry.user = user;
      this.#look(entry);
    }
    return user;
  }

  /** The entry is held no more: nothing is packed for it. */
  drop(entry: Entry): void {
    this.#packedBytes -= entry.packed?.length ?? 0;
    this.#young.delete(entry);
    this.#old.delete(entry);
  }

  #look(entry: Entry): void {
    if (this.#young.size >= generationMax) {
      for (const past of this.#old) this.#pack(past);
      this.#old = this.#young;
      this.#young = new Set();
    }
    this.#young.add(entry);
  }

  #pack(entry: Entry): void {
    if (this.#young.has(entry) || entry.user === undefined) return;
    if (entry.packed === undefined) {
      entry.packed = pack(entry.user);
      this.#packedBytes += entry.packed.length;
    }
    entry.user = undefined;
  }
}
