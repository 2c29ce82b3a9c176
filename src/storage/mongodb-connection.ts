/** The driver: one client with its pool, commands on one database, transactions. Nothing here knows users. */
import {
  type ClientSession,
  type ConnectionCheckOutFailedEvent,
  type ConnectionClosedEvent,
  type Db,
  type Document,
  MongoClient,
  type MongoClientOptions,
  type ReadPreferenceMode,
} from "mongodb";
import { backoffMs, type Clock, type Random, sleep } from "../clock.ts";
import { Fault } from "../faults.ts";
import { Flights } from "./mongodb-flights.ts";
import { isConflict, isTransient, isUnknownCommit, messageOf } from "./mongodb-errors.ts";
import type { Compressor } from "./mongodb-compressors.ts";
import type { PoolCounts } from "./mongodb-watch.ts";

export type { Document };

export interface MongoOptions {
  readonly uri: string;
  readonly database: string;
  readonly pool: MongoPool;
  readonly compressors: readonly Compressor[];
  /** 1 the fastest, 9 the smallest. */
  readonly zlibLevel: number;
  readonly limits: MongoLimits;
  readonly clock: Clock;
  readonly random: Random;
  /** Counted up and down as connections come and go. */
  readonly counts: PoolCounts;
  readonly onCheckedOut: (ms: number) => void;
}

export interface MongoPool {
  readonly maxPoolSize: number;
  /** Filled in the background, two at a time. */
  readonly minPoolSize: number;
  readonly socketTimeoutMs: number;
  readonly waitQueueTimeoutMs: number;
}

export interface MongoLimits {
  /** Time to find a server that can serve, ms; then what was asked is `unavailable`. */
  readonly selectMaxMs: number;
  /** Time to open a connection, ms. */
  readonly connectMaxMs: number;
  /** Time to begin a transaction again after an error that passes, and to ask for its commit again, ms. */
  readonly transactionMaxMs: number;
  /** Time to begin it again after conflicts, ms. */
  readonly conflictMaxMs: number;
}

/** Runs a command of the database. */
export type Run = (command: Document) => Promise<Document>;

/** Undoes what the transaction has done. */
export type Abort<T> = (answer: T) => Promise<T>;

export interface Find {
  readonly filter: Document;
  readonly projection?: Document;
  readonly sort?: Document;
  readonly limit: number;
  /** Default: as the client reads, which is `primaryPreferred`. */
  readonly readPreference?: "primary";
  /** Default: `local`. */
  readonly readConcern?: "majority";
}

export interface Mongo {
  /** On the primary. */
  readonly run: Run;
  find(collection: string, find: Find): Promise<Document[]>;
  aggregate(collection: string, stages: Document[], maxTimeMs: number): Promise<Document[]>;
  /**
   * Majority, from a snapshot. `work` is run again after a conflict; it must ask for nothing but by what it is given, and one command at a time.
   * What it answers counts once committed; what it gives to `abort` is answered without that.
   */
  transaction<T>(work: (run: Run, abort: Abort<T>) => Promise<T>): Promise<T>;
  /** Knows nothing of the servers any more, and looks at them anew when it is asked next. For while nothing is under way. */
  reset(): Promise<void>;
  close(): Promise<void>;
}

/** Connects when it is first asked. Throws `settings_invalid` where the URI cannot be read. */
export function createMongo(options: MongoOptions): Mongo {
  return new DriverMongo(options);
}

const majority = { w: "majority" } as const;

class DriverMongo implements Mongo {
  readonly #options: MongoOptions;
  readonly #flights: Flights;
  #client: MongoClient;
  #isConnected = false;
  #connecting: Promise<void> | undefined;

  constructor(options: MongoOptions) {
    this.#options = options;
    this.#flights = new Flights({ clock: options.clock, ...boundsOf(options), onStuck: () => void this.reset() });
    this.#client = this.#newClient();
  }

  readonly run: Run = (command) =>
    this.#flights.watch(async () => {
      const database = await this.#database();
      return await database.command(command, { readPreference: "primary" });
    });

  async #database(): Promise<Db> {
    if (!this.#isConnected) {
      this.#connecting ??= this.#connect().finally(() => (this.#connecting = undefined));
      await this.#connecting;
    }
    return this.#client.db(this.#options.database);
  }

  async #connect(): Promise<void> {
    const client = this.#client;
    try {
      await client.connect();
    } catch (error) {
      // A client that could not connect the first time never does later; once connected it does so by itself.
      if (client === this.#client) await this.reset();
      throw error;
    }
    if (client !== this.#client) return await this.#connect();
    this.#isConnected = true;
  }

  async reset(): Promise<void> {
    const client = this.#client;
    this.#isConnected = false;
    this.#client = this.#newClient();
    // Its sockets are gone either way.
    await client.close(true).catch(() => undefined);
  }

  #newClient(): MongoClient {
    const client = clientOf(this.#options);
    this.#count(client);
    return client;
  }

  find(
    collection: string,
    { filter, limit, projection, sort, readPreference, readConcern }: Find,
  ): Promise<Document[]> {
    return this.#flights.watch(async () => {
      const database = await this.#database();
      const cursor = database.collection(collection).find(filter, {
        // All in one answer: by default the first one holds 101.
        batchSize: limit + 1,
        limit,
        ...(projection === undefined ? {} : { projection }),
        ...(sort === undefined ? {} : { sort }),
        ...(readPreference === undefined ? {} : { readPreference: readPreference satisfies ReadPreferenceMode }),
        ...(readConcern === undefined ? {} : { readConcern: { level: readConcern } }),
      });
      return await cursor.toArray();
    });
  }

  aggregate(collection: string, stages: Document[], maxTimeMs: number): Promise<Document[]> {
    return this.#flights.watch(async () => {
      const database = await this.#database();
      const cursor = database.collection(collection).aggregate(stages, { maxTimeMS: maxTimeMs, batchSize: 100_000 });
      return await cursor.toArray();
    }, maxTimeMs);
  }

  transaction<T>(work: (run: Run, abort: Abort<T>) => Promise<T>): Promise<T> {
    return this.#flights.watch(() => this.#transaction(work), this.#options.limits.transactionMaxMs);
  }

  async #transaction<T>(work: (run: Run, abort: Abort<T>) => Promise<T>): Promise<T> {
    const { clock, random, limits } = this.#options;
    const startedAt = clock.monotonic();
    const giveUpAt = startedAt + limits.transactionMaxMs;
    const database = await this.#database();
    const session = this.#client.startSession();
    try {
      // As `withTransaction` of the driver, which goes on for two minutes.
      for (let failures = 0; ; failures++) {
        try {
          return await this.#attempt(session, database, work, giveUpAt);
        } catch (error) {
          const waitMs = backoffMs(failures, 2, 250, random);
          const endsAt = isConflict(error) ? Math.min(giveUpAt, startedAt + limits.conflictMaxMs) : giveUpAt;
          if (!isTransient(error) || clock.monotonic() + waitMs > endsAt) throw error;
          await sleep(clock, waitMs);
        }
      }
    } finally {
      await session.endSession();
    }
  }

  async #attempt<T>(
    session: ClientSession,
    database: Db,
    work: (run: Run, abort: Abort<T>) => Promise<T>,
    giveUpAt: number,
  ): Promise<T> {
    session.startTransaction({ readConcern: { level: "snapshot" }, writeConcern: majority, readPreference: "primary" });
    let result: T;
    try {
      result = await work(
        (command) => database.command(command, { session, readPreference: "primary" }),
        async (answer) => {
          await session.abortTransaction();
          return answer;
        },
      );
      if (!session.inTransaction()) return result;
    } catch (error) {
      // Where that fails too the server ends it by itself.
      await session.abortTransaction().catch(() => undefined);
      throw error;
    }
    for (;;) {
      try {
        await session.commitTransaction();
        return result;
      } catch (error) {
        if (!isUnknownCommit(error) || this.#options.clock.monotonic() > giveUpAt) throw error;
      }
    }
  }

  async close(): Promise<void> {
    await this.#client.close(true);
  }

  #count(client: MongoClient): void {
    const { counts, onCheckedOut } = this.#options;
    const broke = (): void => {
      if (client === this.#client) this.#flights.broke();
    };
    client.on("connectionPoolCleared", broke);
    client.on("serverHeartbeatFailed", broke);
    client.on("connectionClosed", ({ reason }: ConnectionClosedEvent) => void (reason === "error" && broke()));
    client.on("connectionCreated", () => counts.open++);
    client.on("connectionClosed", () => counts.open--);
    client.on("connectionCheckOutStarted", () => counts.waiting++);
    client.on("connectionCheckedOut", ({ durationMS }: { durationMS: number }) => {
      counts.waiting--;
      counts.checkedOut++;
      onCheckedOut(durationMS);
    });
    client.on("connectionCheckOutFailed", ({ reason }: ConnectionCheckOutFailedEvent) => {
      counts.waiting--;
      if (reason === "timeout") counts.timeouts++;
      else counts.failures++;
    });
    client.on("connectionCheckedIn", () => counts.checkedOut--);
  }
}

function boundsOf({ pool, limits }: MongoOptions) {
  const longestMs = limits.selectMaxMs + pool.waitQueueTimeoutMs + pool.socketTimeoutMs;
  // The driver asks once more where it may.
  return { longestMs, graceMs: limits.selectMaxMs + 1_000 };
}

function clientOf({ uri, pool, compressors, zlibLevel, limits }: MongoOptions): MongoClient {
  const options: MongoClientOptions = {
    appName: "botfleet",
    maxPoolSize: pool.maxPoolSize,
    minPoolSize: pool.minPoolSize,
    waitQueueTimeoutMS: pool.waitQueueTimeoutMs,
    socketTimeoutMS: pool.socketTimeoutMs,
    connectTimeoutMS: limits.connectMaxMs,
    serverSelectionTimeoutMS: limits.selectMaxMs,
    compressors: [...compressors],
    zlibCompressionLevel: zlibLevel as NonNullable<MongoClientOptions["zlibCompressionLevel"]>,
    readPreference: "primaryPreferred",
    readConcern: { level: "local" },
    // By default an absent value is stored as null, which no user has.
    ignoreUndefined: true,
    // Of statistics; users are written with a majority, each command says so.
    writeConcern: { w: 1 },
  };
  try {
    return new MongoClient(uri, options);
  } catch (error) {
    const message = `MONGODB_URI: cannot be read: ${withoutCredentials(messageOf(error), uri)}; correct it`;
    throw new Fault("settings_invalid", message);
  }
}

function withoutCredentials(text: string, uri: string): string {
  const credentials = /^[^/]*\/\/([^@/]*)@/.exec(uri)?.[1] ?? "";
  const pieces = credentials.split(":").flatMap((piece) => [piece, decodeURIComponent(piece)]);
  const isSafe = !text.includes("://") && !pieces.some((piece) => piece !== "" && text.includes(piece));
  return isSafe ? text : "one of its options is wrong";
}
