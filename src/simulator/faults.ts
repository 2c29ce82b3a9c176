/** Planned faults: what the simulated Bot API answers instead of the truth. */
import type { Random } from "../clock.ts";

export type FaultKind =
  | "429"
  | "500"
  | "502-html"
  | "401"
  | "403"
  | "404"
  | "409"
  /** The connection stays open, no answer comes. */
  | "hang"
  /** The connection is destroyed. */
  | "reset"
  /** The connection cannot be opened. Always before the effect. */
  | "refused"
  /** Half of the body, then the connection closes. */
  | "truncated"
  /** The true answer, `delayMs` late. */
  | "delay"
  /** 200 with an empty body. */
  | "empty"
  /** 200 with text that is not JSON. */
  | "not-json";

export const faultKinds: readonly FaultKind[] = [
  "429",
  "500",
  "502-html",
  "401",
  "403",
  "404",
  "409",
  "hang",
  "reset",
  "refused",
  "truncated",
  "delay",
  "empty",
  "not-json",
];

export interface FaultSpec {
  readonly kind: FaultKind;
  /** Bot id; absent: any. */
  readonly bot?: number;
  /** Chat id of the call; absent: any, also calls without a chat. */
  readonly chat?: number;
  /** Case does not matter; absent: any. */
  readonly method?: string;
  /** Whether the call takes effect although its answer is replaced; default `before`: it does not. For `delay`: what is late, effect or answer. */
  readonly when?: "before" | "after";
  /** Calls it strikes before it is spent; default: endless. */
  readonly times?: number;
  /** Chance of striking a matching call, 0 to 1; default 1. */
  readonly probability?: number;
  /** For `429`, seconds; default 1. */
  readonly retryAfter?: number;
  /** For `delay`, ms; default 1,000. */
  readonly delayMs?: number;
  /** What stands in the answer instead of Telegram's own words, where the kind has an answer; for HTML and `truncated` its content. */
  readonly words?: string;
}

export interface PlannedFault {
  readonly id: number;
  readonly spec: FaultSpec;
  /** Calls that matched by bot, chat and method while it was not spent. */
  readonly matched: number;
  /** Calls it struck. */
  readonly struck: number;
  /** Takes it out of the plan; idempotent. */
  remove(): void;
}

/** What strikes one call: delays add up, and at most one other fault replaces the answer. */
export interface Strike {
  readonly delayBeforeMs: number;
  readonly delayAfterMs: number;
  readonly fault: FaultSpec | undefined;
}

interface Planned extends PlannedFault {
  matched: number;
  struck: number;
  readonly method: string | undefined;
}

/** Faults strike in the order in which they were added. */
export class Faults {
  readonly #random: Random;
  readonly #planned = new Map<number, Planned>();
  #nextId = 1;

  constructor(random: Random) {
    this.#random = random;
  }

  add(spec: FaultSpec): PlannedFault {
    const id = this.#nextId++;
    const remove = (): void => void this.#planned.delete(id);
    const planned: Planned = { id, spec, method: spec.method?.toLowerCase(), matched: 0, struck: 0, remove };
    this.#planned.set(id, planned);
    return planned;
  }

  /** The plan, spent faults included. */
  list(): readonly PlannedFault[] {
    return [...this.#planned.values()];
  }

  clear(): void {
    this.#planned.clear();
  }

  /** Counts the call against the plan. `method` in lower case. Undefined where nothing strikes. */
  strike(bot: number, chat: number | undefined, method: string): Strike | undefined {
    if (this.#planned.size === 0) return undefined;
    let delayBeforeMs = 0;
    let delayAfterMs = 0;
    let fault: FaultSpec | undefined;
    for (const planned of this.#planned.values()) {
      const { spec } = planned;
      if (spec.bot !== undefined && spec.bot !== bot) continue;
      if (spec.chat !== undefined && spec.chat !== chat) continue;
      if (planned.method !== undefined && planned.method !== method) continue;
      if (planned.struck >= (spec.times ?? Infinity)) continue;
      planned.matched++;
      if (spec.kind !== "delay" && fault !== undefined) continue;
      if (spec.probability !== undefined && this.#random() >= spec.probability) continue;
      planned.struck++;
      if (spec.kind !== "delay") fault = spec;
      else if (spec.when === "after") delayAfterMs += spec.delayMs ?? 1_000;
      else delayBeforeMs += spec.delayMs ?? 1_000;
    }
    return fault === undefined && delayBeforeMs + delayAfterMs === 0
      ? undefined
      : { delayBeforeMs, delayAfterMs, fault };
  }
}
