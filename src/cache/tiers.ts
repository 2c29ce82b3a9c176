/**
 * The tiers of an instance among others: users and sessions, each in memory over the shared server over storage. What the instances tell each
 * other goes to the tier that it is about.
 */
import type { UserId } from "../ids.ts";
import type { Session } from "../storage/session-store.ts";
import type { UserCheck } from "../users/check-user.ts";
import type { User } from "../users/user.ts";
import type { Kind } from "./documents.ts";
import { sessionsKind, usersKind } from "./kinds.ts";
import type { BreakerState } from "./breaker.ts";
import { Link, type LinkLimits, type LinkStats } from "./link.ts";
import { createMemoryTier, type MemoryTier, type MemoryTierLimits } from "./memory.ts";
import type { CacheServer } from "./server.ts";
import { createSessionTier } from "./sessions.ts";
import { createSharedTier, type SharedStats, type SharedTier } from "./shared.ts";
import type { Tier } from "./tier.ts";
import type { Clock } from "../clock.ts";

export interface TiersOptions {
  readonly server: CacheServer;
  readonly check: UserCheck;
  readonly clock: Clock;
  /** Lower-case letters and digits, never used before. */
  readonly newName: () => string;
  /** As in `LinkOptions`. */
  readonly sender: string;
  readonly dead: readonly string[];
  readonly limits: LinkLimits;
  readonly users: { readonly below: Tier; readonly limits: MemoryTierLimits };
  readonly sessions: { readonly below: Tier<string, Session>; readonly limits: MemoryTierLimits };
  readonly onState: (state: BreakerState, error: unknown) => void;
  readonly onKnown: () => void;
}

export interface Tiers {
  readonly users: MemoryTier;
  readonly sessions: Tier<string, Session>;
  /** Below the first tier; for whoever measures it. */
  readonly shared: SharedTier<UserId, User>;
  /** Begins to beat and to listen. */
  start(): void;
  stats(): SharedStats & LinkStats;
  /** Resolves when what has changed so far was told to the other instances, or is owed to them. Never rejects. */
  told(): Promise<void>;
  /** Brings what was told to the server and says goodbye. */
  stop(): Promise<void>;
}

export function createTiers(options: TiersOptions): Tiers {
  const { server, check, clock, newName, limits, users, sessions, onState, onKnown } = options;
  const link = new Link({
    server,
    clock,
    newName,
    sender: options.sender,
    dead: options.dead,
    limits,
    events: {
      onChanged(key, version) {
        const user = userKind.idOf(key);
        if (user !== undefined) return userMemory.changed(user, version);
        const session = sessionsKind.idOf(key);
        if (session !== undefined) sessionMemory.changed(session, version);
      },
      onDoubt() {
        userMemory.doubt();
        sessionMemory.doubt();
      },
      onState,
      onKnown,
    },
  });
  const over = <Id, Document>(below: Tier<Id, Document>, kind: Kind<Id, Document>): SharedTier<Id, Document> =>
    createSharedTier({ below, server, link, kind, newName, groupMax: limits.groupMax });
  const userKind = usersKind(check);
  const sharedUsers = over(users.below, userKind);
  const sharedSessions = over(sessions.below, sessionsKind);
  const userMemory = createMemoryTier({ below: sharedUsers, clock, limits: users.limits });
  const sessionMemory = createSessionTier({ below: sharedSessions, clock, limits: sessions.limits });
  return {
    users: userMemory,
    sessions: whileHeard(sessionMemory, sessions.below, link),
    shared: sharedUsers,
    start: () => link.start(),
    stats() {
      const [one, other] = [sharedUsers.stats(), sharedSessions.stats()];
      return {
        ...link.stats(),
        hits: one.hits + other.hits,
        misses: one.misses + other.misses,
        damaged: one.damaged + other.damaged,
      };
    },
    told: () => link.told(),
    stop: () => link.stop(),
  };
}

/**
 * A user that is shown late does no harm; what a conversation is about is decided by its session. So it is read from storage while nobody would
 * tell that another instance has changed it.
 */
function whileHeard(
  memory: MemoryTier<string, Session>,
  storage: Tier<string, Session>,
  link: Link,
): Tier<string, Session> {
  return {
    held: (key) => (link.isBelieved ? memory.held(key) : undefined),
    read: (keys) => (link.isBelieved ? memory.read(keys) : storage.read(keys)),
    readFresh: (keys) => memory.readFresh(keys),
    stored: (sessions) => memory.stored(sessions),
    forget: (keys) => memory.forget(keys),
  };
}
