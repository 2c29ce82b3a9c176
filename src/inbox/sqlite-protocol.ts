/** What the event loop and the worker that owns the SQLite file tell each other. */
import type { FaultCode } from "../faults.ts";
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

export type Answer =
  | { readonly id: number; readonly result: unknown }
  | {
      readonly id: number;
      readonly message: string;
      /** Where it was a Fault. */
      readonly fault: FaultCode | undefined;
      /** No further call can succeed: the file is damaged, or a transaction can neither be ended nor undone. */
      readonly broken: boolean;
    };
