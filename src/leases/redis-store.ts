/** The lease store in Redis, beside the inbox, whose scripts compare the tokens. */
import { Fault } from "../faults.ts";
import type { RedisServer } from "../redis/server.ts";
import { type Pairs, pairsOf } from "../redis/pairs.ts";
import { base } from "../redis/keys.ts";
import { scripts } from "./redis-scripts.ts";
import type { ClaimName, LeaseStore, LeaseStoreEvents, MemberId, StoredMember } from "./store.ts";

export interface RedisLeaseStoreOptions {
  /** Makes a connection, not started yet, that calls `onUsable` each time it is prepared. */
  readonly connect: (onUsable: () => void) => RedisServer;
  /** Databases of one server share their channels: which one this is. */
  readonly database: string;
  /** Lower-case letters and digits, never the same twice. */
  readonly newName: () => string;
}

const changedForm = /^changed (\w+)$/;
const toldForm = /^told (\w+) (.*)$/s;

export function createRedisLeaseStore({ connect, database, newName }: RedisLeaseStoreOptions): LeaseStore {
  const channel = `${base}${database}:fleet`;
  let started: RedisServer | undefined;
  const server = (): RedisServer => {
    if (started === undefined) throw new Fault("unavailable", "the leases have not begun");
    return started;
  };
  const give = async (member: MemberId, isEnd: boolean, claims: ReadonlyMap<ClaimName, string>): Promise<void> => {
    await server().run(scripts.give, [base], [channel, member, newName(), isEnd ? 1 : 0, ...[...claims].flat()]);
  };
  return {
    start(events) {
      started = connect(events.onUsable);
      started.start({
        prepare: async () => {},
        channel,
        onMessage: (text) => hear(text, events),
        onListening: events.onUsable,
      });
    },
    async renew({ member, info, ttlMs, seen = "", forget }) {
      const answer = await server().run(scripts.renew, [base], [member, info, ttlMs, seen, ...forget]);
      const [run, state, members, claims] = answer as [string, string, readonly (string | number)[], Pairs?];
      return { run, seen: state, members: membersOf(members), claims: claims && pairsOf(claims) };
    },
    async take({ member, nonce, claims }) {
      const answer = await server().run(scripts.take, [base], [channel, member, nonce, ...[...claims].flat()]);
      return pairsOf(answer as Pairs) as Map<ClaimName, string>;
    },
    give: (member, claims) => give(member, false, claims),
    leave: (member, claims) => give(member, true, claims),
    tell(member, text) {
      // Who did not hear it goes without.
      void started?.send([["PUBLISH", channel, `told ${member} ${text}`]]).catch(() => {});
    },
    stop: () => started?.stop(),
  };
}

/** `members`: id, info, ms left, one after another. */
function membersOf(members: readonly (string | number)[]): StoredMember[] {
  const found: StoredMember[] = [];
  for (let at = 0; at < members.length; at += 3) {
    found.push({ id: String(members[at]), info: String(members[at + 1]), leftMs: Number(members[at + 2]) });
  }
  return found;
}

function hear(text: string, { onChanged, onTold }: LeaseStoreEvents): void {
  const changed = changedForm.exec(text);
  if (changed?.[1] !== undefined) return onChanged(changed[1]);
  const [, member, told] = toldForm.exec(text) ?? [];
  if (member !== undefined && told !== undefined) onTold(member, told);
}
