/** What a bot module sees of its sessions. */

/** Has the shape of grammY's `StorageAdapter`: `session({ storage: given.sessions() })`. */
export interface SessionStorage<Value> {
  /** Undefined where there is none. Within an update that is handled once more: what its first run found. */
  read(key: string): Promise<Value | undefined>;
  /** `value` is kept as JSON: what that cannot hold (a Date, a Map, a function) comes back as something else. */
  write(key: string, value: Value): Promise<void>;
  delete(key: string): Promise<void>;
}
