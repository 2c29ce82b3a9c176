/**
 * Counts what promises 1 to 5 are about: every update written, every handler run, every message that took effect, every durable
 * outcome and every crash. It knows nothing of how botfleet works, only what may be seen from outside.
 */

export type PlanKind = "echo" | "two" | "both" | "late" | "nap" | "throw2" | "throwAlways" | "hang" | "slow";

/** Messages that a handler following this plan sends at least once by the end. */
const partsOf: Record<PlanKind, readonly number[]> = {
  echo: [0],
  two: [0, 1],
  both: [0, 1],
  late: [0],
  nap: [0],
  throw2: [0, 1],
  throwAlways: [0],
  hang: [0, 1],
  slow: [0],
};

export interface Known {
  readonly key: string;
  readonly chat: string;
  readonly place: number;
  readonly plan: PlanKind;
  /** Handler runs begun. */
  runs: number;
  /** Handler runs that threw by plan. */
  faults: number;
  /** A run returned, and no crash since has made it right to run it again. */
  hasReturned: boolean;
  /** A run has returned once, or it is dead: the next update of the chat may begin. */
  isThrough: boolean;
  isSettled: boolean;
  death: string | undefined;
  /** Crashes of the process between its writing and its durable settling. */
  crashes: number;
}

/** Of the messages that a handler of it sends. */
export function textsOf({ key }: Known): readonly string[] {
  return [`${key}.0`, `${key}.1`];
}

/** What happened to one message text. */
interface Sent {
  effects: number;
  /** How many repetitions promise 3 allows: unknown answers and crashes in work. */
  mayRepeat: number;
  isMarked: boolean;
}

export class Oracle {
  readonly violations: string[] = [];
  readonly updates = new Map<string, Known>();
  protected readonly chats = new Map<string, Known[]>();
  protected readonly sent = new Map<string, Sent>();

  written(chat: string, plan: PlanKind): Known {
    const inChat = this.chats.get(chat) ?? [];
    this.chats.set(chat, inChat);
    const known: Known = {
      key: `u${this.updates.size}`,
      chat,
      place: inChat.length,
      plan,
      runs: 0,
      faults: 0,
      hasReturned: false,
      isThrough: false,
      isSettled: false,
      death: undefined,
      crashes: 0,
    };
    inChat.push(known);
    this.updates.set(known.key, known);
    return known;
  }

  /** A handler begins; answers how many runs came before. */
  began(key: string): number {
    const known = this.known(key);
    if (known.runs === 0) {
      const before = this.chats.get(known.chat)?.slice(0, known.place) ?? [];
      const open = before.find((earlier) => !earlier.isThrough);
      if (open !== undefined) this.violate(`reordered: ${key} began before ${open.key} of the same chat was through`);
    }
    if (known.hasReturned) this.violate(`doubled: ${key} is handled again although its handler returned`);
    if (known.death !== undefined) this.violate(`doubled: ${key} is handled although it is a dead letter`);
    return known.runs++;
  }

  returned(key: string): void {
    const known = this.known(key);
    known.hasReturned = true;
    known.isThrough = true;
  }

  /** A handler ended, but a message it sent on the way is still out. */
  ended(key: string): void {
    this.known(key).isThrough = true;
  }

  /** A handler ended by a fault of its own. After five of them the update is dead, written down or not yet. */
  threw(key: string): void {
    const known = this.known(key);
    if (++known.faults >= 5) known.isThrough = true;
  }

  /** A message took effect. */
  effect(text: string): void {
    const sent = this.message(text);
    sent.effects++;
    if (sent.effects > 1 + sent.mayRepeat) this.violate(`doubled: message ${text} was sent ${sent.effects} times`);
  }

  /** The client could not know whether the message took effect: promise 3 allows a repetition. */
  unknown(text: string): void {
    this.message(text).mayRepeat++;
  }

  settled(key: string): void {
    const known = this.known(key);
    if (known.runs === 0) this.violate(`lost: ${key} was settled without any handler`);
    known.isSettled = true;
  }

  died(key: string, error: string): void {
    const known = this.known(key);
    known.death = error;
    known.isThrough = true;
    known.isSettled = true;
    if (known.plan === "throwAlways" && error.includes("planned")) return;
    if (error.includes("died twice") && known.crashes >= 4) return;
    this.violate(`dead: ${key} (${known.plan}) after ${known.runs} runs, ${known.crashes} crashes: ${error}`);
  }

  /** Finished messages of an update are durably remembered. */
  marked(texts: readonly string[]): void {
    for (const text of texts) this.message(text).isMarked = true;
  }

  /** The process ended without warning. */
  crashed(): void {
    for (const known of this.updates.values()) {
      if (known.isSettled) continue;
      known.crashes++;
      if (known.runs === 0) continue;
      known.hasReturned = false;
      for (const text of textsOf(known)) {
        const sent = this.sent.get(text);
        if (sent !== undefined && !sent.isMarked) sent.mayRepeat++;
      }
    }
  }

  /** The process ended as asked: every handler that returned must be settled. */
  stopped(): void {
    for (const known of this.updates.values()) {
      if (known.hasReturned && !known.isSettled)
        this.violate(`doubled: ${known.key} returned, but its outcome was not written`);
    }
  }

  get isQuiet(): boolean {
    for (const known of this.updates.values()) if (!known.isSettled) return false;
    return true;
  }

  /** To be asked once everything had time to end. */
  finalViolations(): readonly string[] {
    for (const known of this.updates.values()) {
      if (!known.isSettled) this.violate(`lost: ${known.key} (${known.plan}) was never settled; ${known.runs} runs`);
      if (known.death !== undefined && known.plan !== "throwAlways") continue;
      for (const part of partsOf[known.plan]) {
        if (this.message(`${known.key}.${part}`).effects === 0) {
          this.violate(`lost: message ${known.key}.${part} (${known.plan}) never took effect`);
        }
      }
    }
    return this.violations;
  }

  protected known(key: string): Known {
    const known = this.updates.get(key);
    if (known === undefined) throw new Error(`the oracle knows no update ${key}`);
    return known;
  }

  protected message(text: string): Sent {
    let sent = this.sent.get(text);
    if (sent === undefined) {
      sent = { effects: 0, mayRepeat: 0, isMarked: false };
      this.sent.set(text, sent);
    }
    return sent;
  }

  protected violate(what: string): void {
    if (this.violations.length < 20) this.violations.push(what);
  }
}
