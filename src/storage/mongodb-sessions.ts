/**
 * Sessions as documents of MongoDB: `_id` is the key; `past` is JSON text, which nobody searches; `empty` is the key again where there is no value, for the
 * index; `writer` names the call that wrote it last.
 */
import { soundSession, soundSessions, type StoredSession } from "./check-session.ts";
import { compareAndSet, type Statement } from "./mongodb-compare-and-set.ts";
import type { Document, Mongo } from "./mongodb-connection.ts";
import { decoded, encoded } from "./mongodb-documents.ts";
import { sessions } from "./mongodb-prepare.ts";
import type { Reach } from "./mongodb-reach.ts";
import type { Session, SessionStore, SessionWrite, SessionWritten } from "./session-store.ts";

export interface MongodbSessionsOptions {
  readonly mongo: Mongo;
  readonly reach: Reach;
  /** What one command may hold, bytes. */
  readonly commandMaxBytes: number;
}

export class MongodbSessions implements SessionStore {
  readonly #options: MongodbSessionsOptions;

  constructor(options: MongodbSessionsOptions) {
    this.#options = options;
  }

  readSessions(keys: readonly string[]): Promise<ReadonlyMap<string, Session>> {
    if (keys.length === 0) return Promise.resolve(new Map());
    const { reach } = this.#options;
    return reach.ask(sessions, "read", "read", async () => {
      const filter = { _id: { $in: keys.map(encoded) } };
      const found = (await reach.find({ filter, limit: keys.length }, sessions)).map(storedIn);
      return new Map(found.map((stored) => [stored.key, soundSession(stored)]));
    });
  }

  writeSessions(writes: readonly SessionWrite[], writer: string): Promise<readonly SessionWritten[]> {
    if (writes.length === 0) return Promise.resolve([]);
    const { mongo, reach, commandMaxBytes } = this.#options;
    return reach.ask(sessions, "write", "change", async () => {
      const statements = writes.map((write) => statementOf(write, writer));
      const ends = await compareAndSet(mongo, sessions, statements, writer, commandMaxBytes);
      // Nothing but the key is unique.
      return ends.map((end) => (end === "stored" ? "stored" : "conflict"));
    });
  }

  emptied(after: string | undefined, max: number): Promise<readonly Session[]> {
    const { reach } = this.#options;
    return reach.ask(sessions, "emptied", "read", async () => {
      const filter = { empty: after === undefined ? { $gt: "" } : { $gt: encoded(after) } };
      return soundSessions((await reach.find({ filter, sort: { empty: 1 }, limit: max }, sessions)).map(storedIn));
    });
  }

  removeSessions(gone: readonly Pick<Session, "key" | "version">[]): Promise<void> {
    if (gone.length === 0) return Promise.resolve();
    const { mongo, reach } = this.#options;
    return reach.ask(sessions, "remove", "change", async () => {
      const deletes = gone.map(({ key, version }) => ({ q: { _id: encoded(key), version }, limit: 1 }));
      await mongo.run({ delete: sessions, deletes, ordered: false, writeConcern: { w: "majority" } });
    });
  }
}

function statementOf({ session, expectedVersion }: SessionWrite, writer: string): Statement {
  const { key, version, value, past } = session;
  const id = encoded(key);
  const pastText = JSON.stringify(past);
  const fields = { version, value: value ?? null, past: pastText, writer };
  // Three bytes a character, and what BSON and the command put around.
  const bytes = 500 + 3 * (2 * id.length + (value?.length ?? 0) + pastText.length);
  if (expectedVersion === 0) {
    const statement = { _id: id, ...fields, ...(value === undefined ? { empty: id } : {}) };
    return { id, isNew: true, statement, bytes };
  }
  const u: Document =
    value === undefined ? { $set: { ...fields, empty: id } } : { $set: fields, $unset: { empty: "" } };
  return { id, isNew: false, statement: { q: { _id: id, version: expectedVersion }, u }, bytes };
}

function storedIn({ _id, version, value, past }: Document): StoredSession {
  return { key: String(decoded(_id)), version, value, past };
}
