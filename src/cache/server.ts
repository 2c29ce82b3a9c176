/**
 * Port: the server that holds the second tier for all instances. Every call that is not answered within its deadline rejects; then it may have
 * been done or not, and it may still be done later, after calls that were made after it.
 *
 * What stands under a document's key, and who may put it there:
 *
 *     nothing ──lease──► lease (token, least version) ──fill with this token, not below the least──► document (generation, version)
 *        ▲                  │ a newer version was written: least = it                                 │ a newer version was written: it
 *        └──────────────────┴────── forgotten, evicted, expired, lost in a restart ───────────────────┘
 *
 * A fill needs the lease that was there before its question to storage, so none that is old is ever taken, however late it comes and
 * whatever was evicted meanwhile; no tombstone has to outlive it. A write puts nothing where nothing is: it may be late itself.
 *
 * The generation is one for all documents. A document of another one may be old and is asked for anew. It changes when an instance
 * ends without saying so (what it wrote last may not have got here), when the server lost or took back what it held, and when an instance
 * has forgotten whom it owes an invalidation.
 */
/** Of a document, in the whole fleet: without blanks, and without line ends. */
export type Key = string;

/** Undefined: nothing is there. Anything may be: readers check it. */
export type Value = string | undefined;

/** `granted` may be filled · `held` a document of this generation is there after all · `refused` somebody else fills, or there is no room. */
export type Lease =
  | { readonly kind: "granted"; readonly token: string; readonly generation: string }
  | { readonly kind: "held"; readonly value: string; readonly generation: string }
  | { readonly kind: "refused" };

export interface Fill {
  readonly key: Key;
  readonly token: string;
  readonly generation: string;
  /** 0: there is no such document. */
  readonly version: number;
  /** The document as text; "" for version 0. */
  readonly row: string;
}

export interface Change {
  readonly key: Key;
  /** 0: not known; what is there is deleted. */
  readonly version: number;
  readonly row: string;
}

export interface Beat {
  readonly sender: string;
  /** Published with the generation behind it. */
  readonly message: string;
  /** Becomes the generation where a new one is due; never used before. */
  readonly candidate: string;
  /** A new one is due if it is still this one. */
  readonly replaces: string | undefined;
  /** Senders that are known to be dead. */
  readonly dead: readonly string[];
}

export interface CacheListener {
  /** Messages are heard from now on; those before may be lost. */
  readonly onListening: () => void;
  /** The connection broke: the server may have restarted with what it held once. */
  readonly onInterrupted: () => void;
  readonly onMessage: (text: string) => void;
}

export interface CacheServer {
  get(keys: readonly Key[]): Promise<readonly Value[]>;
  /** `isFresh`: whatever is there is replaced by a lease. Undefined where there is no generation. */
  lease(keys: readonly Key[], token: string, isFresh: boolean): Promise<readonly Lease[]>;
  fillIn(fills: readonly Fill[]): Promise<void>;
  /** Changes what is there and publishes `message`, in one step. */
  write(changes: readonly Change[], message: string): Promise<void>;
  /** Says that this instance lives; answers the generation, "" where there is none (no room for it). */
  beat(beat: Beat): Promise<string>;
  /** This instance ends and owes nothing. */
  leave(sender: string, message: string): Promise<void>;
  /** Once, before anything else. Listening is lost and found again by itself. */
  listen(listener: CacheListener): void;
  /** Nothing is heard although the server answers: listens anew. */
  relisten(): void;
  stop(): Promise<void>;
}
