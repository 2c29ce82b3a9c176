/**
 * Port: the Redis that holds one shard of the inbox, and the leases. A call that is not answered within its deadline rejects, and so does every call
 * while there is no prepared connection; nothing is queued for later and nothing is sent twice by the connection itself. A call that has
 * rejected may have been done, and it may still be done later, after calls that were made after it: a group carries its writer's number
 * against that.
 */
export type Argument = string | number;

export interface Script {
  readonly lua: string;
  readonly sha: string;
}

export type RunScript = (script: Script, keys: readonly string[], args: readonly Argument[]) => Promise<unknown>;

export interface RedisServer {
  readonly run: RunScript;
  /** Commands sent together, answered in their order. Rejects where one of them is refused. */
  send(commands: readonly (readonly [string, ...Argument[]])[]): Promise<readonly unknown[]>;
  /** Resolves once what was written over this connection before is on the server's disk; rejects where that takes too long. */
  waitForDisk(): Promise<void>;
  /**
   * `prepare` runs on each new connection before any other call is let through; where it rejects it is tried again. `onMessage` hears what is
   * published on `channel`, `onListening` that it is heard from now on and may have been missed before.
   */
  start(events: ServerEvents): void;
  stop(): void;
}

export interface ServerEvents {
  readonly prepare: (run: RunScript) => Promise<void>;
  readonly channel: string;
  readonly onMessage: (text: string) => void;
  readonly onListening: () => void;
}
