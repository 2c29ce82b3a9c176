/** The first tier of sessions: they are texts already, and held as they are. */
import type { Session } from "../storage/session-store.ts";
import type { HeldEntry, Holding } from "./holding.ts";
import { createMemoryTierOf, type MemoryTier, type MemoryTierOptions } from "./memory.ts";

interface HeldSession extends HeldEntry {
  readonly session: Session;
}

/** What a session takes besides its texts, bytes. */
const overheadBytes = 300;

class HeldSessions implements Holding<string, Session, HeldSession> {
  #characters = 0;

  idOf({ key }: Session): string {
    return key;
  }

  of(session: Session, doubt: number): HeldSession {
    this.#characters += charactersOf(session);
    return { version: session.version, doubt, session };
  }

  documentOf({ session }: HeldSession): Session {
    return session;
  }

  drop({ session }: HeldSession): void {
    this.#characters -= charactersOf(session);
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
