/** The model of a lease store: several members of one process share `LeaseRecords`. Answers at once, never late. */
import type {
  Beat,
  ClaimName,
  LeaseStore,
  LeaseStoreEvents,
  MemberId,
  Renewal,
  StoredMember,
  Taking,
} from "./store.ts";
import { ownerOf } from "./store.ts";

/** What a server holds. Plain data: a copy of it is what a restart can bring back. */
export interface LeaseRecords {
  run: string;
  mark: number;
  claims: Map<string, string>;
  epochs: Map<string, number>;
  members: Map<MemberId, string>;
  /** Until when each member counts as alive, by the server's clock in ms. */
  alive: Map<MemberId, number>;
}

export interface MemoryLeaseServer {
  records: LeaseRecords;
  readonly listeners: Set<LeaseStoreEvents>;
  /** The server's clock, ms. */
  readonly now: () => number;
  /** Never the same twice. */
  readonly newMark: () => number;
}

export function emptyRecords(run: string): LeaseRecords {
  return { run, mark: 0, claims: new Map(), epochs: new Map(), members: new Map(), alive: new Map() };
}

export function createMemoryLeaseServer(now: () => number): MemoryLeaseServer {
  let marks = 0;
  return { records: emptyRecords("1"), listeners: new Set(), now, newMark: () => ++marks };
}

/** One member's way to `server`. */
export function createMemoryLeaseStore(server: MemoryLeaseServer): LeaseStore {
  let own: LeaseStoreEvents | undefined;
  return {
    start(events) {
      own = events;
      server.listeners.add(events);
      events.onUsable();
    },
    renew: async (beat) => renew(server, beat),
    async take(taking) {
      const before = new Map(server.records.claims);
      const tokens = take(server, taking);
      if ([...tokens].some(([name, token]) => before.get(name) !== token)) changed(server, taking.member);
      return tokens;
    },
    async give(member, claims) {
      if (free(server.records, claims)) changed(server, member);
    },
    async leave(member, claims) {
      free(server.records, claims);
      server.records.alive.delete(member);
      server.records.members.delete(member);
      changed(server, member);
    },
    tell(member, text) {
      for (const events of server.listeners) events.onTold(member, text);
    },
    stop() {
      if (own !== undefined) server.listeners.delete(own);
    },
  };
}

function renew({ records, now }: MemoryLeaseServer, { member, info, ttlMs, seen, forget }: Beat): Renewal {
  records.alive.set(member, now() + ttlMs);
  records.members.set(member, info);
  for (const id of forget) if (!isAlive(records, id, now())) records.members.delete(id);
  const state = `${records.run} ${records.mark}`;
  const members = [...records.members].map(([id, each]): StoredMember => ({
    id,
    info: each,
    leftMs: Math.max(0, (records.alive.get(id) ?? 0) - now()),
  }));
  return { run: records.run, seen: state, members, claims: state === seen ? undefined : new Map(records.claims) };
}

function take({ records, now }: MemoryLeaseServer, { member, nonce, claims }: Taking): Map<ClaimName, string> {
  const taken = new Map<ClaimName, string>();
  if (!isAlive(records, member, now())) return taken;
  for (const [name, expected] of claims) {
    const present = records.claims.get(name) ?? "";
    const isTaken = present.endsWith(`:${member}-${nonce}`);
    const owner = ownerOf(present);
    if (!isTaken) {
      if (present !== expected) continue;
      if (present !== "" && (owner === undefined || isAlive(records, owner, now()))) continue;
      const epoch = (records.epochs.get(name) ?? 0) + 1;
      records.epochs.set(name, epoch);
      records.claims.set(name, `${epoch}:${member}-${nonce}`);
    }
    taken.set(name, records.claims.get(name) ?? "");
  }
  return taken;
}

function free(records: LeaseRecords, claims: ReadonlyMap<ClaimName, string>): boolean {
  const given = [...claims].filter(([name, token]) => records.claims.get(name) === token);
  for (const [name] of given) records.claims.delete(name);
  return given.length > 0;
}

function changed({ records, listeners, newMark }: MemoryLeaseServer, member: MemberId): void {
  records.mark = newMark();
  for (const events of listeners) events.onChanged(member);
}

function isAlive(records: LeaseRecords, member: MemberId, now: number): boolean {
  return (records.alive.get(member) ?? 0) > now;
}
