/**
 * Whose referral code it is: remembered in memory, because a code never changes and many come with the same one. Not in Redis: it is asked for
 * once in an instance, when somebody registers with it, and that nobody has it may be wrong a moment later, when nobody would tell.
 */
import { LRUCache } from "lru-cache";
import type { Clock } from "../clock.ts";
import type { UserId } from "../ids.ts";
import { lifeTimes } from "./life-times.ts";
import type { CodeTier } from "./tier.ts";
import type { UserStore } from "../storage/store.ts";

export interface CodeTierOptions {
  readonly store: Pick<UserStore, "idOfCode">;
  readonly clock: Clock;
  readonly limits: {
    readonly codesMax: number;
    /** How long it is remembered that nobody has a code, ms. */
    readonly absentMs: number;
    readonly absentMax: number;
  };
}

/** Nobody makes one that is longer. */
const codeForm = /^[A-Za-z0-9]{8,32}$/;

export function createCodeTier({ store, clock, limits }: CodeTierOptions): CodeTier {
  const known = new LRUCache<string, UserId>({ max: limits.codesMax });
  const absent = new LRUCache<string, true>({ max: limits.absentMax, ttl: limits.absentMs, ...lifeTimes(clock) });
  const asking = new Map<string, Promise<UserId | undefined>>();

  async function ask(code: string): Promise<UserId | undefined> {
    const id = await store.idOfCode(code);
    if (id === undefined) absent.set(code, true);
    else known.set(code, id);
    return id;
  }

  return {
    async read(code) {
      if (!codeForm.test(code)) return undefined;
      const id = known.get(code);
      if (id !== undefined || absent.has(code)) return id;
      const asked = asking.get(code) ?? ask(code).finally(() => asking.delete(code));
      asking.set(code, asked);
      return asked;
    },
  };
}
