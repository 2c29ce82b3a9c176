/** Sessions in memory, with the outcomes of the real stores: for tests and simulations. */
import type { Session, SessionStore, SessionWrite, SessionWritten } from "./session-store.ts";

export class MemorySessionStore implements SessionStore {
  readonly sessions = new Map<string, Session>();

  readSessions(keys: readonly string[]): Promise<ReadonlyMap<string, Session>> {
    const found = keys.flatMap((key) => this.sessions.get(key) ?? []);
    return Promise.resolve(new Map(found.map((session) => [session.key, session])));
  }

  writeSessions(writes: readonly SessionWrite[], _writer: string): Promise<readonly SessionWritten[]> {
    return Promise.resolve(writes.map((write) => this.#write(write)));
  }

  emptied(after: string | undefined, max: number): Promise<readonly Session[]> {
    const found = [...this.sessions.values()].filter(
      ({ key, value }) => value === undefined && (after === undefined || key > after),
    );
    return Promise.resolve(found.sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, max));
  }

  removeSessions(sessions: readonly Pick<Session, "key" | "version">[]): Promise<void> {
    for (const { key, version } of sessions) {
      if (this.sessions.get(key)?.version === version) this.sessions.delete(key);
    }
    return Promise.resolve();
  }

  #write({ session, expectedVersion }: SessionWrite): SessionWritten {
    if ((this.sessions.get(session.key)?.version ?? 0) !== expectedVersion) return "conflict";
    this.sessions.set(session.key, session);
    return "stored";
  }
}
