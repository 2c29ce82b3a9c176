/** What the event loop and the worker that owns the SQLite file tell each other. */
import type { Salvaged } from "./sqlite-salvage.ts";
import type { SqliteStoreOptions } from "./sqlite-store.ts";
import type { SyncStore } from "./store.ts";

export interface OpenOptions extends SqliteStoreOptions {
  /** For tests: time that every commit takes longer, as on a slow disk; ms. */
  readonly fsyncDelayMs: number;
}

export interface Opened {
  /** Undefined where the file was sound. */
  readonly salvaged: Salvaged | undefined;
}

export type Request =
  | { readonly id: number; readonly call: "open"; readonly given: readonly [OpenOptions] }
  | { readonly id: number; readonly call: "abandon"; readonly given: readonly [] }
  | {
      readonly [Call in keyof SyncStore]: {
        readonly id: number;
        readonly call: Call;
        readonly given: Parameters<SyncStore[Call]>;
      };
    }[keyof SyncStore];
