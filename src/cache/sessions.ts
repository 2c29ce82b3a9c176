/** The first tier of sessions: they are texts already, and held as they are. */
import type { Session } from "../storage/session-store.ts";
import type { HeldEntry, Holding } from "./holding.ts";
import { createMemoryTierOf, type MemoryTier, type MemoryTierOptions } from "./memory.ts";

interface HeldSession extends HeldEntry {
  readonly session: Session;
  readonly bytes: number;
}

/** What a session takes besides its texts, bytes. */
const overheadBytes = 300;

class HeldSessions implements Holding<string, Session, HeldSession> {
  #characters = 0;

  idOf({ key }: Session): string {
    return key;
  }

  of(session: Session, doubt: number): HeldSession {
    const characters = charactersOf(session);
    this.#characters += characters;
    return { version: session.version, doubt, session, bytes: overheadBytes + characters };
  }

  documentOf({ session }: HeldSession): Session {
    return session;
  }

  drop({ bytes }: HeldSession): void {
    this.#characters -= bytes - overheadBytes;
  }

  bytes(count: number): number {
    return this.#characters + count * overheadBytes;
  }
}

function charactersOf({ key, value = "", past }: Session): number {
  return past.reduce((sum, { before = "" }) => sum + before.length, key.length + value.length);
}

export function createSessionTier(options: MemoryTierOptions<string, Session>): MemoryTier<string, Session> {
  return createMemoryTierOf(new HeldSessions(), options);
}
