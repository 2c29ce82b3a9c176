/** What a bot module sees of its sessions. */

/**
 * Has the shape of grammY's `StorageAdapter`: `session({ storage: given.sessions() })`. What a handler leaves running when it has ended (a timer, say) belongs
 * to no update: it reads what is stored, its write takes the place of whatever is stored, and an update that runs again leaves it.
 *
 * Of an update that writes a session shared by chats more than once, or fails after its write, what it writes after another update's write is left out: the
 * other was made on its first one. Write such a session once, at the end.
 */
export interface SessionStorage<Value> {
  /** Undefined where there is none. Within an update that is handled once more: what its first run found. */
  read(key: string): Promise<Value | undefined>;
  /** `value` is kept as JSON: what that cannot hold (a Date, a Map, a function) comes back as something else. */
  write(key: string, value: Value): Promise<void>;
  delete(key: string): Promise<void>;
}
